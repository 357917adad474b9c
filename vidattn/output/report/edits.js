"use strict";
// Labels by hand: what an edit makes of the segments, the history of edits, and the saved draft.
const Edits = (() => {
  const NO_LABEL = Segments.NO_LABEL;
  const byTime = (segments) => segments.sort((a, b) => a.start - b.start || a.label - b.label);
  const byHand = (start, stop, label) => ({ start, stop, label, score: null });

  /** The segments with one more, joined with those of its label that it touches. */
  function join(segments, added) {
    const meets = (s) => s.label === added.label && s.start <= added.stop && s.stop >= added.start;
    const met = segments.filter(meets).concat(added);
    const whole = byHand(Math.min(...met.map((s) => s.start)), Math.max(...met.map((s) => s.stop)), added.label);
    return byTime([...segments.filter((s) => !meets(s)), whole]);
  }

  /** Segments that tile the time, with a label for a span; what else was there is trimmed. */
  function paint(segments, start, stop, label) {
    const rest = segments.flatMap((s) => {
      if (s.stop <= start || s.start >= stop) return [s];
      return [[s.start, start], [stop, s.stop]].filter(([from, to]) => from < to).map(([from, to]) => byHand(from, to, s.label));
    });
    return join(rest, byHand(start, stop, label));
  }

  /** The segments where `s` has another label; where labels overlap, background is no segment. */
  function relabel(segments, s, label, overlapping) {
    if (!overlapping) return paint(segments, s.start, s.stop, label);
    const others = segments.filter((other) => other !== s);
    return label === NO_LABEL ? others : join(others, byHand(s.start, s.stop, label));
  }

  /**
   * The segments where `s` starts or stops at a time. Of segments that tile the time, the neighbor
   * takes what `s` leaves; without one it becomes background.
   */
  function move(segments, s, edge, time, overlapping) {
    if (edge === "start" ? time >= s.stop : time <= s.start) return segments;
    if (overlapping) return join(segments.filter((other) => other !== s), byHand(edge === "start" ? time : s.start, edge === "stop" ? time : s.stop, s.label));
    if (time <= s.start || time >= s.stop) return segments;
    const near = segments.find((other) => (edge === "start" ? other.stop === s.start : other.start === s.stop));
    const span = edge === "start" ? [s.start, time] : [time, s.stop];
    return paint(segments, ...span, near?.label ?? NO_LABEL);
  }

  /** The segments with `s` cut in two. */
  function cut(segments, s, time) {
    if (time <= s.start || time >= s.stop) return segments;
    const halves = [byHand(s.start, time, s.label), byHand(time, s.stop, s.label)];
    return byTime([...segments.filter((other) => other !== s), ...halves]);
  }

  /** States of the segments: null stands for those that the sliders find. */
  class History {
    constructor(draft) {
      this.steps = draft ? [null, draft] : [null];
      this.at = this.steps.length - 1;
    }
    get now() {
      return this.steps[this.at];
    }
    push(segments) {
      this.steps.splice(this.at + 1, Infinity, segments);
      this.at += 1;
    }
    /** Goes back (-1) or forward (1); false where there is nothing. */
    step(by) {
      const can = this.at + by in this.steps;
      if (can) this.at += by;
      return can;
    }
  }

  /** Keeps the draft of a timeline in the browser; a browser may forbid that. */
  const Draft = {
    key: (data) => `vidattn ${data.digest}`,
    save(data, segments, names) {
      const rows = segments?.map((s) => [s.start, s.stop, s.label === NO_LABEL ? null : names[s.label], s.score]);
      try {
        if (rows) localStorage.setItem(this.key(data), JSON.stringify(rows));
        else localStorage.removeItem(this.key(data));
        return true;
      } catch {
        return false;
      }
    },
    /** The segments of the draft, or null; labelOf: the number of a name. */
    load(data, labelOf) {
      try {
        const rows = JSON.parse(localStorage.getItem(this.key(data)));
        const number = (x) => Number.isFinite(x);
        const valid = ([start, stop, name, score]) => number(start) && number(stop) && 0 <= start && start < stop && (name === null || typeof name === "string") && (score === null || number(score));
        if (!rows.every(valid)) return null;
        return rows.map(([start, stop, name, score]) => ({ start, stop, score, label: name === null ? NO_LABEL : labelOf(name) }));
      } catch {
        return null;
      }
    },
  };

  return { paint, relabel, move, cut, join, byHand, History, Draft };
})();

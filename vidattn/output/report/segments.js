"use strict";
// From scores to segments: the same labels and edges as in vidattn/timeline/segments.py.
const Segments = (() => {
  const NO_LABEL = -1;
  const ONE = 1e5; // scores are integers in units of 1e-5
  const EQUAL = 1e-12; // means that differ by less count as equal

  /** Cells in milliseconds and one column of scores per label, from the data of the page. */
  async function unpack(data) {
    const packed = Uint8Array.from(atob(data.table), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const size = bytes.length / 4;
    const numbers = new Int32Array(size);
    for (let i = 0; i < size; i++) {
      numbers[i] =
        bytes[i] | (bytes[size + i] << 8) | (bytes[2 * size + i] << 16) | (bytes[3 * size + i] << 24);
    }
    let at = 0;
    const take = (count) => numbers.subarray(at, (at += count));
    const count = data.cells;
    const starts = Float64Array.from(take(count));
    for (let i = 1; i < count; i++) starts[i] += starts[i - 1];
    const lengths = Float64Array.from(take(count));
    const timeline = { ...data, count, starts, lengths, stops: starts.map((s, i) => s + lengths[i]) };
    timeline.islands = take(count);
    timeline.paths = Array.from({ length: data.steps }, () => {
      const [labels, later, longer] = [take(count), take(count), take(count)];
      return { labels, starts: starts.map((s, i) => s + later[i]), stops: timeline.stops.map((s, i) => s + longer[i]) };
    });
    selectPath(timeline, data.steps >> 1);
    timeline.decided = columns(take, count, data.labels.length);
    timeline.shown = data.tables > 1 ? columns(take, count, data.labels.length) : timeline.decided;
    timeline.best = new Int32Array(count);
    timeline.peak = new Float64Array(count);
    for (let c = 0; c < count; c++) {
      for (let k = 1; k < data.labels.length; k++) {
        if (timeline.decided[k][c] > timeline.decided[timeline.best[c]][c]) timeline.best[c] = k;
      }
      timeline.peak[c] = timeline.decided[timeline.best[c]][c] / ONE;
    }
    return timeline;
  }

  /** Takes labels and edges of another path: the last has the most segments. */
  function selectPath(timeline, step) {
    const path = timeline.paths[step];
    if (!path) return;
    timeline.path = path.labels;
    timeline.starts = path.starts;
    timeline.stops = path.stops;
    timeline.lengths = path.starts.map((s, i) => path.stops[i] - s);
  }

  function columns(take, count, labels) {
    const table = Array.from({ length: labels }, () => new Int32Array(count));
    if (!count || !labels) return table;
    const common = take(count);
    const each = take(count);
    const total = each.reduce((sum, n) => sum + n, 0);
    const ids = take(total);
    const values = take(total);
    for (const column of table) column.set(common);
    for (let c = 0, i = 0; c < count; c++) {
      for (const end = i + each[c]; i < end; i++) table[ids[i]][c] = values[i];
    }
    return table;
  }

  /** The mean of a column over the cells [first, after), weighted by their lengths. */
  function mean(timeline, column, first, after) {
    let sum = 0;
    let length = 0;
    for (let c = first; c < after; c++) {
      sum += column[c] * timeline.lengths[c];
      length += timeline.lengths[c];
    }
    return sum / (length * ONE);
  }

  /** The label of every cell, -1 for background. */
  function decodeLabels(timeline, threshold, leave) {
    const labels = new Int32Array(timeline.count);
    if (timeline.mode === "path") return dropUnsure(timeline, labels, threshold);
    let now = NO_LABEL;
    for (let c = 0; c < timeline.count; c++) {
      const reached = timeline.peak[c] >= threshold;
      if (timeline.mode === "cells") {
        labels[c] = reached ? timeline.best[c] : NO_LABEL;
        continue;
      }
      if (c && timeline.islands[c] !== timeline.islands[c - 1]) now = NO_LABEL;
      const mine = now === NO_LABEL ? 0 : timeline.decided[now][c] / ONE;
      if (now === NO_LABEL || (reached && timeline.peak[c] > mine) || mine < leave) {
        now = reached ? timeline.best[c] : NO_LABEL;
      }
      labels[c] = now;
    }
    return labels;
  }

  /** Runs of the Viterbi path whose mean is below the threshold become background. */
  function dropUnsure(timeline, labels, threshold) {
    const { path, islands } = timeline;
    for (let a = 0, b = 0; a < timeline.count; a = b) {
      while (b < timeline.count && path[b] === path[a] && islands[b] === islands[a]) b++;
      const enough = mean(timeline, timeline.decided[path[a]], a, b) >= threshold - EQUAL;
      labels.fill(enough ? path[a] : NO_LABEL, a, b);
    }
    return labels;
  }

  /** Merges neighbors of equal label: rows {first, after, label, island}. */
  function mergeRuns(runs) {
    const rows = [];
    for (const run of runs) {
      const last = rows[rows.length - 1];
      if (last && last.label === run.label && last.island === run.island) last.after = run.after;
      else rows.push({ ...run });
    }
    return rows;
  }

  const milliseconds = (timeline, run) => timeline.stops[run.after - 1] - timeline.starts[run.first];

  /** Gives background of at most `gap` seconds between two runs of one label that label. */
  function closeGaps(timeline, runs, gap) {
    if (!(gap > 0)) return runs;
    return mergeRuns(
      runs.map((run, i) => {
        const [before, after] = [runs[i - 1], runs[i + 1]];
        const inside = before && after && before.island === run.island && run.island === after.island;
        const short = milliseconds(timeline, run) / 1000 <= gap + 1e-9;
        const fills = inside && run.label === NO_LABEL && before.label === after.label && short;
        return fills ? { ...run, label: before.label } : run;
      }),
    );
  }

  /** Gives runs shorter than `least` seconds to a neighbor, the shortest and earliest first. */
  function absorbShort(timeline, runs, least, threshold) {
    if (!(least > 0)) return runs;
    const heap = new Heap((a, b) => a.length - b.length || a.run.first - b.run.first);
    const push = (run) => heap.push({ run, length: (run.length = milliseconds(timeline, run)) });
    runs.forEach((run, i) => {
      run.before = i && runs[i - 1].island === run.island ? runs[i - 1] : null;
      if (run.before) run.before.next = run;
      run.next = null;
    });
    runs.forEach(push);
    const fit = (run, label) =>
      label === NO_LABEL ? threshold : mean(timeline, timeline.decided[label], run.first, run.after);
    for (let top = heap.pop(); top; top = heap.pop()) {
      const run = top.run;
      if (run.gone || run.length !== top.length || !(run.before || run.next)) continue;
      if (run.length / 1000 >= least - 1e-9) break;
      const { before, next } = run;
      const after = !before || (next && fit(run, next.label) > fit(run, before.label) + EQUAL);
      run.label = (after ? next : before).label;
      for (const near of [before, next]) if (near && near.label === run.label) absorb(run, near);
      push(run);
    }
    return runs.filter((run) => !run.gone);
  }

  function absorb(run, near) {
    near.gone = true;
    if (near === run.before) {
      run.first = near.first;
      run.before = near.before;
      if (run.before) run.before.next = run;
    } else {
      run.after = near.after;
      run.next = near.next;
      if (run.next) run.next.before = run;
    }
  }

  class Heap {
    constructor(order) {
      this.order = order;
      this.rows = [];
    }
    push(row) {
      const rows = this.rows;
      let i = rows.push(row) - 1;
      for (let up; i && this.order(row, rows[(up = (i - 1) >> 1)]) < 0; i = up) rows[i] = rows[up];
      rows[i] = row;
    }
    pop() {
      const rows = this.rows;
      const top = rows[0];
      const last = rows.pop();
      if (!rows.length) return top;
      let i = 0;
      for (;;) {
        let down = 2 * i + 1;
        if (down + 1 < rows.length && this.order(rows[down + 1], rows[down]) < 0) down++;
        if (down >= rows.length || this.order(last, rows[down]) <= 0) break;
        rows[i] = rows[down];
        i = down;
      }
      rows[i] = last;
      return top;
    }
  }

  /** Moves boundaries to nearby shot cuts, as vidattn/timeline/shot_cuts.py does. */
  function snapToCuts(segments, cuts, reach) {
    const edges = segments.map((s) => [s.start, s.stop]);
    for (let i = 0, from = 0; i + 1 < segments.length; i++) {
      const [edge, stop] = [edges[i][1], edges[i + 1][1]];
      if (edge !== edges[i + 1][0]) continue;
      while (from < cuts.length && cuts[from] <= edges[i][0]) from++;
      let near = null;
      for (let j = from; j < cuts.length && cuts[j] < stop; j++) {
        if (near === null || Math.abs(cuts[j] - edge) < Math.abs(near - edge)) near = cuts[j];
      }
      if (near === null || Math.abs(near - edge) > reach || near === edge) continue;
      edges[i][1] = edges[i + 1][0] = near;
    }
    return segments.map((s, i) => ({ ...s, start: edges[i][0], stop: edges[i][1] }));
  }

  /**
   * The segments {start, stop, label, score, first, after}, in seconds. Label -1 is background;
   * its score is that of the strongest label in the page.
   */
  function deriveSegments(timeline, { threshold, minDuration, mergeGap, leave, step }) {
    if (!timeline.count) return [];
    selectPath(timeline, step);
    const labels = decodeLabels(timeline, threshold, Math.min(leave ?? threshold, threshold));
    const cells = Array.from(labels, (label, c) => {
      return { first: c, after: c + 1, label, island: timeline.islands[c] };
    });
    const runs = absorbShort(timeline, closeGaps(timeline, mergeRuns(cells), mergeGap), minDuration, threshold);
    const segments = runs.map(({ first, after, label }) => {
      const at = label === NO_LABEL ? timeline.shown : [timeline.shown[label]];
      const score = Math.max(...at.map((column) => mean(timeline, column, first, after)));
      const [start, stop] = [timeline.starts[first] / 1000, timeline.stops[after - 1] / 1000];
      return { start, stop, label, score: Math.min(score, 1), first, after };
    });
    return timeline.cuts.length ? snapToCuts(segments, timeline.cuts, timeline.reach) : segments;
  }

  return { unpack, deriveSegments, NO_LABEL };
})();

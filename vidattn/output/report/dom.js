"use strict";
// Texts, times and nodes of the page.
const Dom = (() => {
  /** Replaces characters that reorder or hide the text around them. */
  function reveal(text) {
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
  }

  /** A number with fixed decimals, halves up, as in vidattn/output/text.py. */
  function fixed(number, digits) {
    const unit = 10 ** digits;
    return (Math.floor(number * unit + 0.5) / unit).toFixed(digits);
  }

  /** M:SS.s, or H:MM:SS.s. */
  function clock(seconds, hours, digits = 1) {
    const unit = 10 ** digits;
    const ticks = Math.floor(seconds * unit + 0.5);
    const minutes = Math.floor(ticks / unit / 60);
    const rest = ((ticks - minutes * 60 * unit) / unit).toFixed(digits);
    const two = (n) => String(n).padStart(2, "0");
    const end = rest.padStart(digits ? 3 + digits : 2, "0");
    return hours ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${end}` : `${minutes}:${end}`;
  }

  /** Decimals of the edges of a segment: short ones get one more. */
  const digits = (s) => (s.stop - s.start > 0.1 - 1e-9 ? 1 : 2);

  function make(tag, words = {}, ...children) {
    const svg = ["path", "line", "rect", "svg"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(words)) {
      if (key === "text") node.textContent = value;
      else if (value !== null) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  /** A number and its noun. */
  const countNoun = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  /** Text that a shell reads as one word. */
  const quoteShell = (text) => (/^[\w.+,@%/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  /** The name of the timeline in JSON that vidattn writes beside this page. */
  function jsonName(name) {
    const own = decodeURIComponent(location.pathname.split("/").pop());
    const stem = own.endsWith(".vidattn.html") ? own.slice(0, -5) : `${name.replace(/\.[^.]*$/, "")}.vidattn`;
    return reveal(`${stem}.json`);
  }

  /** A sentence on the scores in the page and how labels follow from them. */
  function describeMethod({ decoding, labels, classes }) {
    const one = labels.length === 1;
    const of = one ? "the one label" : `the ${labels.length} labels`;
    const which = labels.length === classes ? "" : ` (of ${classes}) that win${one ? "s" : ""} somewhere`;
    const kept = `The scores of ${of}${which} are in this page.`;
    const { smooth, kernel, leave } = decoding;
    if (smooth === "viterbi" || smooth === "auto") return `${kept} Labels follow the most likely path; the sliders set ${smooth === "auto" ? "how readily it switches, and " : ""}how sure and how long its segments must be.`;
    const how = smooth === "none" || !smooth ? "" : ` They were smoothed first (${smooth} of ${kernel} windows).`;
    return kept + how + ((leave ?? null) === null ? "" : ` A label lasts until its score falls below ${leave}.`);
  }

  return { reveal, fixed, clock, digits, make, countNoun, quoteShell, jsonName, describeMethod };
})();

/** The range of time that the plot shows: all that the timeline covers, or less. */
class TimeRange {
  constructor([first, last]) {
    Object.assign(this, { first, last, from: first, to: last });
    this.least = Math.min(this.whole, Math.max(1, this.whole / 20000));
  }
  get whole() {
    return this.last - this.first;
  }
  get length() {
    return this.to - this.from;
  }
  get isWhole() {
    return this.length >= this.whole * (1 - 1e-9);
  }
  /** The place of a time: 0 at the left edge, 1 at the right edge. */
  share(seconds) {
    return (seconds - this.from) / this.length;
  }
  holds(seconds) {
    return seconds >= this.from && seconds <= this.to;
  }
  show(from, length) {
    const span = Math.min(Math.max(length, this.least), this.whole);
    this.from = Math.min(Math.max(from, this.first), this.last - span);
    this.to = this.from + span;
  }
  /** Zooms in for a factor above 1; the time `around` stays in place. */
  zoom(factor, around) {
    const length = Math.min(Math.max(this.length / factor, this.least), this.whole);
    this.show(around - this.share(around) * length, length);
  }
  /** Moves to show a time; returns whether it had to. */
  reach(seconds) {
    if (this.holds(seconds) || seconds < this.first || seconds > this.last) return false;
    this.show(seconds - this.length / 10, this.length);
    return true;
  }
}

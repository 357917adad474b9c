"use strict";
// How often, how long and how soon each label is there, as in vidattn/timeline/budget.py.
const Budget = ({ at, data, state, clock, percent, nameOf, colorOf }) => {
  const { make, fixed } = Dom;
  const MOST = 12; // labels among which transitions are counted
  const TOUCH = 1e-6;

  const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
  function median(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** The labels, the longest first, with the seconds of their segments and the first start. */
  function measure() {
    const rows = new Map();
    for (const s of state.segments) {
      const row = rows.get(s.label) ?? { label: s.label, times: [], first: s.start - data.part[0], next: new Map() };
      row.times.push(s.stop - s.start);
      rows.set(s.label, row);
    }
    const apart = (a, b) => data.lost.some(([start, stop]) => a.stop - TOUCH <= start && stop <= b.start + TOUCH);
    state.segments.slice(1).forEach((s, i) => {
      const next = rows.get(state.segments[i].label).next;
      if (!apart(state.segments[i], s)) next.set(s.label, (next.get(s.label) ?? 0) + 1);
    });
    return [...rows.values()].sort((a, b) => sum(b.times) - sum(a.times) || (nameOf(a.label) < nameOf(b.label) ? -1 : 1));
  }

  const name = (label) => make("td", { class: "words" }, make("span", { class: `swatch ${colorOf(label)}` }), make("bdi", { text: nameOf(label) }));
  const cells = (...texts) => texts.map((text) => make("td", { text }));
  const head = (...texts) => make("tr", {}, ...texts.map((text, i) => make("th", { scope: "col", class: i ? null : "words" }, make("bdi", { text }))));

  function budget() {
    if (!at("budget").open) return;
    const rows = measure();
    const inside = data.lost.map(([a, b]) => Math.max(Math.min(b, data.part[1]) - Math.max(a, data.part[0]), 0));
    const seen = data.part[1] - data.part[0] - sum(inside);
    const lines = rows.map(({ label, times, first }) => {
      const seconds = sum(times);
      return make("tr", {}, name(label), ...cells(times.length, clock(seconds), percent(seconds / seen), `${fixed(seconds / times.length, 2)} s`, `${fixed(median(times), 2)} s`, clock(first)));
    });
    at("budget-labels").replaceChildren(head("label", "segments", "time", "share", "mean", "median", "first after"), ...lines);
    const most = rows.slice(0, MOST);
    const counts = most.map((row) => make("tr", {}, name(row.label), ...cells(...most.map(({ label }) => row.next.get(label) ?? 0))));
    at("budget-next").replaceChildren(head("before ↓ after →", ...most.map(({ label }) => nameOf(label))), ...counts);
  }

  at("budget").hidden = data.task === "classify";
  at("budget").addEventListener("toggle", budget);
  return { budget };
};

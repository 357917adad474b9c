"use strict";
// The score over time, a track for each label, the axis, and the ribbon of all segments.
const Plot = (page) => {
  const { at, data, timeline, state, range, clock, nameOf, colorOf, percent } = page;
  const { make, countNoun } = Dom;
  const NO_LABEL = Segments.NO_LABEL;
  let across = 0; // pixels

  const x = (seconds) => (1000 * Math.min(Math.max(range.share(seconds), 0), 1)).toFixed(2);
  const shown = ({ start, stop }) => start < range.to && stop > range.from;
  const block = (start, stop, height, top = 100 - height) =>
    `M${x(start)} ${top.toFixed(1)}H${x(stop)}V${(top + height).toFixed(1)}H${x(start)}Z`;
  const isLit = (label) => page.matches(label) && (state.selected ?? label) === label;

  /** The outline of a label's scores in the cells [first, after): the maximum of each pixel. */
  function outline(label, first, after) {
    const step = range.length / Math.max(200, across * devicePixelRatio);
    const column = (c) => timeline.shown[label === NO_LABEL ? timeline.best[c] : label]; // none for a label that never wins
    let d = "";
    for (let c = first; c < after; ) {
      if (timeline.stops[c] / 1000 <= range.from) {
        c++;
        continue;
      }
      if (timeline.starts[c] / 1000 >= range.to) break;
      const start = timeline.starts[c] / 1000;
      let top = 0;
      let last = c;
      for (; c < after && (c === last || (timeline.starts[c] === timeline.stops[last] && timeline.stops[c] / 1000 - start < step)); c++) {
        top = Math.max(top, column(c)?.[c] ?? 0);
        last = c;
      }
      d += block(start, timeline.stops[last] / 1000, top / 1000);
    }
    return d;
  }

  /** The score of each segment's label over time, or of the selected label everywhere. */
  function skyline() {
    const paths = new Map();
    const add = (label, first, after) => paths.set(label, (paths.get(label) ?? "") + outline(label, first, after));
    if (state.selected !== null) add(state.selected, 0, timeline.count);
    else for (const s of state.segments.filter(shown)) add(s.label, s.first, s.after);
    const nodes = [...paths].map(([label, d]) => make("path", { d, class: colorOf(label) + (isLit(label) ? "" : " dim") }));
    const lost = data.lost.filter(([start, stop]) => shown({ start, stop })).map(([a, b]) => make("path", { d: block(a, b, 100), class: "lost" }));
    const limit = 100 - 100 * state.threshold;
    const line = state.threshold > 0 ? make("line", { x1: 0, x2: 1000, y1: limit, y2: limit, class: "limit" }) : null;
    at("skyline").replaceChildren(...lost, ...nodes, ...(line ? [line] : []));
    at("plotted").textContent = state.selected === null ? "score" : `score of ${nameOf(state.selected)}`;
  }

  /** Segments as a colored strip of 1000 x 100 units: one path for each color. */
  function strip(segments, first, length) {
    const paths = new Map();
    for (const s of segments) {
      const [from, to] = [s.start, s.stop].map((t) => ((1000 * (t - first)) / length).toFixed(2));
      paths.set(colorOf(s.label), `${paths.get(colorOf(s.label)) ?? ""}M${from} 0H${to}V100H${from}Z`);
    }
    return [...paths].map(([color, d]) => make("path", { d, class: color }));
  }

  function ribbon() {
    at("ribbon").replaceChildren(...strip(state.segments, range.first, range.whole), make("line", { y1: 0, y2: 100 }));
  }

  function totals(segments) {
    const rows = new Map();
    for (const s of segments) {
      const row = rows.get(s.label) ?? { label: s.label, seconds: 0, count: 0, segments: [] };
      row.seconds += s.stop - s.start;
      row.count += 1;
      row.segments.push(s);
      rows.set(s.label, row);
    }
    const order = (row) => (row.label === NO_LABEL ? -1 : row.seconds);
    return [...rows.values()].sort((a, b) => order(b) - order(a) || a.label - b.label);
  }

  /** A track for each label, the longest first; background is never among those left out. */
  function tracks() {
    const rows = totals(state.segments).filter((row) => page.matches(row.label));
    const first = rows.filter((row, i) => i < state.tracks || row.label === NO_LABEL);
    at("tracks").replaceChildren(...first.flatMap(track));
    bars();
    const left = rows.length - first.length;
    at("others").hidden = left <= 0;
    at("others").firstElementChild.textContent = countNoun(left, "more label");
  }

  function track({ label, seconds, count, segments }) {
    const pressed = state.selected === label;
    const name = make("button", { type: "button", class: "name jump", title: `Next: ${nameOf(label)}`, "aria-pressed": pressed, "data-key": page.digitOf(label) }, make("bdi", { text: nameOf(label) }));
    name.addEventListener("click", () => page.select(label, segments));
    const words = `${nameOf(label)}: ${countNoun(count, "segment")}, ${clock(seconds)}`;
    const box = { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: isLit(label) ? "track" : "track dim", role: "img", "aria-label": words };
    const bar = make("path", { class: colorOf(label) });
    bar.segments = segments;
    const cells = [clock(seconds, 0), percent(seconds / range.whole), `${count}×`];
    return [
      name,
      make("svg", box, bar),
      make("div", { class: "total", title: `Shares are of ${page.isPart ? "this part" : "the whole video"}` }, ...cells.map((text) => make("span", { text }))),
    ];
  }

  /** The bars of the tracks; the shortest segment of a long video is still visible. */
  function bars() {
    const least = range.length / 900;
    for (const bar of document.querySelectorAll(".track path")) {
      const seen = bar.segments.filter(shown);
      bar.setAttribute("d", seen.map((s) => block(s.start, Math.max(s.stop, s.start + least), 100)).join(""));
    }
  }

  /** Measures plot and player, for which the browser computes a layout. */
  function measure() {
    const box = at("skyline").getBoundingClientRect();
    across = box.width;
    at("over").style.left = `${box.left - at("plot").getBoundingClientRect().left}px`;
    at("over").style.width = `${across}px`;
    document.documentElement.style.setProperty("--stuck", `${at("player").offsetHeight}px`);
    axis();
  }

  function axis() {
    const room = Math.max(2, across / 90);
    const steps = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((s) => range.length / s <= room) ?? 86400;
    const marks = [];
    for (let i = Math.ceil(range.from / step - 1e-9); i * step <= range.from + range.length * 0.985; i++) {
      const mark = make("span", { text: clock(i * step, step < 1 ? 1 : 0) });
      const share = range.share(i * step);
      if (share < 0.015) mark.className = "edge";
      mark.style.left = `${100 * share}%`;
      marks.push(mark);
    }
    at("axis").replaceChildren(...marks);
    at("map").firstElementChild.style.left = `${(100 * (range.from - range.first)) / range.whole}%`;
    page.wide(at("map").firstElementChild, range.length / range.whole);
    at("map").classList.toggle("whole", range.isWhole);
    at("whole").disabled = at("out").disabled = range.isWhole;
    at("in").disabled = range.length <= range.least;
  }

  let drawing = 0;
  /** Draws another range with the next frame of the screen. */
  function redraw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      skyline();
      bars();
      axis();
      page.point();
    });
  }

  /** Moves the lines of the current time. */
  function moveHead() {
    at("head").hidden = !range.holds(state.now);
    at("head").style.left = `${100 * range.share(state.now)}%`;
    const place = (1000 * (state.now - range.first)) / range.whole;
    for (const end of ["x1", "x2"]) at("ribbon").lastElementChild?.setAttribute(end, place);
  }

  return { skyline, ribbon, strip, tracks, measure, redraw, moveHead, across: () => across };
};

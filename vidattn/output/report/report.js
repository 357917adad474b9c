"use strict";
(async () => {
  const COLOURS = 10;
  const TRACKS = 14;
  const ROWS = 300;
  const COLUMNS = 1500; // of the skyline: more than a screen can show
  const NOTHING = Vidattn.NOTHING;
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  const film = await Vidattn.unpack(data);
  const duration = data.duration;
  const { clean, fixed, digits, make, counted } = Parts;
  const clock = (seconds, decimals) => Parts.clock(seconds, duration >= 3600, decimals);
  const stretch = new Stretch(data.part);
  const isPart = data.part[0] >= 0.005 || data.part[1] <= duration - 0.005;
  const saved = {
    threshold: data.decoding.threshold ?? 0,
    minDuration: data.decoding.min_duration ?? 0,
    mergeGap: data.decoding.merge_gap ?? 0,
    leave: data.decoding.leave ?? null,
  };
  const state = {
    ...saved, filter: "", sort: "start", falling: false, all: false, tracks: TRACKS, now: 0, segments: [],
  };
  const video = at("video");
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const wide = (node, share) => (node.style.width = `${(100 * share).toFixed(2)}%`);
  const nameOf = (label) => (label === NOTHING ? "background" : clean(data.labels[label]));

  // Colours belong to labels by what the saved segments hold most, and stay when sliders move.
  const colour = new Map();
  function colourOf(label) {
    if (label === NOTHING) return "none";
    return colour.has(label) ? `k${colour.get(label)}` : "rest";
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
    const order = (row) => (row.label === NOTHING ? -1 : row.seconds);
    return [...rows.values()].sort((a, b) => order(b) - order(a) || a.label - b.label);
  }

  const matches = (label) => nameOf(label).toLowerCase().includes(state.filter);
  const x = (seconds) => (1000 * Math.min(Math.max(stretch.share(seconds), 0), 1)).toFixed(2);
  const shown = ({ start, stop }) => start < stretch.to && stop > stretch.from;
  const block = (start, stop, height, top = 100 - height) =>
    `M${x(start)} ${top.toFixed(1)}H${x(stop)}V${(top + height).toFixed(1)}H${x(start)}Z`;

  /** How high the score of a segment's own label stands over each moment, in few enough columns. */
  function skyline() {
    const paths = new Map();
    const step = stretch.length / COLUMNS;
    for (const s of state.segments.filter(shown)) {
      let d = paths.get(s.label) ?? "";
      for (let c = s.first; c < s.after; ) {
        if (film.stops[c] / 1000 <= stretch.from) {
          c++;
          continue;
        }
        if (film.starts[c] / 1000 >= stretch.to) break;
        const start = film.starts[c] / 1000;
        let [sum, length] = [0, 0];
        for (; c < s.after && (!length || film.stops[c] / 1000 - start < step); c++) {
          const score = s.label === NOTHING ? film.shown[film.best[c]][c] : film.shown[s.label][c];
          sum += score * film.lengths[c];
          length += film.lengths[c];
        }
        d += block(start, film.stops[c - 1] / 1000, sum / length / 1000);
      }
      paths.set(s.label, d);
    }
    const nodes = [...paths].map(([label, d]) => {
      return make("path", { d, class: colourOf(label) + (matches(label) ? "" : " dim") });
    });
    const lost = data.lost.filter(([start, stop]) => shown({ start, stop })).map(([a, b]) => make("path", { d: block(a, b, 100), class: "lost" }));
    const limit = 100 - 100 * state.threshold;
    const line = state.threshold > 0 ? make("line", { x1: 0, x2: 1000, y1: limit, y2: limit, class: "limit" }) : null;
    at("skyline").replaceChildren(...lost, ...nodes, ...(line ? [line] : []));
  }

  function tracks() {
    const rows = totals(state.segments).filter((row) => matches(row.label));
    const first = rows.slice(0, state.tracks);
    at("tracks").replaceChildren(...first.flatMap((row) => track(row)));
    bars();
    const left = rows.length - first.length;
    at("others").hidden = left <= 0;
    at("others").firstElementChild.textContent = counted(left, "more label");
  }

  function track({ label, seconds, count, segments }) {
    const name = make("button", { type: "button", class: "name jump", title: `Next: ${nameOf(label)}` }, make("bdi", { text: nameOf(label) }));
    name.addEventListener("click", () => go((segments.find((s) => s.start > state.now + 1e-3) ?? segments[0]).start, true));
    const words = `${nameOf(label)}: ${counted(count, "segment")}, ${clock(seconds)}`;
    const box = { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "track", role: "img", "aria-label": words };
    const bar = make("path", { class: colourOf(label) });
    bar.segments = segments;
    const cells = [clock(seconds, 0), `${fixed((100 * seconds) / stretch.whole, 0)} %`, `${count}×`];
    return [
      name,
      make("svg", box, bar),
      make("div", { class: "total", title: `Shares are of ${isPart ? "this part" : "the whole film"}` }, ...cells.map((text) => make("span", { text }))),
    ];
  }

  /** The bars of the tracks; even a moment of a long film is as wide as can be seen. */
  function bars() {
    const least = stretch.length / 900;
    for (const bar of document.querySelectorAll(".track path")) {
      const seen = bar.segments.filter(shown);
      bar.setAttribute("d", seen.map((s) => block(s.start, Math.max(s.stop, s.start + least), 100)).join(""));
    }
  }

  let across = 0; // pixels
  /** Takes the measure of the plot, which asks the browser for a layout. */
  function fit() {
    const box = at("skyline").getBoundingClientRect();
    across = box.width;
    at("over").style.left = `${box.left - at("plot").getBoundingClientRect().left}px`;
    at("over").style.width = `${across}px`;
    axis();
  }

  function axis() {
    const room = Math.max(2, across / 90);
    const steps = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((s) => stretch.length / s <= room) ?? 86400;
    const marks = [];
    for (let i = Math.ceil(stretch.from / step - 1e-9); i * step <= stretch.from + stretch.length * 0.985; i++) {
      const mark = make("span", { text: clock(i * step, step < 1 ? 1 : 0) });
      const share = stretch.share(i * step);
      if (share < 0.015) mark.className = "edge";
      mark.style.left = `${100 * share}%`;
      marks.push(mark);
    }
    at("axis").replaceChildren(...marks);
    at("map").firstElementChild.style.left = `${(100 * (stretch.from - stretch.first)) / stretch.whole}%`;
    wide(at("map").firstElementChild, stretch.length / stretch.whole);
    at("map").classList.toggle("whole", stretch.isWhole);
    at("whole").disabled = at("out").disabled = stretch.isWhole;
    at("in").disabled = stretch.length <= stretch.least;
  }

  let drawing = 0;
  /** Draws another stretch with the next picture of the screen. */
  function redraw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      skyline();
      bars();
      axis();
      point();
    });
  }

  function zoom(factor, around = stretch.holds(state.now) ? state.now : (stretch.from + stretch.to) / 2) {
    stretch.zoom(factor, around);
    redraw();
  }

  const keys = {
    start: (s) => s.start, stop: (s) => s.stop, length: (s) => s.stop - s.start,
    score: (s) => (s.label === NOTHING ? -1 : s.score), label: (s) => nameOf(s.label).toLowerCase(),
  };

  function table() {
    const key = keys[state.sort];
    const turn = state.falling ? -1 : 1;
    const found = state.segments.filter((s) => matches(s.label));
    found.sort((a, b) => turn * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.start - b.start);
    const first = state.all ? found : found.slice(0, ROWS);
    at("rows").replaceChildren(...first.map(line));
    at("more").hidden = first.length === found.length;
    at("nothing").hidden = found.length > 0 || !state.filter;
    at("nothing").textContent = `No segment has a label with “${clean(state.filter)}” in it.`;
    at("more").firstElementChild.textContent = `Show all ${found.length} segments`;
    for (const th of document.querySelectorAll("th[data-sort]")) {
      if (th.dataset.sort !== state.sort) th.removeAttribute("aria-sort");
      else th.setAttribute("aria-sort", state.falling ? "descending" : "ascending");
    }
    point();
  }

  function line(s) {
    const still = data.stills.find(([time]) => time >= s.start && time < s.stop);
    const picture = still ? make("img", { src: `data:image/jpeg;base64,${still[1]}`, alt: "", loading: "lazy" }) : null;
    const begins = clock(s.start, digits(s));
    const jump = make("button", { type: "button", class: "jump", text: begins, "aria-label": `Play from ${begins}, ${nameOf(s.label)}` });
    const bar = make("i", { class: colourOf(s.label) });
    wide(bar, s.score);
    const score = s.label === NOTHING ? [] : [make("span", { class: "bar", "aria-hidden": "true" }, bar), percent(s.score)];
    const row = make(
      "tr", { class: s.label === NOTHING ? "background" : null },
      make("td", { class: "picture" }, picture),
      make("td", {}, jump),
      make("td", { class: "end", text: clock(s.stop, digits(s)) }),
      make("td", { text: fixed(s.stop - s.start, digits(s)) }),
      make("td", { class: "words" }, make("span", { class: "label" }, make("span", { class: `swatch ${colourOf(s.label)}` }), make("bdi", { text: nameOf(s.label) }))),
      make("td", { class: "words" }, ...score),
    );
    row.segment = s;
    return row;
  }

  // A film that was sent to the beginning of a segment may be a little before it.
  const NEAR = 1e-3;
  const segmentAt = (time) => state.segments.find((s) => time + NEAR >= s.start && time + NEAR < s.stop);
  const cellAt = (time) => film.starts.findIndex((start, c) => (time + NEAR) * 1000 >= start && (time + NEAR) * 1000 < film.stops[c]);

  /** Shows where the film stands: the line over the tracks, the row of the list, the best labels. */
  function point() {
    at("head").hidden = !stretch.holds(state.now);
    at("head").style.left = `${100 * stretch.share(state.now)}%`;
    const s = segmentAt(state.now);
    for (const row of at("rows").children) {
      if (row.segment === s && s) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    const whole = data.task === "classify";
    if (whole) at("now-time").textContent = "The whole film";
    else at("now-time").textContent = s ? `${clock(state.now)} – in ${clock(s.start, digits(s))} to ${clock(s.stop, digits(s))}` : clock(state.now);
    at("now-label").replaceChildren(make("bdi", { text: s ? nameOf(s.label) : "not seen" }));
    const c = cellAt(state.now);
    const best = c < 0 ? [] : film.shown.map((column, k) => [column[c] / 1e5, k]).sort((a, b) => b[0] - a[0]).slice(0, whole ? 10 : 5);
    at("now-scores").replaceChildren(
      ...best.flatMap(([score, k]) => {
        const meter = make("i", { class: colourOf(k) });
        wide(meter, score);
        return [make("dt", { title: nameOf(k) }, make("bdi", { text: nameOf(k) })), make("dd", { class: "meter", "aria-hidden": "true" }, meter), make("dd", { text: percent(score) })];
      }),
    );
  }

  /** Sends the film to a time and, for a click, plays it from there. */
  function go(time, plays = false) {
    state.now = Math.max(0, Math.min(time, duration));
    if (video.readyState) video.currentTime = state.now;
    if (plays) play();
    if (stretch.reach(state.now)) redraw();
    point();
  }

  /** A film that is gone, or in an unknown codec, is told of by the element itself. */
  function play() {
    video.play().catch(() => {});
  }

  function summary() {
    const real = state.segments.filter((s) => s.label !== NOTHING);
    const labels = new Set(real.map((s) => s.label)).size;
    const idle = state.segments.filter((s) => s.label === NOTHING).reduce((sum, s) => sum + s.stop - s.start, 0);
    const part = isPart ? ` from ${clock(data.part[0])} to ${clock(data.part[1])} of ${clock(duration)}` : "";
    const words = `${counted(real.length, "segment")} of ${counted(labels, "label")}${part}`;
    at("summary").textContent = words + (idle > 0 ? `, ${clock(idle)} of background` : "");
    const changed = ["threshold", "minDuration", "mergeGap"].some((name) => state[name] !== saved[name]);
    at("reset").disabled = !changed;
    at("threshold-value").textContent = +state.threshold.toFixed(5);
    at("least-value").textContent = `${+state.minDuration.toFixed(3)} s`;
    at("gap-value").textContent = `${+state.mergeGap.toFixed(3)} s`;
    const gap = state.mergeGap > 0 || saved.mergeGap > 0 ? ` --merge-gap ${state.mergeGap}` : "";
    const command = `vidattn timeline ${Parts.word(Parts.savedName(data.name))} --threshold ${state.threshold} --min-duration ${state.minDuration}${gap}`;
    at("method").replaceChildren(Parts.method(data), ...(data.task === "segment" ? [" The same on the command line:", make("code", { text: command })] : []));
  }

  let waiting = 0;
  /** Decides again: what a slider shows at once, the long list when it rests. */
  function decide() {
    state.segments = Vidattn.derive(film, state);
    skyline();
    tracks();
    summary();
    clearTimeout(waiting);
    waiting = setTimeout(table, 60);
  }

  let asked = 0;
  function soon() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(decide);
  }

  state.segments = Vidattn.derive(film, state);
  state.now = state.segments[0]?.start ?? data.part[0];
  const drawn = {
    at, data, duration, saved, state, stretch, video, clock, percent, nameOf, segmentAt, across: () => across,
    go, play, zoom, redraw, point, tracks, table, soon,
  };
  Hands.player(drawn);
  at("overview").hidden = at("now").hidden = false;
  if (!data.stills.length) document.querySelector("table").classList.add("pictureless");
  totals(state.segments).filter((row) => row.label !== NOTHING).slice(0, COLOURS).forEach((row, i) => colour.set(row.label, i));
  Hands.sliders(drawn);
  Hands.pointer(drawn);
  Hands.keyboard(drawn);
  Hands.evidence(drawn);
  decide();
  table();
  fit();
  new ResizeObserver(fit).observe(at("plot"));
  document.documentElement.dataset.ready = "yes";
})();

"use strict";
(async () => {
  const COLORS = 10;
  const TRACKS = 14;
  const ROWS = 300;
  const COLUMNS = 1500; // of the skyline: more than the pixels of a screen
  const NO_LABEL = Segments.NO_LABEL;
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  const timeline = await Segments.unpack(data);
  const duration = data.duration;
  const { reveal, fixed, digits, make, countNoun } = Dom;
  const clock = (seconds, decimals) => Dom.clock(seconds, duration >= 3600, decimals);
  const range = new TimeRange(data.part);
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
  const nameOf = (label) => (label === NO_LABEL ? "background" : reveal(data.labels[label]));

  // Colors go to the labels with most time in the saved timeline, and stay when sliders move.
  const colors = new Map();
  function colorOf(label) {
    if (label === NO_LABEL) return "none";
    return colors.has(label) ? `k${colors.get(label)}` : "rest";
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

  const matches = (label) => nameOf(label).toLowerCase().includes(state.filter);
  const x = (seconds) => (1000 * Math.min(Math.max(range.share(seconds), 0), 1)).toFixed(2);
  const shown = ({ start, stop }) => start < range.to && stop > range.from;
  const block = (start, stop, height, top = 100 - height) =>
    `M${x(start)} ${top.toFixed(1)}H${x(stop)}V${(top + height).toFixed(1)}H${x(start)}Z`;

  /** The score of each segment's label over time, averaged in at most COLUMNS columns. */
  function skyline() {
    const paths = new Map();
    const step = range.length / COLUMNS;
    for (const s of state.segments.filter(shown)) {
      let d = paths.get(s.label) ?? "";
      for (let c = s.first; c < s.after; ) {
        if (timeline.stops[c] / 1000 <= range.from) {
          c++;
          continue;
        }
        if (timeline.starts[c] / 1000 >= range.to) break;
        const start = timeline.starts[c] / 1000;
        let [sum, length] = [0, 0];
        for (; c < s.after && (!length || timeline.stops[c] / 1000 - start < step); c++) {
          const score = s.label === NO_LABEL ? timeline.shown[timeline.best[c]][c] : timeline.shown[s.label][c];
          sum += score * timeline.lengths[c];
          length += timeline.lengths[c];
        }
        d += block(start, timeline.stops[c - 1] / 1000, sum / length / 1000);
      }
      paths.set(s.label, d);
    }
    const nodes = [...paths].map(([label, d]) => {
      return make("path", { d, class: colorOf(label) + (matches(label) ? "" : " dim") });
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
    at("others").firstElementChild.textContent = countNoun(left, "more label");
  }

  function track({ label, seconds, count, segments }) {
    const name = make("button", { type: "button", class: "name jump", title: `Next: ${nameOf(label)}` }, make("bdi", { text: nameOf(label) }));
    name.addEventListener("click", () => go((segments.find((s) => s.start > state.now + 1e-3) ?? segments[0]).start, true));
    const words = `${nameOf(label)}: ${countNoun(count, "segment")}, ${clock(seconds)}`;
    const box = { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "track", role: "img", "aria-label": words };
    const bar = make("path", { class: colorOf(label) });
    bar.segments = segments;
    const cells = [clock(seconds, 0), `${fixed((100 * seconds) / range.whole, 0)} %`, `${count}×`];
    return [
      name,
      make("svg", box, bar),
      make("div", { class: "total", title: `Shares are of ${isPart ? "this part" : "the whole video"}` }, ...cells.map((text) => make("span", { text }))),
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

  let across = 0; // pixels
  /** Measures the plot, for which the browser computes a layout. */
  function measure() {
    const box = at("skyline").getBoundingClientRect();
    across = box.width;
    at("over").style.left = `${box.left - at("plot").getBoundingClientRect().left}px`;
    at("over").style.width = `${across}px`;
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
    wide(at("map").firstElementChild, range.length / range.whole);
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
      point();
    });
  }

  function zoom(factor, around = range.holds(state.now) ? state.now : (range.from + range.to) / 2) {
    range.zoom(factor, around);
    redraw();
  }

  const keys = {
    start: (s) => s.start, stop: (s) => s.stop, length: (s) => s.stop - s.start,
    score: (s) => (s.label === NO_LABEL ? -1 : s.score), label: (s) => nameOf(s.label).toLowerCase(),
  };

  function table() {
    const key = keys[state.sort];
    const turn = state.falling ? -1 : 1;
    const found = state.segments.filter((s) => matches(s.label));
    found.sort((a, b) => turn * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.start - b.start);
    const first = state.all ? found : found.slice(0, ROWS);
    at("rows").replaceChildren(...first.map(line));
    at("more").hidden = first.length === found.length;
    at("no-match").hidden = found.length > 0 || !state.filter;
    at("no-match").textContent = `No label contains “${reveal(state.filter)}”.`;
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
    const bar = make("i", { class: colorOf(s.label) });
    wide(bar, s.score);
    const score = s.label === NO_LABEL ? [] : [make("span", { class: "bar", "aria-hidden": "true" }, bar), percent(s.score)];
    const row = make(
      "tr", { class: s.label === NO_LABEL ? "background" : null },
      make("td", { class: "picture" }, picture),
      make("td", {}, jump),
      make("td", { class: "end", text: clock(s.stop, digits(s)) }),
      make("td", { text: fixed(s.stop - s.start, digits(s)) }),
      make("td", { class: "words" }, make("span", { class: "label" }, make("span", { class: `swatch ${colorOf(s.label)}` }), make("bdi", { text: nameOf(s.label) }))),
      make("td", { class: "words" }, ...score),
    );
    row.segment = s;
    return row;
  }

  // A video that seeks to the start of a segment may stop a little before it.
  const NEAR = 1e-3;
  const segmentAt = (time) => state.segments.find((s) => time + NEAR >= s.start && time + NEAR < s.stop);
  const cellAt = (time) => timeline.starts.findIndex((start, c) => (time + NEAR) * 1000 >= start && (time + NEAR) * 1000 < timeline.stops[c]);

  /** Marks the current time: the line over the tracks, the row of the list, the best labels. */
  function point() {
    at("head").hidden = !range.holds(state.now);
    at("head").style.left = `${100 * range.share(state.now)}%`;
    const s = segmentAt(state.now);
    for (const row of at("rows").children) {
      if (row.segment === s && s) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    const whole = data.task === "classify";
    if (whole) at("now-time").textContent = "The whole video";
    else at("now-time").textContent = s ? `${clock(state.now)} – in ${clock(s.start, digits(s))} to ${clock(s.stop, digits(s))}` : clock(state.now);
    at("now-label").replaceChildren(make("bdi", { text: s ? nameOf(s.label) : "not seen" }));
    const c = cellAt(state.now);
    const best = c < 0 ? [] : timeline.shown.map((column, k) => [column[c] / 1e5, k]).sort((a, b) => b[0] - a[0]).slice(0, whole ? 10 : 5);
    at("now-scores").replaceChildren(
      ...best.flatMap(([score, k]) => {
        const meter = make("i", { class: colorOf(k) });
        wide(meter, score);
        return [make("dt", { title: nameOf(k) }, make("bdi", { text: nameOf(k) })), make("dd", { class: "meter", "aria-hidden": "true" }, meter), make("dd", { text: percent(score) })];
      }),
    );
  }

  /** Seeks to a time and, for a click, plays from there. */
  function go(time, plays = false) {
    state.now = Math.max(0, Math.min(time, duration));
    if (video.readyState) video.currentTime = state.now;
    if (plays) play();
    if (range.reach(state.now)) redraw();
    point();
  }

  /** Plays; a missing video or unknown codec raises the "error" event of the element. */
  function play() {
    video.play().catch(() => {});
  }

  function summary() {
    const real = state.segments.filter((s) => s.label !== NO_LABEL);
    const labels = new Set(real.map((s) => s.label)).size;
    const idle = state.segments.filter((s) => s.label === NO_LABEL).reduce((sum, s) => sum + s.stop - s.start, 0);
    const part = isPart ? ` from ${clock(data.part[0])} to ${clock(data.part[1])} of ${clock(duration)}` : "";
    const words = `${countNoun(real.length, "segment")} of ${countNoun(labels, "label")}${part}`;
    at("summary").textContent = words + (idle > 0 ? `, ${clock(idle)} of background` : "");
    const changed = ["threshold", "minDuration", "mergeGap"].some((name) => state[name] !== saved[name]);
    at("reset").disabled = !changed;
    at("threshold-value").textContent = +state.threshold.toFixed(5);
    at("least-value").textContent = `${+state.minDuration.toFixed(3)} s`;
    at("gap-value").textContent = `${+state.mergeGap.toFixed(3)} s`;
    const gap = state.mergeGap > 0 || saved.mergeGap > 0 ? ` --merge-gap ${state.mergeGap}` : "";
    const command = `vidattn timeline ${Dom.quoteShell(Dom.jsonName(data.name))} --threshold ${state.threshold} --min-duration ${state.minDuration}${gap}`;
    at("method").replaceChildren(Dom.describeMethod(data), ...(data.task === "segment" ? [" The same on the command line:", make("code", { text: command })] : []));
  }

  let waiting = 0;
  /** Derives the segments again and draws them: the plot at once, the long list when sliders rest. */
  function update() {
    state.segments = Segments.deriveSegments(timeline, state);
    skyline();
    tracks();
    summary();
    clearTimeout(waiting);
    waiting = setTimeout(table, 60);
  }

  let asked = 0;
  function scheduleUpdate() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(update);
  }

  state.segments = Segments.deriveSegments(timeline, state);
  state.now = state.segments[0]?.start ?? data.part[0];
  const page = {
    at, data, duration, saved, state, range, video, clock, percent, nameOf, segmentAt, across: () => across,
    go, play, zoom, redraw, point, tracks, table, scheduleUpdate,
  };
  Controls.player(page);
  at("overview").hidden = at("now").hidden = false;
  if (!data.stills.length) document.querySelector("table").classList.add("pictureless");
  totals(state.segments).filter((row) => row.label !== NO_LABEL).slice(0, COLORS).forEach((row, i) => colors.set(row.label, i));
  Controls.sliders(page);
  Controls.pointer(page);
  Controls.keyboard(page);
  Controls.explanations(page);
  update();
  table();
  measure();
  new ResizeObserver(measure).observe(at("plot"));
  document.documentElement.dataset.ready = "yes";
})();

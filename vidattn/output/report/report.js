"use strict";
(async () => {
  const TRACKS = 14;
  const NO_LABEL = Segments.NO_LABEL;
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  const timeline = await Segments.unpack(data);
  const duration = data.duration;
  const { reveal, digits, make, countNoun } = Dom;
  const clock = (seconds, decimals) => Dom.clock(seconds, duration >= 3600, decimals);
  const range = new TimeRange(data.part);
  const isPart = data.part[0] >= 0.005 || data.part[1] <= duration - 0.005;
  const saved = {
    threshold: data.decoding.threshold ?? 0,
    minDuration: data.decoding.min_duration ?? 0,
    mergeGap: data.decoding.merge_gap ?? 0,
    leave: data.decoding.leave ?? null,
    step: data.steps >> 1,
  };
  const state = {
    ...saved, filter: "", selected: null, sort: "start", falling: false, all: false, unfolded: new Set(),
    tracks: TRACKS, now: 0, segments: [],
  };
  const video = at("video");
  const names = [...data.labels, ...data.others];
  const colors = [...data.colors, ...data.otherColors];
  const percent = (share) => `${Dom.fixed(100 * share, 1)} %`;
  const wide = (node, share) => (node.style.width = `${(100 * share).toFixed(2)}%`);
  const nameOf = (label) => (label === NO_LABEL ? "background" : reveal(names[label]));
  const colorOf = (label) => (label === NO_LABEL ? "none" : `k${colors[label]}`);
  const scoreOf = (s) => (s.label === NO_LABEL ? "" : s.score === null ? "by hand" : percent(s.score));
  const matches = (label) => nameOf(label).toLowerCase().includes(state.filter);

  // A video that seeks to the start of a segment may stop a little before it.
  const NEAR = 1e-3;
  const segmentAt = (time) => state.segments.find((s) => time + NEAR >= s.start && time + NEAR < s.stop);
  const cellAt = (time) => timeline.starts.findIndex((start, c) => (time + NEAR) * 1000 >= start && (time + NEAR) * 1000 < timeline.stops[c]);

  const page = {
    at, data, timeline, duration, saved, state, range, isPart, video, clock, percent, nameOf, colorOf, scoreOf, matches, wide,
    names, colors, segmentAt, go, play, zoom, select, point, scheduleUpdate, update, save,
  };
  Object.assign(page, Plot(page), List(page), Budget(page));
  const { skyline, ribbon, tracks, table, redraw, measure } = page;

  function zoom(factor, around = range.holds(state.now) ? state.now : (range.from + range.to) / 2) {
    range.zoom(factor, around);
    redraw();
  }

  /** Marks the current time: the lines over the tracks, the row of the list, the best labels. */
  function point() {
    page.moveHead();
    const s = page.current();
    page.mark(s);
    const whole = data.task === "classify";
    const inside = s ? `, segment ${clock(s.start, digits(s))}–${clock(s.stop, digits(s))}` : "";
    at("now-time").textContent = whole ? "The whole video" : `Now ${clock(state.now)}${inside}`;
    at("now-label").replaceChildren(make("bdi", { text: s ? nameOf(s.label) : "not seen" }));
    at("link").href = `#t=${+state.now.toFixed(3)}`;
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

  /** Goes to the moment of an address that ends in #t=83.5 or #t=1:23.5. */
  function followAddress() {
    const found = /^#t=([\d.]+(?::[\d.]+){0,2})$/.exec(location.hash);
    if (found) go(found[1].split(":").reduce((sum, part) => 60 * sum + Number(part), 0));
  }

  /** Plays; a missing video or unknown codec raises the "error" event of the element. */
  function play() {
    video.play().catch(() => {});
  }

  /** Plays the next segment of a label and plots its score alone; again after the last: all. */
  function select(label, segments) {
    const next = segments.find((s) => s.start > state.now + NEAR);
    const ends = state.selected === label && !next;
    state.selected = ends || label === NO_LABEL ? null : label;
    if (!ends) go((next ?? segments[0]).start, true);
    skyline();
    tracks();
  }

  /** Downloads the segments but background, for `vidattn compare`, `eval` and `train`. */
  function save(format) {
    const rows = state.segments.filter((s) => s.label !== NO_LABEL).map((s) => ({ ...s, name: names[s.label], roi: data.roi }));
    const path = decodeURIComponent(data.video);
    Save.download(Dom.jsonName(data.name).replace(/json$/, `${format === "csv" ? "labels" : "segments"}.${format}`), Save[format](path, rows, duration));
  }

  function summary() {
    const real = state.segments.filter((s) => s.label !== NO_LABEL);
    const labels = new Set(real.map((s) => s.label)).size;
    const idle = state.segments.filter((s) => s.label === NO_LABEL).reduce((sum, s) => sum + s.stop - s.start, 0);
    const part = isPart ? ` from ${clock(data.part[0])} to ${clock(data.part[1])} of ${clock(duration)}` : "";
    const words = `${countNoun(real.length, "segment")} of ${countNoun(labels, "label")}${part}`;
    at("summary").textContent = words + (idle > 0 ? `, ${clock(idle)} of background` : "") + page.note();
    const edited = page.draft() !== null || data.fixed;
    for (const name of ["dial", "threshold", "least", "gap"]) at(name).disabled = edited;
    const changed = ["threshold", "minDuration", "mergeGap", "step"].some((name) => state[name] !== saved[name]);
    at("reset").disabled = !changed && page.draft() === null;
    at("threshold-value").textContent = +state.threshold.toFixed(5);
    at("least-value").textContent = `${+state.minDuration.toFixed(3)} s`;
    at("gap-value").textContent = `${+state.mergeGap.toFixed(3)} s`;
    const gap = state.mergeGap > 0 || saved.mergeGap > 0 ? ` --merge-gap ${state.mergeGap}` : "";
    const moved = state.step !== saved.step || (data.decoding.switch_cost ?? null) !== null;
    const cost = data.costs.length && moved ? ` --switch-cost ${data.costs[state.step]}` : "";
    at("dial-value").textContent = data.costs.length ? `cost of a switch ${data.costs[state.step].toFixed(1)}` : "";
    const command = `vidattn timeline ${Dom.quoteShell(Dom.jsonName(data.name))}${cost} --threshold ${state.threshold} --min-duration ${state.minDuration}${gap}`;
    at("method").replaceChildren(Dom.describeMethod(data), ...(data.task === "segment" && !edited ? [" The same on the command line:", make("code", { text: command })] : []));
  }

  /** The segments; where several labels may hold at once, they are those of the file. */
  function found() {
    if (!data.fixed) return Segments.deriveSegments(timeline, state);
    return data.fixed.map(([start, stop, label, score, first, after]) => ({ start, stop, label, score, first, after }));
  }

  let waiting = 0;
  /** Derives the segments again and draws them: the plot at once, the long list when sliders rest. */
  function update() {
    state.segments = page.draft() ?? found();
    skyline();
    ribbon();
    tracks();
    summary();
    page.budget();
    clearTimeout(waiting);
    waiting = setTimeout(table, 60);
  }

  let asked = 0;
  function scheduleUpdate() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(update);
  }

  state.segments = found();
  state.now = state.segments[0]?.start ?? data.part[0];
  Object.assign(page, Editor(page));
  Controls.player(page);
  for (const name of ["overview", "now", "settings", "actions", "help"]) at(name).hidden = false;
  at("actions").hidden = data.task === "classify";
  at("settings").open = matchMedia("(min-width: 46rem)").matches;
  if (!data.stills.length && !video.videoWidth) document.querySelector("table").classList.add("pictureless");
  Controls.sliders(page);
  Controls.pointer(page);
  Controls.keyboard(page);
  Controls.explanations(page);
  update();
  table();
  measure();
  for (const name of ["plot", "player"]) new ResizeObserver(measure).observe(at(name));
  followAddress();
  addEventListener("hashchange", followAddress);
  document.documentElement.dataset.ready = "yes";
})();

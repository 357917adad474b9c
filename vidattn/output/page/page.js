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

  /** Signs that reorder or hide the text around them become visible. */
  function clean(text) {
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
  }

  function clock(seconds, digits = 1) {
    const unit = 10 ** digits;
    const ticks = Math.round(seconds * unit);
    const minutes = Math.floor(ticks / unit / 60);
    const rest = ((ticks - minutes * 60 * unit) / unit).toFixed(digits);
    const two = (n) => String(n).padStart(2, "0");
    const end = rest.padStart(digits ? 3 + digits : 2, "0");
    return duration >= 3600 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${end}` : `${minutes}:${end}`;
  }

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
  const x = (seconds) => ((1000 * seconds) / duration).toFixed(2);
  const block = (start, stop, height, top = 100 - height) =>
    `M${x(start)} ${top.toFixed(1)}H${x(stop)}V${(top + height).toFixed(1)}H${x(start)}Z`;

  /** How high the score of a segment's own label stands over each moment, in few enough columns. */
  function skyline() {
    const paths = new Map();
    const step = duration / COLUMNS;
    for (const s of state.segments) {
      let d = paths.get(s.label) ?? "";
      for (let c = s.first; c < s.after; ) {
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
    const lost = data.lost.map(([a, b]) => make("path", { d: block(a, b, 100), class: "lost" }));
    const limit = 100 - 100 * state.threshold;
    const line = state.threshold > 0 ? make("line", { x1: 0, x2: 1000, y1: limit, y2: limit, class: "limit" }) : null;
    at("skyline").replaceChildren(...lost, ...nodes, ...(line ? [line] : []));
  }

  function tracks() {
    const rows = totals(state.segments).filter((row) => matches(row.label));
    const shown = rows.slice(0, state.tracks);
    at("tracks").replaceChildren(...shown.flatMap((row) => track(row)));
    const left = rows.length - shown.length;
    at("others").hidden = left <= 0;
    at("others").firstElementChild.textContent = `${left} more label${left === 1 ? "" : "s"}`;
  }

  function track({ label, seconds, count, segments }) {
    const name = make("button", { type: "button", class: "name", title: `Next: ${nameOf(label)}` }, make("bdi", { text: nameOf(label) }));
    name.addEventListener("click", () => go((segments.find((s) => s.start > state.now + 1e-3) ?? segments[0]).start));
    // Even a moment of a long film is as wide as can be seen.
    const d = segments.map((s) => block(s.start, Math.max(s.stop, s.start + duration / 900), 100)).join("");
    const words = `${nameOf(label)}: ${count} segment${count === 1 ? "" : "s"}, ${clock(seconds)}`;
    const box = { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "track", role: "img", "aria-label": words };
    const cells = [clock(seconds, 0), `${((100 * seconds) / duration).toFixed(0)} %`, `${count}×`];
    return [
      name,
      make("svg", box, make("path", { d, class: colourOf(label) })),
      make("div", { class: "total" }, ...cells.map((text) => make("span", { text }))),
    ];
  }

  function axis() {
    const room = Math.max(2, at("skyline").clientWidth / 90);
    const steps = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((s) => duration / s <= room) ?? 86400;
    const marks = [];
    for (let i = 0; i * step <= duration * 0.985; i++) {
      const mark = make("span", { text: clock(i * step, step < 1 ? 1 : 0) });
      mark.style.left = `${(100 * i * step) / duration}%`;
      marks.push(mark);
    }
    at("axis").replaceChildren(...marks);
    at("over").style.left = `${at("skyline").getBoundingClientRect().left - at("plot").getBoundingClientRect().left}px`;
    at("over").style.width = `${at("skyline").getBoundingClientRect().width}px`;
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
    const shown = state.all ? found : found.slice(0, ROWS);
    at("rows").replaceChildren(...shown.map(line));
    at("more").hidden = shown.length === found.length;
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
    const jump = make("button", { type: "button", text: clock(s.start), "aria-label": `Go to ${clock(s.start)}, ${nameOf(s.label)}` });
    jump.addEventListener("click", () => go(s.start));
    const bar = make("i", { class: colourOf(s.label) });
    wide(bar, s.score);
    const score = s.label === NOTHING ? [] : [make("span", { class: "bar", "aria-hidden": "true" }, bar), percent(s.score)];
    const row = make(
      "tr", { class: s.label === NOTHING ? "background" : null },
      make("td", { class: "picture" }, picture),
      make("td", {}, jump),
      make("td", { class: "end", text: clock(s.stop) }),
      make("td", { text: (s.stop - s.start).toFixed(1) }),
      make("td", { class: "words" }, make("span", { class: `swatch ${colourOf(s.label)}` }), make("bdi", { text: nameOf(s.label) })),
      make("td", { class: "words" }, ...score),
    );
    row.segment = s;
    return row;
  }

  const segmentAt = (time) => state.segments.find((s) => time >= s.start && time < s.stop);
  const cellAt = (time) => film.starts.findIndex((start, c) => time * 1000 >= start && time * 1000 < film.stops[c]);

  /** Shows where the film stands: the line over the tracks, the row of the list, the best labels. */
  function point() {
    at("head").style.left = `${Math.min(100, (100 * state.now) / duration)}%`;
    const s = segmentAt(state.now);
    for (const row of at("rows").children) {
      if (row.segment === s && s) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    const whole = data.task === "classify";
    if (whole) at("now-time").textContent = "The whole film";
    else at("now-time").textContent = s ? `${clock(state.now)} – in ${clock(s.start)} to ${clock(s.stop)}` : clock(state.now);
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

  function go(time) {
    state.now = Math.max(0, Math.min(time, duration));
    if (video.readyState) video.currentTime = state.now;
    point();
  }

  function summary() {
    const real = state.segments.filter((s) => s.label !== NOTHING);
    const labels = new Set(real.map((s) => s.label)).size;
    const idle = state.segments.filter((s) => s.label === NOTHING).reduce((sum, s) => sum + s.stop - s.start, 0);
    const words = `${real.length} segment${real.length === 1 ? "" : "s"} of ${labels} label${labels === 1 ? "" : "s"}`;
    at("summary").textContent = words + (idle > 0 ? `, ${clock(idle)} of background` : "");
    const changed = ["threshold", "minDuration", "mergeGap"].some((name) => state[name] !== saved[name]);
    at("reset").hidden = !changed;
    at("threshold-value").textContent = +state.threshold.toFixed(5);
    at("least-value").textContent = `${+state.minDuration.toFixed(3)} s`;
    at("gap-value").textContent = `${+state.mergeGap.toFixed(3)} s`;
    const gap = state.mergeGap > 0 || saved.mergeGap > 0 ? ` --merge-gap ${state.mergeGap}` : "";
    const command = `vidattn timeline SAVED.json --threshold ${state.threshold} --min-duration ${state.minDuration}${gap}`;
    at("method").replaceChildren(method(), ...(data.task === "segment" ? [" The same on the command line:", make("code", { text: command })] : []));
  }

  function method() {
    const smooth = data.decoding.smooth;
    const count = data.labels.length;
    const kept =
      count === data.classes
        ? `Scores of all ${count} labels are in this page.`
        : `Scores of the ${count} labels (of ${data.classes}) that win in some moment are in this page.`;
    if (smooth === "viterbi") return `${kept} The labels follow the path that Viterbi found; the sliders decide which of its parts are sure enough and long enough.`;
    const how = smooth === "none" || !smooth ? "" : ` Scores were smoothed (${smooth} of ${data.decoding.kernel} windows) before.`;
    const leave = state.leave === null ? "" : ` A label lasts until it falls below ${state.leave}.`;
    return kept + how + leave;
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

  function sliders() {
    const [least, gap] = [at("least"), at("gap")];
    const most = Math.max(10, 4 * saved.minDuration, 4 * saved.mergeGap, Math.min(duration / 10, 120));
    for (const slider of [least, gap]) {
      slider.max = Math.ceil(most);
      slider.step = most > 20 ? 0.5 : 0.1;
    }
    const show = () => {
      at("threshold").value = state.threshold;
      least.value = state.minDuration;
      gap.value = state.mergeGap;
    };
    show();
    at("threshold").addEventListener("input", (e) => ((state.threshold = Number(e.target.value)), soon()));
    least.addEventListener("input", (e) => ((state.minDuration = Number(e.target.value)), soon()));
    gap.addEventListener("input", (e) => ((state.mergeGap = Number(e.target.value)), soon()));
    at("filter").addEventListener("input", (e) => ((state.filter = e.target.value.trim().toLowerCase()), soon()));
    at("controls").addEventListener("submit", (e) => e.preventDefault());
    at("reset").addEventListener("click", (e) => {
      e.preventDefault();
      Object.assign(state, saved);
      show();
      soon();
    });
    at("others").addEventListener("click", () => ((state.tracks = Infinity), tracks()));
    at("more").addEventListener("click", () => ((state.all = true), table()));
    for (const th of document.querySelectorAll("th[data-sort]")) {
      th.firstElementChild.disabled = false;
      th.firstElementChild.addEventListener("click", () => {
        state.falling = state.sort === th.dataset.sort ? !state.falling : th.dataset.sort === "score";
        state.sort = th.dataset.sort;
        table();
      });
    }
  }

  function pointer() {
    const plot = at("plot");
    const timeOf = (e) => {
      const box = at("skyline").getBoundingClientRect();
      const share = (e.clientX - box.left) / box.width;
      return share >= 0 && share <= 1 ? share * duration : null;
    };
    plot.addEventListener("pointermove", (e) => {
      const time = timeOf(e);
      at("cross").hidden = at("tip").hidden = time === null;
      if (time === null) return;
      const s = segmentAt(time);
      const share = (100 * time) / duration;
      at("cross").style.left = `${share}%`;
      at("tip").textContent = `${clock(time)}  ${s ? `${nameOf(s.label)} ${s.label === NOTHING ? "" : percent(s.score)}` : "not seen"}`;
      at("tip").style.left = share < 60 ? `${share}%` : "auto";
      at("tip").style.right = share < 60 ? "auto" : `${100 - share}%`;
    });
    plot.addEventListener("pointerleave", () => (at("cross").hidden = at("tip").hidden = true));
    plot.addEventListener("click", (e) => {
      const time = e.target.closest("button") ? null : timeOf(e);
      if (time !== null) go(time);
    });
  }

  function keyboard() {
    document.addEventListener("keydown", (e) => {
      const typing = e.target.matches("input, textarea, select");
      if (e.key === "Escape" && e.target === at("filter")) {
        at("filter").value = state.filter = "";
        at("filter").blur();
        soon();
      }
      if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "ArrowRight") go((state.segments.find((s) => s.start > state.now + 1e-3) ?? { start: state.now }).start);
      else if (e.key === "ArrowLeft") go((state.segments.findLast((s) => s.start < state.now - (video.paused ? 1e-3 : 0.5)) ?? { start: 0 }).start);
      else if (e.key === " " && !e.target.matches("button, video")) video.paused ? video.play().catch(() => {}) : video.pause();
      else if (e.key === "/") at("filter").focus();
      else return;
      e.preventDefault();
      if (e.key.startsWith("Arrow")) document.querySelector("tr[aria-current]")?.scrollIntoView({ block: "nearest" });
    });
  }

  function player() {
    const failed = () => (at("unplayable").hidden = false);
    if (video.error) failed();
    video.addEventListener("error", failed);
    video.addEventListener("loadedmetadata", () => {
      at("unplayable").hidden = true;
      if (!video.videoWidth) failed(); // sound alone: the codec of the pictures is unknown here
      else if (state.now) video.currentTime = state.now;
    });
    at("file").addEventListener("change", (e) => {
      if (e.target.files.length) video.src = URL.createObjectURL(e.target.files[0]);
    });
    const follow = () => {
      state.now = video.currentTime;
      point();
      if (!video.paused) requestAnimationFrame(follow);
    };
    video.addEventListener("play", () => requestAnimationFrame(follow));
    video.addEventListener("seeked", follow);
  }

  function evidence() {
    for (const button of document.querySelectorAll("[data-time]")) {
      button.disabled = false;
      button.addEventListener("click", () => go(Number(button.dataset.time)));
    }
  }

  player();
  at("overview").hidden = at("now").hidden = false;
  if (!data.stills.length) document.querySelector("table").classList.add("pictureless");
  state.segments = Vidattn.derive(film, state);
  totals(state.segments).filter((row) => row.label !== NOTHING).slice(0, COLOURS).forEach((row, i) => colour.set(row.label, i));
  sliders();
  pointer();
  keyboard();
  evidence();
  decide();
  table();
  axis();
  new ResizeObserver(axis).observe(at("plot"));
  document.documentElement.dataset.ready = "yes";
})();

"use strict";
// The list: a row for each segment, folds of short ones, a picture for each row in view.
const List = (page) => {
  const { at, data, state, video, clock, nameOf, colorOf, scoreOf } = page;
  const { fixed, digits, make, countNoun } = Dom;
  const NO_LABEL = Segments.NO_LABEL;
  const MOST = 300; // rows at first
  const LONG = 60; // lists of more segments are folded
  const PLAIN = 40; // segments that are always rows: the longest
  const RUN = 3; // short segments in a row that make a fold

  const keys = {
    start: (s) => s.start, stop: (s) => s.stop, length: (s) => s.stop - s.start,
    score: (s) => (s.label === NO_LABEL ? -1 : s.score ?? 1), label: (s) => nameOf(s.label).toLowerCase(),
  };

  /** Segments, with runs of short ones as {folded, start, stop} if the list is long. */
  function fold(segments) {
    if (state.all || state.filter || state.sort !== "start" || segments.length <= LONG) return segments;
    const order = segments.map(keys.length).sort((a, b) => b - a);
    const runs = [];
    for (const s of segments) {
      const last = runs[runs.length - 1];
      const short = keys.length(s) < order[PLAIN - 1] - 1e-9;
      if (short && last?.short) last.rows.push(s);
      else runs.push({ short, rows: [s] });
    }
    const folded = ({ rows }) => ({ folded: rows, start: rows[0].start, stop: rows[rows.length - 1].stop });
    return runs.flatMap((run) => (run.short && run.rows.length >= RUN ? [folded(run)] : run.rows));
  }

  function table() {
    const key = keys[state.sort];
    const turn = state.falling ? -1 : 1;
    const found = state.segments.filter((s) => page.matches(s.label));
    found.sort((a, b) => turn * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.start - b.start);
    const rows = fold(found);
    if (state.falling && rows !== found) rows.sort((a, b) => b.start - a.start);
    const first = state.all ? rows : rows.slice(0, MOST);
    at("rows").replaceChildren(...first.flatMap((s) => (s.folded ? foldedLines(s) : [line(s)])));
    at("more").hidden = first.length === found.length;
    at("no-match").hidden = found.length > 0 || !state.filter;
    at("no-match").textContent = `No label contains “${Dom.reveal(state.filter)}”.`;
    at("more").firstElementChild.textContent = `Show all ${found.length} segments`;
    for (const th of document.querySelectorAll("th[data-sort]")) {
      if (th.dataset.sort !== state.sort) th.removeAttribute("aria-sort");
      else th.setAttribute("aria-sort", state.falling ? "descending" : "ascending");
    }
    page.point();
  }

  function foldedLines(run) {
    const open = state.unfolded.has(run.start);
    const words = countNoun(run.folded.length, "short segment");
    const toggle = make("button", { type: "button", "aria-expanded": open, text: words });
    const strip = make("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "mini", "aria-hidden": "true" }, ...page.strip(run.folded, run.start, run.stop - run.start));
    const row = make(
      "tr", { class: "fold" },
      make("td", { class: "picture" }),
      make("td", { text: clock(run.start) }),
      make("td", { class: "end", text: clock(run.stop) }),
      make("td", { text: fixed(run.stop - run.start, 1) }),
      make("td", { class: "words" }, toggle),
      make("td", { class: "words" }, strip),
    );
    row.span = run;
    row.addEventListener("click", () => {
      if (!state.unfolded.delete(run.start)) state.unfolded.add(run.start);
      table();
    });
    return open ? [row, ...run.folded.map(line)] : [row];
  }

  function line(s) {
    const begins = clock(s.start, digits(s));
    const jump = make("button", { type: "button", class: "jump", text: begins, "aria-label": `Play from ${begins}, ${nameOf(s.label)}` });
    const bar = make("i", { class: colorOf(s.label) });
    page.wide(bar, s.score ?? 0);
    const score = s.label === NO_LABEL ? [] : [make("span", { class: "bar", "aria-hidden": "true" }, bar), scoreOf(s)];
    const row = make(
      "tr", { class: s.label === NO_LABEL ? "background" : null },
      make("td", { class: "picture" }, picture(s)),
      make("td", {}, jump),
      make("td", { class: "end", text: clock(s.stop, digits(s)) }),
      make("td", { text: fixed(s.stop - s.start, digits(s)) }),
      make("td", { class: "words" }, make("span", { class: "label" }, make("span", { class: `swatch ${colorOf(s.label)}` }), make("bdi", { text: nameOf(s.label) }))),
      make("td", { class: "words" }, ...score),
    );
    row.segment = row.span = s;
    return row;
  }

  let current = null;
  /** Marks the row of a time, or the fold that it is in. */
  function mark(s) {
    const rows = at("rows").children;
    const holds = (row) => s && row.span && row.span.start <= s.start && row.span.stop >= s.stop;
    const row = [...rows].findLast((r) => r.segment === s && s) ?? [...rows].find(holds) ?? null;
    if (row === current) return;
    current?.removeAttribute("aria-current");
    row?.setAttribute("aria-current", "true");
    current = row;
  }

  // Rows without a thumbnail take their picture from the video when they come into view.
  const pictures = new Map();
  const wanted = new Set();
  const grabber = document.createElement("video");
  let grabbing = null;
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) wanted[isIntersecting ? "add" : "delete"](target);
    grab();
  }, { rootMargin: "200px" });

  function picture(s) {
    const still = data.stills.find(([time]) => time >= s.start && time < s.stop);
    if (still) return make("img", { src: `data:image/jpeg;base64,${still[1]}`, alt: "", loading: "lazy" });
    const key = (s.start + s.stop) / 2;
    const canvas = pictures.get(key) ?? make("canvas", { width: 160, height: 90 });
    canvas.time = key;
    if (!pictures.has(key)) watcher.observe(canvas);
    return canvas;
  }

  function grab() {
    for (const canvas of wanted) if (!canvas.isConnected) wanted.delete(canvas);
    if (grabbing || !wanted.size || !video.videoWidth) return;
    [grabbing] = wanted;
    if (grabber.src !== video.currentSrc) Object.assign(grabber, { muted: true, preload: "auto", src: video.currentSrc });
    grabber.currentTime = grabbing.time;
  }

  grabber.addEventListener("seeked", () => {
    const [width, height] = [grabber.videoWidth, grabber.videoHeight];
    const scale = Math.max(160 / width, 90 / height);
    grabbing.getContext("2d").drawImage(grabber, (160 - width * scale) / 2, (90 - height * scale) / 2, width * scale, height * scale);
    grabbing.className = "drawn";
    pictures.set(grabbing.time, grabbing);
    watcher.unobserve(grabbing);
    wanted.delete(grabbing);
    grabbing = null;
    grab();
  });
  video.addEventListener("loadedmetadata", () => {
    document.querySelector("table").classList.toggle("pictureless", !data.stills.length && !video.videoWidth);
    grab();
  });

  return { table, mark };
};

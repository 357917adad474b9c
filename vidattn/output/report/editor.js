"use strict";
// The keys that correct labels, and the dialog in which a label is typed.
const Editor = (page) => {
  const { at, data, timeline, state, video, clock, nameOf, colorOf, go, update } = page;
  const { make } = Dom;
  const NO_LABEL = Segments.NO_LABEL;
  const { names, colors } = page;
  const SHOWN = 8; // labels in the dialog at once
  let kept = true;

  /** The number of a label; a new name becomes a label. */
  function labelOf(name) {
    const known = names.indexOf(name);
    if (known >= 0) return known;
    colors.push(names.length % 10);
    return names.push(name) - 1;
  }

  // The keys 1 to 9 belong to the labels with the most time, and stay with them.
  const seconds = new Map();
  for (const s of state.segments) seconds.set(s.label, (seconds.get(s.label) ?? 0) + s.stop - s.start);
  const order = names.map((_, label) => label).sort((a, b) => (seconds.get(b) ?? 0) - (seconds.get(a) ?? 0) || a - b);
  const digitOf = (label) => {
    const place = label < order.length ? order.indexOf(label) : label;
    return place >= 0 && place < 9 ? String(place + 1) : null;
  };
  const labelAt = (digit) => order[digit - 1] ?? (digit <= names.length ? digit - 1 : undefined);

  const history = new Edits.History(data.task === "segment" ? Edits.Draft.load(data, labelOf) : null);
  const ms = (seconds) => Math.round(seconds * 1000) / 1000;

  /** The segment that keys change: the chosen one where labels overlap, else that of the moment. */
  function current() {
    if (!data.overlapping) return page.segmentAt(state.now);
    return state.segments.includes(state.picked) ? state.picked : page.segmentAt(state.now);
  }

  /** The cells whose middles a segment holds; the plot draws the scores of these. */
  function locate(s) {
    if (s.first !== undefined) return s;
    const middles = Array.from(timeline.starts, (start, c) => (start + timeline.stops[c]) / 2000);
    const first = middles.findIndex((t) => t >= s.start);
    const after = middles.findLastIndex((t) => t < s.stop) + 1;
    return { ...s, first: Math.max(first, 0), after: first < 0 ? 0 : after };
  }

  function show(picked) {
    kept = Edits.Draft.save(data, history.now, names);
    update();
    page.table();
    state.picked = picked && state.segments.find((s) => s.label === picked.label && s.start <= picked.time && s.stop >= picked.time);
    page.point();
  }

  /** Takes changed segments as the new draft; null drops the draft. */
  function take(segments, picked) {
    if (segments === (history.now ?? state.segments)) return;
    history.push(segments?.map(locate) ?? null);
    show(picked);
  }

  function relabel(s, label) {
    if (label === undefined || s?.label === label) return;
    if (s) take(Edits.relabel(state.segments, s, label, data.overlapping), { label, time: s.start });
    else if (data.overlapping && label !== NO_LABEL) {
      const stop = Math.min(state.now + timeline.lengths[0] / 1000, data.part[1]);
      take(Edits.join(state.segments, Edits.byHand(ms(state.now), ms(stop), label)), { label, time: state.now });
    }
  }

  function move(s, edge) {
    if (s) take(Edits.move(state.segments, s, edge, ms(state.now), data.overlapping), { label: s.label, time: state.now });
  }

  function step(by) {
    if (history.step(by)) show();
  }

  /** Goes to the start of the frame before or after this one. */
  function goByFrame(by) {
    const fps = data.fps ?? 25;
    video.pause();
    go(Math.ceil((Math.floor(state.now * fps + 0.02) + by) * (1000 / fps) - 1e-6) / 1000);
  }

  const dialog = at("picker");
  const field = at("picker-name");
  let target = null;
  let chosen = 0;

  /** Labels that hold a text, those that start with it first; last what would be a new one. */
  function candidates() {
    const text = field.value.trim();
    const lower = text.toLowerCase();
    const rank = (name) => (name.startsWith(lower) ? 0 : name.includes(` ${lower}`) ? 1 : name.includes(lower) ? 2 : 3);
    const found = names.map((name, label) => ({ label, name, rank: rank(name.toLowerCase()) })).filter((row) => row.rank < 3);
    found.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1));
    if (rank("background") < 3) found.push({ label: NO_LABEL, name: "background" });
    const same = found.some((row) => row.name.toLowerCase() === lower);
    return [...found.slice(0, SHOWN), ...(text && !same ? [{ name: text, isNew: true }] : [])];
  }

  function list() {
    const rows = candidates();
    chosen = Math.max(0, Math.min(chosen, rows.length - 1));
    at("picker-list").replaceChildren(...rows.map((row, i) => {
      const words = row.isNew ? `New label “${Dom.reveal(row.name)}”` : nameOf(row.label);
      const key = row.isNew ? null : digitOf(row.label);
      const color = row.isNew ? "none" : colorOf(row.label);
      const line = make("li", { role: "option", "aria-selected": i === chosen }, make("span", { class: `swatch ${color}` }), make("bdi", { text: words }), key && make("kbd", { text: key }));
      line.addEventListener("click", () => pick(row));
      return line;
    }));
  }

  function pick(row) {
    field.blur(); // keys that follow at once belong to the page
    dialog.close();
    if (row) relabel(target, row.isNew ? labelOf(row.name) : row.label);
  }

  function open(letter) {
    target = current();
    chosen = 0;
    field.value = letter;
    at("picker-span").textContent = target ? `${clock(target.start)}–${clock(target.stop)} ${nameOf(target.label)}` : clock(state.now);
    list();
    dialog.showModal();
    field.focus();
  }

  field.addEventListener("input", () => ((chosen = 0), list()));
  field.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") chosen += e.key === "ArrowDown" ? 1 : -1;
    else if (e.key === "Enter") return e.preventDefault(), pick(candidates()[chosen]);
    else if (e.key === "Escape") return e.preventDefault(), pick();
    else return;
    e.preventDefault();
    list();
  });

  /** Acts on a key; false for a key that means nothing here. */
  function press(e) {
    if (data.task !== "segment") return false;
    const command = (e.ctrlKey || e.metaKey) && !e.getModifierState("AltGraph");
    if (command && !e.altKey && /^[zy]$/i.test(e.key)) return step(e.shiftKey || e.key === "y" ? 1 : -1), true;
    if (command) return false;
    if (e.key === "[" || e.key === "]") return move(current(), e.key === "[" ? "start" : "stop"), true;
    if (e.altKey) return false;
    if (e.key === "," || e.key === ".") goByFrame(e.key === "." ? 1 : -1);
    else if (e.key === "Delete" || e.key === "Backspace") relabel(current(), NO_LABEL);
    else if (e.key === "Enter" && e.target === document.body) {
      const s = current();
      if (s) take(Edits.cut(state.segments, s, ms(state.now)), { label: s.label, time: state.now });
    } else if (/^[1-9]$/.test(e.key)) relabel(current(), labelAt(Number(e.key)));
    else if (/^\p{L}$/u.test(e.key)) open(e.key);
    else return false;
    return true;
  }

  return {
    press, current, digitOf,
    draft: () => history.now,
    drop: () => history.now && take(null),
    note: () => (history.now ? `, corrected by hand${kept ? "; this browser keeps the draft" : ": save it, this browser does not keep it"}` : ""),
  };
};

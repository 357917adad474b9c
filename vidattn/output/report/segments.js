"use strict";
// From scores to segments, as vidattn/segments.py does it: the same labels, the same edges.
const Vidattn = (() => {
  const NOTHING = -1;
  const ONE = 1e5; // scores are whole numbers of 1e-5
  const EQUAL = 1e-12; // means that differ by less are equal

  /** The numbers of a page: cells in milliseconds and columns of scores, one for each label. */
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
    const film = { ...data, count, starts, lengths, stops: starts.map((s, i) => s + lengths[i]) };
    film.islands = take(count);
    film.path = data.mode === "path" ? take(count) : null;
    film.decided = columns(take, count, data.labels.length);
    film.shown = data.tables > 1 ? columns(take, count, data.labels.length) : film.decided;
    film.best = new Int32Array(count);
    film.peak = new Float64Array(count);
    for (let c = 0; c < count; c++) {
      for (let k = 1; k < data.labels.length; k++) {
        if (film.decided[k][c] > film.decided[film.best[c]][c]) film.best[c] = k;
      }
      film.peak[c] = film.decided[film.best[c]][c] / ONE;
    }
    return film;
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

  /** The mean score of a label over the cells [first, after), by their lengths. */
  function mean(film, column, first, after) {
    let sum = 0;
    let length = 0;
    for (let c = first; c < after; c++) {
      sum += column[c] * film.lengths[c];
      length += film.lengths[c];
    }
    return sum / (length * ONE);
  }

  /** The label of every cell, -1 for background. */
  function decide(film, threshold, leave) {
    const labels = new Int32Array(film.count);
    if (film.mode === "path") return sure(film, labels, threshold);
    let now = NOTHING;
    for (let c = 0; c < film.count; c++) {
      const reached = film.peak[c] >= threshold;
      if (film.mode === "cells") {
        labels[c] = reached ? film.best[c] : NOTHING;
        continue;
      }
      if (c && film.islands[c] !== film.islands[c - 1]) now = NOTHING;
      const mine = now === NOTHING ? 0 : film.decided[now][c] / ONE;
      if (now === NOTHING || (reached && film.peak[c] > mine) || mine < leave) {
        now = reached ? film.best[c] : NOTHING;
      }
      labels[c] = now;
    }
    return labels;
  }

  /** Stretches of the Viterbi path whose mean does not reach the threshold are background. */
  function sure(film, labels, threshold) {
    const { path, islands } = film;
    for (let a = 0, b = 0; a < film.count; a = b) {
      while (b < film.count && path[b] === path[a] && islands[b] === islands[a]) b++;
      const enough = mean(film, film.decided[path[a]], a, b) >= threshold - EQUAL;
      labels.fill(enough ? path[a] : NOTHING, a, b);
    }
    return labels;
  }

  /** Neighbours of equal label as one: rows {first, after, label, island}. */
  function joined(runs) {
    const rows = [];
    for (const run of runs) {
      const last = rows[rows.length - 1];
      if (last && last.label === run.label && last.island === run.island) last.after = run.after;
      else rows.push({ ...run });
    }
    return rows;
  }

  const milliseconds = (film, run) => film.stops[run.after - 1] - film.starts[run.first];

  /** Background no longer than the gap between two runs of one label becomes that label. */
  function closed(film, runs, gap) {
    if (!(gap > 0)) return runs;
    return joined(
      runs.map((run, i) => {
        const [before, after] = [runs[i - 1], runs[i + 1]];
        const inside = before && after && before.island === run.island && run.island === after.island;
        const short = milliseconds(film, run) / 1000 <= gap + 1e-9;
        const fills = inside && run.label === NOTHING && before.label === after.label && short;
        return fills ? { ...run, label: before.label } : run;
      }),
    );
  }

  /** Gives runs shorter than the least duration to a neighbour, the shortest and earliest first. */
  function absorbed(film, runs, least, threshold) {
    if (!(least > 0)) return runs;
    const heap = new Heap((a, b) => a.length - b.length || a.run.first - b.run.first);
    const push = (run) => heap.push({ run, length: (run.length = milliseconds(film, run)) });
    runs.forEach((run, i) => {
      run.before = i && runs[i - 1].island === run.island ? runs[i - 1] : null;
      if (run.before) run.before.next = run;
      run.next = null;
    });
    runs.forEach(push);
    const fit = (run, label) =>
      label === NOTHING ? threshold : mean(film, film.decided[label], run.first, run.after);
    for (let top = heap.pop(); top; top = heap.pop()) {
      const run = top.run;
      if (run.gone || run.length !== top.length || !(run.before || run.next)) continue;
      if (run.length / 1000 >= least - 1e-9) break;
      const { before, next } = run;
      const after = !before || (next && fit(run, next.label) > fit(run, before.label) + EQUAL);
      run.label = (after ? next : before).label;
      for (const near of [before, next]) if (near && near.label === run.label) swallow(run, near);
      push(run);
    }
    return runs.filter((run) => !run.gone);
  }

  function swallow(run, near) {
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

  /** Moves boundaries to shot cuts nearby, as vidattn/cuts.py does. */
  function snapped(segments, cuts, reach) {
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
   * The segments of a film: {start, stop, label, score, first, after}, in seconds.
   * label -1 is background, whose score is that of its strongest label among those in the page.
   */
  function derive(film, { threshold, minDuration, mergeGap, leave }) {
    if (!film.count) return [];
    const labels = decide(film, threshold, Math.min(leave ?? threshold, threshold));
    const cells = Array.from(labels, (label, c) => {
      return { first: c, after: c + 1, label, island: film.islands[c] };
    });
    const runs = absorbed(film, closed(film, joined(cells), mergeGap), minDuration, threshold);
    const found = runs.map(({ first, after, label }) => {
      const at = label === NOTHING ? film.shown : [film.shown[label]];
      const score = Math.max(...at.map((column) => mean(film, column, first, after)));
      const [start, stop] = [film.starts[first] / 1000, film.stops[after - 1] / 1000];
      return { start, stop, label, score: Math.min(score, 1), first, after };
    });
    return film.cuts.length ? snapped(found, film.cuts, film.reach) : found;
  }

  return { unpack, derive, NOTHING };
})();

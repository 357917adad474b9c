"use strict";
// Files of the segments as the page shows them, which vidattn compare, eval and train read.
const Save = (() => {
  /** A cell of CSV as vidattn/output/tables.py writes it: no line breaks, no formulas. */
  function cell(text) {
    const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
    const safe = /^\s*[=+\-@]/.test(line) || /^[\t\r]/.test(text) ? `'${line}` : line;
    return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  /** Rows of path, start, end, label, score and, where one has an area, roi; a row may name a path of its own. */
  function csv(path, rows) {
    const areas = rows.some((s) => s.roi);
    const area = (text) => (areas ? [text] : []);
    const lines = rows.map((s) => [cell(s.path ?? path), s.start.toFixed(3), s.stop.toFixed(3), cell(s.name), s.score?.toFixed(5) ?? "", ...area(cell(s.roi ?? ""))].join(","));
    return [["path,start,end,label,score", ...area("roi")].join(","), ...lines].join("\n") + "\n";
  }

  /** A database of one video, as of ActivityNet. */
  function json(path, rows, duration) {
    const annotations = rows.map((s) => ({ label: s.name, ...(s.score === null ? {} : { score: +s.score.toFixed(5) }), segment: [s.start, s.stop] }));
    return `${JSON.stringify({ version: "vidattn report", database: { [path]: { duration, annotations } } }, null, 2)}\n`;
  }

  function download(name, text) {
    const url = URL.createObjectURL(new Blob([text]));
    const link = Dom.make("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  return { csv, json, download };
})();

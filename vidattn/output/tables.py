"""Timelines as tables and documents: JSON, JSON Lines, CSV, TSV, and tables of many videos.

Spreadsheets run a cell that starts with = + - @ as a formula, and labels and file names are
untrusted. In CSV and TSV such a cell starts with an apostrophe, and line breaks and other control
characters become blanks, so that every row is a line. JSON keeps all text as it is.

Rows of many videos are made of documents (`vidattn.timeline.document`), so that saved segments need
neither their scores nor a model. Times there count from the start of the file, as players do, in
seconds and as HH:MM:SS; units stand in the names of the columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from vidattn.io.json import dumps
from vidattn.output.text import format_clock
from vidattn.timeline import Timeline
from vidattn.timeline.budget import Actogram, BudgetSum, part_time
from vidattn.timeline.quantize import unpack_scores
from vidattn.timeline.wall_clock import wall_time

COLUMNS = ("path", "start", "end", "start_frame", "end_frame", "label", "label_id", "score")
WALL_COLUMNS = ("wall_start", "wall_end")
FORMULA = ("=", "+", "-", "@")
Document = Mapping[str, Any]
Text = Callable[[str], str]
Cells = list[str | int | None]
_hms = partial(format_clock, decimals=3)
"""HH:MM:SS.mmm, which sorts as text and is a time to spreadsheets."""

SEGMENT_COLUMNS = {
    "path": "string",
    "start_seconds": "double",
    "end_seconds": "double",
    "start_hms": "string",
    "end_hms": "string",
    "duration_seconds": "double",
    "label": "string",
    "score": "double",
    "confidence": "double",
    "start_frame": "int64",
    "end_frame": "int64",
    "roi": "string",
}
"""Columns of a table of segments, which `compare` and `train` read, and their types in parquet;
`roi` is the name of the area, of several in one picture."""
VIDEO_COLUMNS = {
    "path": "string",
    "duration_seconds": "double",
    "duration_hms": "string",
    "seen_percent": "double",
    "reasons": "string",
    "label": "string",
    "score": "double",
    "roi": "string",
}
"""The same of a table of videos; `reasons` are codes of what could not be read. A column
`score_LABEL` for each label follows."""


def json(timeline: Timeline) -> str:
    """The document vidattn/timeline/1, which `Timeline.from_json` reads."""
    return timeline.to_json() + "\n"


def jsonl(timeline: Timeline) -> str:
    """One JSON object per line and segment: the columns of the CSV and the alternatives."""
    rows, roi = timeline.to_dict()["segments"], timeline.settings.roi
    area = {"roi": roi} if roi else {}
    return "".join(dumps({"path": timeline.source, **row, **area}) + "\n" for row in rows)


def csv(timeline: Timeline) -> str:
    """One row per segment under the header COLUMNS; times in seconds, empty if unknown.

    WALL_COLUMNS follow where it is known when the video was recorded, and `roi` where the segments
    are of an area.
    """
    timed, roi = timeline.settings.start_time is not None, timeline.settings.roi
    area = [escape_cell(roi)] if roi else []
    rows = [",".join((*COLUMNS, *WALL_COLUMNS * timed, *["roi"] * len(area))) + "\n"]
    for s in timeline.segments:
        start, end = (f"{t:.3f}" for t in (s.window.start, s.window.stop))
        path, label = escape_cell(timeline.source), escape_cell(s.label)
        frames = s.start_frame, s.end_frame
        cells = (path, start, end, *frames, label, s.label_id, f"{s.score:.5f}")
        wall = (wall_time(timeline, t) for t in (s.window.start, s.window.stop))
        rows.append(csv_row((*cells, *(wall if timed else ()), *area)))
    return "".join(rows)


def tsv(timeline: Timeline) -> str:
    """One row per segment: path, start and end (whole milliseconds), label, score, and `roi` where
    the segments are of an area."""
    path, roi = escape_cell(timeline.source), timeline.settings.roi
    area = [escape_cell(roi)] if roi else []
    rows = [["path", "start_ms", "end_ms", "label", "score", *["roi"] * len(area)]]
    for s in timeline.segments:
        times = (str(round(t * 1000)) for t in (s.window.start, s.window.stop))
        rows.append([path, *times, escape_cell(s.label), f"{s.score:.5f}", *area])
    return "".join("\t".join(row) + "\n" for row in rows)


def escape_cell(text: str) -> str:
    """Text on one line, with an apostrophe before it if a spreadsheet would run it as a formula."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
    is_formula = text.startswith(("\t", "\r")) or line.lstrip().startswith(FORMULA)
    return f"'{line}" if is_formula else line


def csv_row(cells: Iterable[object]) -> str:
    """A line of RFC 4180, the same from every version of Python."""
    texts = ["" if cell is None else str(cell) for cell in cells]
    quoted = ['"' + t.replace('"', '""') + '"' if re.search('[",]', t) else t for t in texts]
    return ",".join(quoted) + "\n"


def table_columns(document: Document, text: Text = escape_cell) -> dict[str, str]:
    """The columns of the table that a document is a part of, and their types in parquet."""
    if document["task"] == "segment":
        return SEGMENT_COLUMNS
    labels = document["scores"]["labels"]
    blank = {"blank": "string", "blank_risk_percent": "double"} if "blank" in document else {}
    return VIDEO_COLUMNS | blank | {text(f"score_{label}"): "double" for label in labels}


def table_rows(document: Document, text: Text = escape_cell) -> Iterator[Cells]:
    """The rows of a document: its segments, or the video if that was classified.

    Times have 3 decimals and scores 5; None where nothing is known. text: applied to paths and
    labels; by default spreadsheets run none of them as a formula.
    """
    if document["task"] != "segment":
        yield _video_row(document, text)
        return
    offset = document["input"].get("start_offset") or 0.0
    path = text(document["input"]["path"])
    for row in document["segments"]:
        start, end = row["start"] + offset, row["end"] + offset
        sure = row.get("confidence")
        times = [f"{start:.3f}", f"{end:.3f}", _hms(start), _hms(end), f"{end - start:.3f}"]
        scores = [f"{row['score']:.5f}", None if sure is None else f"{sure:.5f}"]
        frames = row["start_frame"], row["end_frame"]
        yield [path, *times, text(row["label"]), *scores, *frames, _roi(document, text)]


def failed_row(path: str, code: str, columns: int, text: Text = escape_cell) -> Cells:
    """The row of a video that could not be classified."""
    row: Cells = [text(path), None, None, None, code]
    return row + [None] * (columns - len(row))


def _video_row(document: Document, text: Text) -> Cells:
    source, coverage, saved = document["input"], document["coverage"], document["scores"]
    scores = unpack_scores(saved, len(saved["labels"]))
    known = len(scores) > 0
    best = document["segments"][0] if known else None
    return [
        text(source["path"]),
        f"{source['duration']:.3f}",
        _hms(source["duration"]),
        f"{100 * coverage['fraction']:.3f}",
        " ".join(sorted(set(coverage["reasons"]))),
        text(best["label"]) if best else None,
        f"{best['score']:.5f}" if best else None,
        _roi(document, text),
        *_blank(document),
        *([f"{score:.5f}" for score in scores[0].tolist()] if known else [None] * scores.shape[1]),
    ]


def _blank(document: Document) -> Cells:
    if (verdict := document.get("blank")) is None:
        return []
    return ["yes" if verdict["is_blank"] else "no", f"{100 * verdict['risk']:.3f}"]


def _roi(document: Document, text: Text) -> str:
    """The name of the area, of several in one picture."""
    return text(document["settings"].get("roi") or "")


def csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Rows as lines of CSV in UTF-8."""
    return "".join(map(csv_row, rows)).encode("utf-8", "backslashreplace")


BUDGET_COLUMNS = (
    *("scope", "name", "seen_seconds", "label", "videos", "count", "total_seconds", "total_hms"),
    *("share_percent", "mean_seconds", "median_seconds", "latency_seconds"),
)
"""Columns of time budgets; a column `to_LABEL` for each label follows: how often it came next."""


def budget_rows(scope: str, name: str, budget: BudgetSum, labels: Sequence[str]) -> Iterator[Cells]:
    """A row for each label of a scope: all, a group or a video, with its name."""
    for row in budget.rows():
        times = (row.mean_seconds, row.median_seconds, row.latency_seconds)
        yield [
            *(scope, escape_cell(name), f"{budget.seconds:.3f}", escape_cell(row.label)),
            *(row.videos, row.count, f"{row.seconds:.3f}", _hms(row.seconds)),
            *(f"{100 * row.share:.3f}", *(f"{time:.3f}" for time in times)),
            *(row.followers.get(label, 0) for label in labels),
        ]


ACTOGRAM_COLUMNS = (
    *("date", "time_start", "time_end", "seen_seconds", "label", "count", "total_seconds"),
    "share_percent",
)
"""Columns of actograms; the count is of segments that begin in the part of the day."""


def actogram_rows(actogram: Actogram) -> Iterator[Cells]:
    """A row for each label in each part of a day that was seen."""
    for (date, number), labels in sorted(actogram.seconds.items()):
        seen = actogram.seen.get((date, number), 0.0)
        begun = actogram.begun.get((date, number), {})
        for label, seconds in sorted(labels.items()):
            share = f"{100 * seconds / seen:.3f}" if seen else None
            yield [
                *(date, part_time(number), part_time(number + 1), f"{seen:.3f}"),
                *(escape_cell(label), int(begun.get(label, 0)), f"{seconds:.3f}", share),
            ]

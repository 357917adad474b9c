"""Timelines as tables and documents: JSON, JSON Lines, CSV, TSV.

Spreadsheets run a cell that starts with = + - @ as a formula, and labels and file names are
untrusted. In CSV and TSV such a cell starts with an apostrophe, and line breaks and other control
characters become blanks, so that every row is a line. JSON keeps all text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vidattn.io.json import dumps
from vidattn.timeline import Timeline
from vidattn.timeline.wall_clock import wall_time

COLUMNS = ("path", "start", "end", "start_frame", "end_frame", "label", "label_id", "score")
WALL_COLUMNS = ("wall_start", "wall_end")
FORMULA = ("=", "+", "-", "@")


def json(timeline: Timeline) -> str:
    """The document vidattn/timeline/1, which `Timeline.from_json` reads."""
    return timeline.to_json() + "\n"


def jsonl(timeline: Timeline) -> str:
    """One JSON object per line and segment: the columns of the CSV and the alternatives."""
    rows = timeline.to_dict()["segments"]
    return "".join(dumps({"path": timeline.source, **row}) + "\n" for row in rows)


def csv(timeline: Timeline) -> str:
    """One row per segment under the header COLUMNS; times in seconds, empty if unknown.

    WALL_COLUMNS follow where it is known when the video was recorded.
    """
    timed = timeline.settings.start_time is not None
    rows = [",".join((*COLUMNS, *WALL_COLUMNS * timed)) + "\n"]
    for s in timeline.segments:
        start, end = (f"{t:.3f}" for t in (s.window.start, s.window.stop))
        path, label = escape_cell(timeline.source), escape_cell(s.label)
        frames = s.start_frame, s.end_frame
        cells = (path, start, end, *frames, label, s.label_id, f"{s.score:.5f}")
        wall = (wall_time(timeline, t) for t in (s.window.start, s.window.stop))
        rows.append(csv_row((*cells, *wall) if timed else cells))
    return "".join(rows)


def tsv(timeline: Timeline) -> str:
    """One row per segment: start, end (whole milliseconds), label, score."""
    rows = ["start\tend\tlabel\tscore\n"]
    for s in timeline.segments:
        start, end = (round(t * 1000) for t in (s.window.start, s.window.stop))
        rows.append(f"{start}\t{end}\t{escape_cell(s.label)}\t{s.score:.5f}\n")
    return "".join(rows)


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

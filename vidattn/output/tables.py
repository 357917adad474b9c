"""Timelines as tables and documents: JSON, JSON Lines, CSV, TSV.

A spreadsheet takes a cell that begins with = + - @ for a formula and runs it, and labels and file
names come from strangers. In CSV and TSV such a cell begins with an apostrophe. JSON keeps the text
as it is.
"""

from __future__ import annotations

import csv as csv_module
import io
import re

from vidattn.timeline import Timeline, one_line

COLUMNS = ("path", "start", "end", "start_frame", "end_frame", "label", "label_id", "score")


def json(timeline: Timeline) -> str:
    """The document vidattn/timeline/1, which `Timeline.from_json` reads."""
    return timeline.to_json() + "\n"


def jsonl(timeline: Timeline) -> str:
    """One JSON object a line for each segment: the columns of the CSV and the alternatives."""
    rows = timeline.to_dict()["segments"]
    return "".join(one_line({"path": timeline.source, **row}) + "\n" for row in rows)


def csv(timeline: Timeline) -> str:
    """One row for each segment under the header COLUMNS; times in seconds, empty where unknown."""
    text = io.StringIO()
    writer = csv_module.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for s in timeline.segments:
        start, end = (f"{t:.3f}" for t in (s.window.start, s.window.stop))
        frames = s.start_frame, s.end_frame
        path, label = safe_cell(timeline.source), safe_cell(s.label)
        writer.writerow((path, start, end, *frames, label, s.label_id, f"{s.score:.5f}"))
    return text.getvalue()


def tsv(timeline: Timeline) -> str:
    """start, end, label, score of each segment under a header; times in whole milliseconds.

    White space within a label becomes one blank, so that a row is a line and has four cells.
    """
    rows = ["start\tend\tlabel\tscore\n"]
    for s in timeline.segments:
        start, end = (round(t * 1000) for t in (s.window.start, s.window.stop))
        label = safe_cell(re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", s.label).strip())
        rows.append(f"{start}\t{end}\t{label}\t{s.score:.5f}\n")
    return "".join(rows)


def safe_cell(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

"""Tables of `path,label,start,end[,split]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidattn.data.annotations import annotation
from vidattn.data.tabular import note_columns, number_rows, parse_rows, read_rows
from vidattn.io.text import count_noun
from vidattn.types import Window

HINT = "rows are path,label,start,end[,split], with times in seconds or as 1:30.5"


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    rows = read_rows(path)
    splits = [row.fields.get("split", "") for row in rows]
    chosen, notes = annotation.choose_subset(path, splits, split)
    rows = [
        row
        for row, value in zip(rows, splits, strict=True)
        if chosen is None or value.casefold() == chosen
    ]
    notes += note_columns(path)
    spans: dict[str, dict[str, annotation.Spans]] = {}
    empty = 0
    parsed = parse_rows(path, number_rows(rows), _parse_row, hint=HINT)
    for row, (name, found) in zip(rows, parsed, strict=True):
        empty += found is None
        own, roi = spans.setdefault(name, {}), row.fields.get("roi", "")
        own[roi] = own.get(roi, ()) + (found or ())
    if empty:
        notes.append(f"{path}: {count_noun(empty, 'row')} without length: left out")
    videos = (annotation.annotate_areas(name, own) for name, own in spans.items())
    return annotation.GroundTruth(tuple(videos), tuple(notes))


FORMAT = annotation.Format(
    "a table of path,label,start,end[,split]",
    lambda path: path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"),
    _read,
)


def _parse_row(fields: Mapping[str, str]) -> tuple[str, annotation.Spans | None]:
    """A video and its span; none in a row without label, start and end: all is background.

    None for a span without length.
    """
    name = fields.get("path") or fields.get("youtube_id", "")
    label, start, end = (fields.get(key, "") for key in ("label", "start", "end"))
    if not name:
        raise ValueError("names no video")
    if not (label or start or end):
        return name, ()
    try:
        if float(start) == float(end):
            return name, None
        window = Window(float(start), float(end))
        if window.start < 0:
            raise ValueError  # as in a list of samples
    except ValueError:
        raise ValueError(f"needs 0 <= start < end in seconds, has {start!r} and {end!r}") from None
    if not label:
        raise ValueError("has no label")
    return name, ((window, label),)

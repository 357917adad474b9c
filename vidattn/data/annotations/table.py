"""Tables of `path,label,start,end[,split]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidattn.data.annotations import annotation
from vidattn.data.tabular import number_rows, parse_rows, read_rows
from vidattn.types import Window

HINT = "rows are path,label,start,end[,split], with times in seconds"


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    rows = read_rows(path)
    splits = [row.fields.get("split", "") for row in rows]
    chosen, notes = annotation.choose_subset(path, splits, split)
    rows = [
        row
        for row, value in zip(rows, splits, strict=True)
        if chosen is None or value.casefold() == chosen
    ]
    spans: dict[str, annotation.Spans] = {}
    for name, found in parse_rows(path, number_rows(rows), _parse_row, hint=HINT):
        spans[name] = spans.get(name, ()) + found
    videos = (
        annotation.AnnotatedVideo(name, spans=annotation.sort_spans(s)) for name, s in spans.items()
    )
    return annotation.GroundTruth(tuple(videos), tuple(notes))


FORMAT = annotation.Format(
    "a table of path,label,start,end[,split]",
    lambda path: path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"),
    _read,
)


def _parse_row(fields: Mapping[str, str]) -> tuple[str, annotation.Spans]:
    """A video and its span; none in a row without label, start and end: all is background."""
    name = fields.get("path") or fields.get("youtube_id", "")
    label, start, end = (fields.get(key, "") for key in ("label", "start", "end"))
    if not name:
        raise ValueError("names no video")
    if not (label or start or end):
        return name, ()
    try:
        window = Window(float(start), float(end))
    except ValueError:
        raise ValueError(f"needs start < end in seconds, has {start!r} and {end!r}") from None
    if not label:
        raise ValueError("has no label")
    return name, ((window, label),)

"""Observations of BORIS: project files, and tables of events or of aggregated events.

A label is a behavior, with its modifiers in brackets: "groom [face|long]". Subjects are areas of
the picture (`--roi`) that have their names; else what several do at a time overlaps.
"""

from __future__ import annotations

import csv
import json
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from vidattn.data.annotations import annotation
from vidattn.errors import DataError
from vidattn.io.csv_table import MARKS, use_points
from vidattn.io.files import MOST_BYTES, is_folder, read_file, reading
from vidattn.io.text import count_noun

POINT_SECONDS = 1.0
"""The span around a point event, half before and half after it."""
NO_SUBJECT = "no focal subject"
"""In exported tables."""
BySubject = dict[str, annotation.Spans]
UNSET = "None"
"""The name of a modifier that was left out."""
HEAD_BYTES = 1 << 16
HINT = "a .boris project, or its events exported as tsv or csv (tabular or aggregated)"
TIMES, STARTS, STOPS = "time", "start (s)", "stop (s)"
"""Columns of the two kinds of tables."""
MEDIA = ("media file name", "media file", "media file path")


class _Event(NamedTuple):
    time: float
    subject: str
    label: str
    is_point: bool


def _matches(path: Path) -> bool:
    name = path.name.lower()
    if is_folder(path) or not name.endswith((".boris", ".boris.gz", ".csv", ".tsv")):
        return False
    if name.endswith((".csv", ".tsv")):
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError:
            return False
        return _find_header(head.decode("utf-8-sig", "replace").splitlines()) is not None
    return True


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    notes: list[str] = []
    read = _read_table if path.suffix.lower() in (".csv", ".tsv") else _read_project
    try:
        videos = tuple(read(path, notes))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise DataError(f"{path}: is not of BORIS: {error}", hint=HINT) from None
    annotation.choose_subset(path, [], split)
    return annotation.GroundTruth(videos, tuple(notes))


FORMAT = annotation.Format(
    "a project of BORIS, or its exported events", _matches, _read, trainable=True
)


def label_of(behavior: str, modifiers: str) -> str:
    """A behavior with its modifiers, which BORIS separates by bars; unset ones are left out."""
    used = [word.strip() for word in modifiers.split("|") if word.strip() not in ("", UNSET)]
    return f"{behavior.strip()} [{'|'.join(used)}]" if used else behavior.strip()


def _load_project(path: Path) -> Mapping[str, Any]:
    with reading(path, DataError):
        data = read_file(path)
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(data, MOST_BYTES)
        except zlib.error as error:
            raise DataError(f"{path}: is damaged: {error}") from None
        if unpacker.unconsumed_tail:
            raise DataError(f"{path}: unpacks to more than {MOST_BYTES} bytes")
    project: Mapping[str, Any] = json.loads(data)
    return project


def _read_project(path: Path, notes: list[str]) -> Iterator[annotation.AnnotatedVideo]:
    project = _load_project(path)
    types = {row["code"]: row["type"] for row in (project.get("behaviors_conf") or {}).values()}
    left_out = []
    for name, observation in sorted(project["observations"].items()):
        media = [str(file) for file in (observation.get("file") or {}).get("1") or ()]
        if not media:
            left_out.append(name)
            continue
        if unknown := [row[2] for row in observation["events"] if row[2] not in types]:
            raise DataError(
                f"{path}: observation {name}: {unknown[0]!r} is none of the project's behaviors",
                hint="add it to the ethogram, as a state or a point event",
            )
        events = [
            _Event(float(row[0]), str(row[1]), label_of(row[2], row[3]), "Point" in types[row[2]])
            for row in observation["events"]
        ]
        spans = _pair(events, f"{path}: observation {name}", notes)
        lengths = (observation.get("media_info") or {}).get("length") or {}
        yield from _share(spans, media, lengths)
    if left_out:
        notes.append(f"{path}: {count_noun(len(left_out), 'observation')} without video: left out")


def _share(
    spans: BySubject, media: list[str], lengths: Mapping[str, Any]
) -> Iterator[annotation.AnnotatedVideo]:
    """The spans of an observation in each of its videos, which follow one another."""
    begin = 0.0
    for number, file in enumerate(media):
        duration = float(lengths[file]) if file in lengths else None
        last = number == len(media) - 1
        if duration is None and not last:
            raise ValueError(f"does not say how long {file} is")
        end = math.inf if last or duration is None else begin + duration
        own = {subject: _cut(these, begin, end) for subject, these in spans.items()}
        yield annotation.annotate_areas(file, own, duration)
        begin = end


def _cut(spans: annotation.Spans, begin: float, end: float) -> annotation.Spans:
    """What is between two times, counted from the first."""
    own: annotation.Spans = ()
    for window, label in spans:
        start, stop = max(window.start, begin), min(window.stop, end)
        own += annotation.make_span(start - begin, stop - begin, label)
    return own


def _pair(events: Iterable[_Event], where: str, notes: list[str]) -> BySubject:
    """Spans of state events, which begin and end alike, and of point events."""
    begun: dict[tuple[str, str], float] = {}
    spans: BySubject = defaultdict(tuple)
    points = 0
    for event in sorted(events):
        key = (event.subject, event.label)
        if event.is_point:
            points += 1
            half = POINT_SECONDS / 2
            window = event.time - half, event.time + half
            spans[event.subject] += annotation.make_span(*window, event.label)
        elif key in begun:
            spans[event.subject] += annotation.make_span(begun.pop(key), event.time, event.label)
        else:
            begun[key] = event.time
    if points:
        count = count_noun(points, "point event")
        notes.append(f"{where}: {count} taken for {POINT_SECONDS:g} s each")
    if begun:
        notes.append(f"{where}: {count_noun(len(begun), 'state event')} without end: left out")
    return spans


def _find_header(lines: list[str]) -> int | None:
    """The line with the names of the columns, below a description of the observation."""
    for number, line in enumerate(lines):
        names = _names(line)
        if "behavior" in names and (TIMES in names or {STARTS, STOPS} <= {*names}):
            known = {"observation id", "behavior type", "status"} & {*names}
            return number if known else None
    return None


def _names(line: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in line.split(_delimiter(line))]


def _delimiter(line: str) -> str:
    return max(MARKS, key=line.count)


def _read_table(path: Path, notes: list[str]) -> Iterator[annotation.AnnotatedVideo]:
    lines = annotation.read_text(path).splitlines()
    first = _find_header(lines)
    if first is None:
        raise ValueError("no line names the columns")
    mark = _delimiter(lines[first])
    rows = csv.reader(lines[first:], delimiter=mark)
    names = [name.strip().lower() for name in next(rows)]
    media = next((name for name in MEDIA if name in names), "")
    videos: dict[str, list[dict[str, str]]] = {}
    sources: dict[str, set[str]] = {}
    for cells in rows:
        row = dict(zip_longest(names, cells[: len(names)], fillvalue=""))
        row = use_points(row, mark, (TIMES, STARTS, STOPS))
        if not row.get("behavior"):
            continue
        video = row.get(media) or ""
        if not video or video == "NA":
            raise ValueError("its rows name no video")
        videos.setdefault(video, []).append(row)
        sources.setdefault(row.get("observation id", ""), set()).add(video)
    if several := [name for name, own in sources.items() if len(own) > 1]:
        raise DataError(
            f"{path}: observation {several[0]} has several videos, and times count through all",
            hint="give the project file (.boris), which says how long each is",
        )
    for video, own in videos.items():
        spans = _table_spans(own, f"{path}: {video}", notes)
        yield annotation.annotate_areas(video, spans)


def _table_spans(rows: list[dict[str, str]], where: str, notes: list[str]) -> BySubject:
    labels = [label_of(row["behavior"], _modifiers(row)) for row in rows]
    if STARTS not in rows[0]:
        kinds = [row.get("behavior type") or row.get("status") or "" for row in rows]
        events = [
            _Event(float(row[TIMES]), _subject(row), label, kind.upper() == "POINT")
            for row, label, kind in zip(rows, labels, kinds, strict=True)
        ]
        return _pair(events, where, notes)
    points = [
        _Event(float(row[STARTS]), _subject(row), label, True)
        for row, label in zip(rows, labels, strict=True)
        if row.get("behavior type", "").upper() == "POINT"
    ]
    spans = _pair(points, where, notes)
    for row, label in zip(rows, labels, strict=True):
        if row.get("behavior type", "").upper() != "POINT":
            window = float(row[STARTS]), float(row[STOPS])
            spans[_subject(row)] += annotation.make_span(*window, label)
    return spans


def _subject(row: Mapping[str, str]) -> str:
    name = row.get("subject", "")
    return "" if name.lower() == NO_SUBJECT else name


def _modifiers(row: Mapping[str, str]) -> str:
    """The modifiers of a row, in one column or in numbered ones."""
    return row.get("modifiers") or "|".join(
        value for name, value in row.items() if name.startswith("modifier #")
    )

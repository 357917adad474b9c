"""Spans that people labeled or corrected: ELAN documents, and what Label Studio exports.

Each names its film and what happens in it from when to when. They are training data (a span is an
example) and ground truth (see `truth`); spans called "background" say that nothing happens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from vidattn.data.labeled_dataset import SUFFIXES as VIDEOS
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder, reading
from vidattn.types import Window

SUFFIXES = frozenset({".eaf", ".json"})
OURS = "vidattn"
"""The tier that `-f eaf` writes; where it is, other tiers are somebody's notes."""
MILLISECONDS = re.compile(r"-?\d{1,15}")
RATE_KEYS = ("fps", "frameRate", "framerate", "frame_rate")
"""Where a task of Label Studio may say how many frames a second its video has."""
FORMS = "a task list exported from Label Studio as JSON, or an .eaf file of ELAN"

Spans = tuple[tuple[Window, str], ...]


@dataclass(frozen=True)
class HandAnnotated:
    """One film and its labeled spans, sorted; they may overlap."""

    film: str
    """Its path as the annotation has it, without what servers put before it."""
    spans: Spans
    duration: float | None = None


def read_annotated(path: Path) -> tuple[tuple[HandAnnotated, ...], tuple[str, ...]]:
    """The films of an .eaf file, a folder of them, or a Label Studio export; and notes.

    Raises DataError that names what is wrong and where.
    """
    notes: list[str] = []
    if is_folder(path):
        found = [_elan(file, notes) for file in sorted(path.glob("*.eaf"))]
    elif path.suffix.lower() == ".eaf":
        found = [_elan(path, notes)]
    else:
        found = _label_studio(path, notes)
    return tuple(found), tuple(notes)


def is_annotated(path: Path) -> bool:
    """Whether a file or folder looks like one of these; reads a few bytes of a .json file."""
    if is_folder(path):
        return next(path.glob("*.eaf"), None) is not None
    if path.suffix.lower() != ".json":
        return path.suffix.lower() == ".eaf"
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return False
    # Label Studio exports a list of tasks; the other layouts are objects.
    return re.match(rb"\s*\[\s*\{", head.removeprefix(b"\xef\xbb\xbf")) is not None


def located(film: str, near: Path) -> Path:
    """Where a film is: at its path, below `near` or in it, else where it should be below `near`."""
    path = Path(film)
    places = [near / path, near / path.name, path]
    return next((place for place in places if is_file(place)), places[0])


def _elan(path: Path, notes: list[str]) -> HandAnnotated:
    root = _xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{path}: is no ELAN document, it begins with <{root.tag}>")
    film, offset = _media(path, root)
    slots = {}
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        value = slot.get("TIME_VALUE", "")
        if MILLISECONDS.fullmatch(value):
            slots[slot.get("TIME_SLOT_ID")] = (int(value) + offset) / 1000
    tiers = {
        tier.get("TIER_ID", ""): tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
        for tier in root.iterfind("TIER")
    }
    used = {OURS: tiers[OURS]} if OURS in tiers else {k: rows for k, rows in tiers.items() if rows}
    if len(used) > 1:
        notes.append(f"{path}: the labels are those of the tiers {', '.join(used)}")
    spans, left = [], 0
    for row in (row for rows in used.values() for row in rows):
        times = slots.get(row.get("TIME_SLOT_REF1")), slots.get(row.get("TIME_SLOT_REF2"))
        span = _span(*times, row.findtext("ANNOTATION_VALUE") or "")
        spans += [span] if span else []
        left += span is None
    if left:
        notes.append(f"{path}: {left} annotations have no label or no times: left out")
    return HandAnnotated(film, _sorted(spans))


def _media(path: Path, root: ElementTree.Element) -> tuple[str, int]:
    """The film of an ELAN document, and the milliseconds that its time 0 is into it."""
    found = []
    for one in root.findall("HEADER/MEDIA_DESCRIPTOR"):
        origin = one.get("TIME_ORIGIN", "0")
        offset = int(origin) if MILLISECONDS.fullmatch(origin) else 0
        films = (film_of(one.get(key) or "") for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL"))
        found += [(f, offset) for f in films if PurePosixPath(f).suffix.lower() in VIDEOS]
    # A document that was moved may know one way only to its film.
    there = (one for one in found if is_file(located(one[0], path.parent)))
    if found:
        return next(there, found[0])
    return path.stem.removesuffix(".vidattn"), 0


def _xml(path: Path) -> ElementTree.Element:
    with reading(path, DataError):
        data = path.read_bytes()
    # Entities can grow without bound, and none of these formats needs a definition.
    plain = data.replace(b"\0", b"")  # in UTF-16 every other byte is zero
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise DataError(f"{path}: has a document type definition, which is refused")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: is not XML: {error}") from None


def _label_studio(path: Path, notes: list[str]) -> list[HandAnnotated]:
    try:
        with reading(path, DataError):
            tasks = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not JSON", hint=f"annotations are {FORMS}") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{path}: is no list of tasks", hint=f"annotations are {FORMS}")
    found, open_tasks = [], 0
    for number, task in enumerate(tasks, start=1):
        try:
            rows = _results(task)
            if rows is None:
                open_tasks += 1
            else:
                found.append(_task(task.get("data", task), rows))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise DataError(f"{path}: task {number}: {error}", hint=_hint(error)) from None
    if open_tasks:
        notes.append(f"{path}: {open_tasks} tasks nobody has annotated: left out")
    if not found:
        raise DataError(
            f"{path}: nobody has annotated any of its {len(tasks)} tasks",
            hint="predictions do not count: submit them in Label Studio and export again",
        )
    return found


def _results(task: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The values of a task's annotation, of several the last; None when there is none."""
    if "annotations" in task:
        done = [a for a in task["annotations"] if not a.get("was_cancelled")]
        return [r["value"] for r in done[-1]["result"] if "value" in r] if done else None
    if "predictions" in task:
        return None
    # The short export, JSON-MIN: results under the names of their tags.
    lists = [v for v in task.values() if isinstance(v, list)]
    rows: list[Mapping[str, Any]] = [
        r for v in lists for r in v if isinstance(r, dict) and "ranges" in r
    ]
    return rows or None


def _task(data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> HandAnnotated:
    texts = [value for value in data.values() if isinstance(value, str)]
    named = (text for text in texts if film_of(text).lower().endswith(tuple(VIDEOS)))
    film = data.get("video") or next(named, None)
    if not isinstance(film, str):
        raise ValueError("its data names no video")
    fps = next((float(data[key]) for key in RATE_KEYS if data.get(key)), None)
    spans = []
    for row in rows:
        if "ranges" not in row:
            continue
        if fps is None or not 0 < fps < math.inf:
            raise KeyError("fps")
        for label in row.get("timelinelabels") or row.get("labels") or ():
            for part in row["ranges"]:
                span = _span((int(part["start"]) - 1) / fps, int(part["end"]) / fps, str(label))
                spans += [span] if span else []
    duration = float(data["duration"]) if data.get("duration") else None
    if duration is not None and not 0 < duration < math.inf:
        raise ValueError(f"its duration is {duration:g} s")
    return HandAnnotated(film_of(film), _sorted(spans), duration)


def _hint(error: Exception) -> str | None:
    if isinstance(error, KeyError) and error.args[0] == "fps":
        return "ranges count frames: give the data of each task an fps, as -f labelstudio does"
    return f"annotations are {FORMS}"


def film_of(address: str) -> str:
    """The path of a film from an address, or from what Label Studio makes of it.

    file:///a/b.mp4, ./b%20c.mp4, /data/local-files/?d=a/b.mp4, /data/upload/1/0123abcd-b.mp4
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # half a bracket where a host should be
        return address
    if "local-files" in parts.path and "d" in parse_qs(parts.query):
        return parse_qs(parts.query)["d"][0]
    if "/upload/" in parts.path:
        return re.sub(r"^[0-9a-f]{8}-", "", unquote(PurePosixPath(parts.path).name))
    if parts.scheme == "file":
        return unquote(parts.path)
    if parts.scheme in ("http", "https", "s3", "gs", "azure-blob"):
        return unquote(PurePosixPath(parts.path).name)
    return unquote(address).removeprefix("./")


def _span(start: float | None, stop: float | None, label: str) -> tuple[Window, str] | None:
    """A span, or None where there is none; times to the microsecond, none before 0."""
    if start is None or stop is None or not label.strip():
        return None
    start, stop = round(max(start, 0.0), 6), round(stop, 6)
    return (Window(start, stop), label.strip()) if start < stop else None


def _sorted(spans: Iterable[tuple[Window, str]]) -> Spans:
    return tuple(sorted(spans, key=lambda span: (span[0], span[1])))

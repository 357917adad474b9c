"""What happens when in long videos, as people annotated it: five layouts, one form.

A folder (or one file) of texts with a label for each frame, as MS-TCN distributes Breakfast,
50Salads and GTEA; one JSON file as ActivityNet, THUMOS and HACS have it; a table of
`path,label,start,end[,split]`; what annotators saved, see `annotated`; subtitles, see `cues`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidattn.config.labels import normalize_label
from vidattn.data.annotations import subtitles
from vidattn.data.annotations.elan_labelstudio import is_annotated, read_annotated
from vidattn.data.labeled_dataset import SPLITS, name_first
from vidattn.data.tabular import Row, RowErrors, read_rows
from vidattn.errors import DataError
from vidattn.io.files import exists, is_file, is_folder, reading
from vidattn.types import Window

LAYOUTS = (
    "a folder of .txt files with a label a line for each frame (mapping.txt beside them), "
    "a .json file with a database of annotations, a table of path,label,start,end[,split], "
    "an .eaf file of ELAN or a folder of them, a JSON export of Label Studio, or subtitles "
    "(.srt, .vtt) with a label in each cue"
)
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
NOT_TRUTH = frozenset({"mapping", "labels", "classes", "readme"})
"""Stems of texts that lie beside those with labels of frames."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """What happens in one video: labels of its frames, or labeled spans. Never both."""

    name: str
    """Its path or id, as the annotation calls it."""
    frames: tuple[str, ...] = ()
    """A label for each frame, background included."""
    spans: tuple[tuple[Window, str], ...] = ()
    """Sorted; they may overlap. Time in none of them is background."""
    duration: float | None = None
    """Seconds, where the annotation tells them."""
    part: Window | None = None
    """The part of the video that it speaks of, where that is known not to be all of it."""


@dataclass(frozen=True)
class GroundTruth:
    """The videos of an annotation that are to be judged."""

    videos: tuple[AnnotatedVideo, ...]
    notes: tuple[str, ...] = ()


def read_ground_truth(path: Path, split: str | None = None) -> GroundTruth:
    """Read an annotation in any of the layouts; no video is opened.

    split: the subset that counts. For texts of frames that is a list of names (a file, or one below
    splits/), by default all; otherwise a value of the column or key, by default that for
    validation. Raises DataError that names what is wrong and where.
    """
    if is_annotated(path):
        found = _by_hand(path, split)
    elif is_folder(path) or path.suffix.lower() == ".txt":
        found = _frame_texts(path, split)
    elif path.suffix.lower() == ".json":
        found = _database(path, split)
    elif path.suffix.lower() in TABLES:
        found = _table(path, split)
    elif path.suffix.lower() in subtitles.SUFFIXES and is_file(path):
        _subset(path, [], split)
        film = path.stem.removesuffix(".vidattn")
        found = GroundTruth(
            (AnnotatedVideo(film, spans=subtitles.read_subtitles(_text(path), str(path))),)
        )
    else:
        missing = "" if exists(path) else "no such file or folder; "
        raise DataError(f"{path}: {missing}not a ground truth", hint=f"it is {LAYOUTS}")
    if not found.videos:
        raise DataError(f"{path}: annotates no video", hint=f"a ground truth is {LAYOUTS}")
    return found


def _by_hand(path: Path, split: str | None) -> GroundTruth:
    films, notes = read_annotated(path)
    _subset(path, [], split)
    videos = (AnnotatedVideo(film.film, spans=film.spans, duration=film.duration) for film in films)
    return GroundTruth(tuple(videos), notes)


def _text(path: Path) -> str:
    try:
        with reading(path, DataError):
            return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None


def _frame_texts(path: Path, split: str | None) -> GroundTruth:
    """MS-TCN: <root>/groundTruth/<video>.txt, <root>/mapping.txt, <root>/splits/<name>.bundle."""
    folder = path / "groundTruth" if is_folder(path / "groundTruth") else path
    files = [path] if is_file(path) else sorted(folder.glob("*.txt"))
    files = [f for f in files if f == path or f.stem.casefold() not in NOT_TRUTH]
    if not files:
        raise DataError(f"{path}: holds no .txt files", hint=f"a ground truth is {LAYOUTS}")
    near = [folder if is_folder(path) else path.parent, folder.parent, path.parent.parent]
    if split is not None:
        files = _listed(files, _split_file(split, near))
    names = _mapping(near)
    return GroundTruth(
        tuple(AnnotatedVideo(file.stem, frames=_labels(file, names)) for file in files)
    )


def _split_file(split: str, near: Sequence[Path]) -> Path:
    """The list of names that a split is."""
    places = [Path(split)]
    places += [p / "splits" / f"{split}{end}" for p in near for end in ("", ".bundle", ".txt")]
    found = next((place for place in places if is_file(place)), None)
    if found is None:
        known = sorted({p.stem for where in near for p in (where / "splits").glob("*.bundle")})
        raise DataError(
            f"--split {split}: neither a file nor a list in splits/",
            hint=f"there are {', '.join(known)}" if known else "name a file with a name a line",
        )
    return found


def _listed(files: Sequence[Path], bundle: Path) -> list[Path]:
    by_stem = {file.stem: file for file in files}
    wanted = [Path(line.strip()).stem for line in _text(bundle).splitlines() if line.strip()]
    missing = [name for name in wanted if name not in by_stem]
    if missing:
        raise DataError(
            f"{bundle}: {len(missing)} of its videos have no truth: {name_first(missing)}"
        )
    return [by_stem[name] for name in dict.fromkeys(wanted)]


def _mapping(folders: Iterable[Path]) -> dict[str, str] | None:
    """mapping.txt: a line `number label` for each class; None when there is none."""
    path = next((p / "mapping.txt" for p in folders if is_file(p / "mapping.txt")), None)
    if path is None:
        return None
    rows = [line.split(None, 1) for line in _text(path).splitlines() if line.strip()]
    if any(len(row) != 2 or not row[0].isdecimal() for row in rows):
        raise DataError(f"{path}: its lines are not `number label`")
    return {number: label.strip() for number, label in rows}


def _labels(path: Path, names: Mapping[str, str] | None) -> tuple[str, ...]:
    """The label of each frame; numbers become names where a mapping knows them."""
    labels = [line.strip() for line in _text(path).splitlines()]
    while labels and not labels[-1]:
        labels.pop()
    known = set(names.values()) if names else set()
    for number, label in enumerate(labels, 1):
        if not label or (names and label not in known and label not in names):
            raise DataError(
                f"{path}: line {number}: {label!r} is no class of mapping.txt"
                if label
                else f"{path}: line {number} is empty; there is a label for each frame"
            )
    if not labels:
        raise DataError(f"{path}: is empty; there is a label for each frame")
    return tuple(names.get(label, label) if names else label for label in labels)


def _database(path: Path, split: str | None) -> GroundTruth:
    """ActivityNet: {"database": {id: {subset, duration, annotations: [{segment, label}]}}}."""
    try:
        plain = json.loads(_text(path))
        videos = {str(k): dict(v) for k, v in plain["database"].items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise DataError(
            f'{path}: is no JSON with a "database" of videos', hint=f"a ground truth is {LAYOUTS}"
        ) from None
    subsets = [str(v["subset"]) if "subset" in v else "" for v in videos.values()]
    chosen, notes = _subset(path, subsets, split)
    empty: list[str] = []
    found = []
    for (name, video), subset in zip(videos.items(), subsets, strict=True):
        if chosen is None or subset.casefold() == chosen:
            found.append(_annotated(path, name, video, empty))
    if empty:
        notes.append(f"{path}: {len(empty)} annotations have no length: {name_first(empty)}")
    return GroundTruth(tuple(found), tuple(notes))


def _annotated(path: Path, name: str, video: Mapping[str, Any], empty: list[str]) -> AnnotatedVideo:
    spans = []
    try:
        for row in video.get("annotations", ()):
            start, stop = (float(t) for t in row["segment"])
            if not (math.isfinite(start) and math.isfinite(stop)):
                raise ValueError
            if start < stop:
                spans.append((Window(start, stop), str(row["label"])))
            else:
                empty.append(name)
        duration = float(video["duration"]) if video.get("duration") else None
        if duration is not None and not 0 < duration < math.inf:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise DataError(f"{path}: {name}: an annotation is not {{segment, label}}") from None
    return AnnotatedVideo(name, spans=_sorted(spans), duration=duration)


def _table(path: Path, split: str | None) -> GroundTruth:
    rows = read_rows(path)
    chosen, notes = _subset(path, [row.fields.get("split", "") for row in rows], split)
    problems = RowErrors(path)
    spans: dict[str, list[tuple[Window, str]]] = {}
    for row in rows:
        if chosen is None or row.fields.get("split", "").casefold() == chosen:
            _add(row, spans, problems)
    problems.raise_if_any()
    videos = tuple(AnnotatedVideo(name, spans=_sorted(found)) for name, found in spans.items())
    return GroundTruth(videos, tuple(notes))


def _add(row: Row, spans: dict[str, list[tuple[Window, str]]], problems: RowErrors) -> None:
    """One row; without label, start and end it says that in this video nothing happens."""
    name = row.fields.get("path") or row.fields.get("youtube_id", "")
    label, start, end = (row.fields.get(key, "") for key in ("label", "start", "end"))
    if not name:
        problems.add(row.line, "names no video")
        return
    found = spans.setdefault(name, [])
    if not (label or start or end):
        return
    try:
        window = Window(float(start), float(end))
    except ValueError:
        problems.add(row.line, f"needs start < end in seconds, has {start!r} and {end!r}")
        return
    if label:
        found.append((window, label))
    else:
        problems.add(row.line, "has no label")


def _sorted(spans: Iterable[tuple[Window, str]]) -> tuple[tuple[Window, str], ...]:
    return tuple(sorted(spans, key=lambda span: (span[0], normalize_label(span[1]))))


def _subset(path: Path, values: Sequence[str], split: str | None) -> tuple[str | None, list[str]]:
    """Which subset counts, folded, or None for all; and a note if nobody chose it."""
    there = dict.fromkeys(value.casefold() for value in values if value)
    if split is not None:
        if split.casefold() not in there:
            known = ", ".join(there) or "no subsets"
            raise DataError(f"{path}: has no subset {split!r}", hint=f"it has {known}")
        return split.casefold(), []
    chosen = next((name for name in SPLITS["val"] if name in there), None)
    if chosen is None or len(there) == 1:
        return None, []
    return chosen, [f"{path}: its subset {chosen} counts; --split names another"]

"""Layout: Kinetics, as it is published and as people keep it.

What is looked for below the folder of the set, first found first taken:

1. the official annotations, a csv with label, youtube_id, time_start, time_end[, split], and videos
   called <youtube_id>_<start>_<end>.mp4 (six digits each) or <youtube_id>.mp4 anywhere below, in
   class folders or not;
2. lists {train,val}.csv of `path label`, with any separator, as the official code reads them;
3. class folders in train/ and val/.

Class numbers are those of the official, alphabetical list of names, whatever is on disk. Videos
vanish from the source all the time, so a tenth may be missing; a note says how many are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vidattn.classes import canonical
from vidattn.classes import labels as names_of
from vidattn.data import table
from vidattn.data.folder import open_folder
from vidattn.data.labelled import (
    LabelledSet,
    Split,
    is_video,
    missing_note,
    numbers_of,
    split_of,
)
from vidattn.data.rows import Problems, Row, first_columns, read_rows
from vidattn.errors import DataError
from vidattn.types import Item

MAX_MISSING = 0.1
FOLDERS = ("", "annotations", "lists", "splits")
"""Where lists lie, below the folder of the set."""

VIDEO_FOLDERS = ("", "{split}", "videos_{split}", "videos", "clips")
"""Where the relative paths of a list may begin."""


def open_kinetics(
    name: str, root: Path, split: Split, max_missing: float | None = None
) -> LabelledSet:
    """One half of the Kinetics set `name` (such as "k400") below `root`.

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, or rows are malformed.
    """
    names = names_of(name)
    allowed = MAX_MISSING if max_missing is None else max_missing
    for path in _lists(root, split):
        columns = first_columns(path) or {}
        if "youtube_id" in columns and (_rank(path, split) < 2 or "split" in columns):
            return _open_annotations(name, root, path, split, names, allowed)
        if "youtube_id" not in columns and _rank(path, split) < 2:
            base = _base(root, path, split)
            return table.open_lists(
                {split: path}, split, root=base, names=names, max_missing=allowed, name=name
            )
    return open_folder(root, split, name=name, names=names)


def _lists(root: Path, split: Split) -> list[Path]:
    """Files that may list this half: called after it (val.csv, kinetics_val.csv), or after none."""
    files = [
        path
        for folder in FOLDERS
        if (root / folder).is_dir()
        for path in sorted((root / folder).iterdir())
        if path.suffix.lower() in table.SUFFIXES
    ]
    ranked = [(_rank(path, split), len(path.name), i) for i, path in enumerate(files)]
    return [files[i] for rank, _, i in sorted(ranked) if rank < 3]


def _rank(path: Path, split: Split) -> int:
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    halves = {split_of(word) for word in words} - {None}
    if split_of(path.stem) == split and not path.stem.casefold().startswith("test"):
        return 0
    if halves == {split} and "test" not in words:
        return 1
    return 2 if not halves else 3


def _open_annotations(
    name: str, root: Path, path: Path, split: Split, names: Sequence[str], max_missing: float
) -> LabelledSet:
    rows = [row for row in read_rows(path) if split_of(row.fields.get("split") or split) == split]
    if not rows:
        raise DataError(f"{path}: no row belongs to {split}")
    files = _files_by_stem(root)
    numbers = numbers_of(names)
    problems = Problems(path)
    items, missing = [], []
    for row in rows:
        number = numbers.get(canonical(row.fields.get("label", "")))
        stems = _stems(row)
        if number is None or not stems:
            problems.add(row.line, _complaint(row, name))
            continue
        found = next((files[stem] for stem in stems if stem in files), None)
        if found is None:
            missing.append(f"{stems[0]}.mp4")
        else:
            items.append(Item(found, number))
    problems.raise_if_any()
    notes = missing_note(missing, len(rows), str(path), max_missing)
    return LabelledSet(name, root, split, tuple(names), tuple(items), notes)


def _stems(row: Row) -> list[str]:
    """What the file of a row may be called, without suffix; nothing when the row is malformed."""
    video = row.fields.get("youtube_id", "")
    start, end = row.fields.get("start", ""), row.fields.get("end", "")
    if not video:
        return []
    if not start and not end:
        return [video]
    try:
        return [f"{video}_{int(float(start)):06d}_{int(float(end)):06d}", video]
    except (ValueError, OverflowError):
        return []


def _complaint(row: Row, name: str) -> str:
    label = row.fields.get("label", "")
    if not label:
        return "no label"
    if not _stems(row):
        return "no youtube_id, or times that are not seconds"
    return f"the label {label!r} is no class of {name}"


def _files_by_stem(root: Path) -> dict[str, str]:
    """Every video below a folder by its name without suffix; of equal names the first by path."""
    found: dict[str, str] = {}
    for where, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            if is_video(file):
                found.setdefault(Path(file).stem, str(Path(where, file)))
    return found


def _base(root: Path, path: Path, split: Split) -> Path:
    """Where the relative paths of a list begin: the place most of its first files are found."""
    sample = [row.fields.get("path", "") for row in read_rows(path)[:50]]

    def hits(base: Path, paths: Iterable[str] = sample) -> int:
        return sum((base / p).is_file() for p in paths)

    places = [root / folder.format(split=split) for folder in VIDEO_FOLDERS]
    return max(places, key=hits)

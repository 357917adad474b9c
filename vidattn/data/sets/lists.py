"""Layout: what every named set may also be: lists of `path label`, or class folders by half.

{train,val}.csv of `path label`, with any separator, as the official code reads them, or called
after the half in another way (kinetics_val.csv, sthv2_train_list_videos.txt), in the folder of
the set or in annotations/, labels/, lists/ or splits/; paths begin there or in a folder of
videos, and names without a suffix are ids of videos anywhere below;
class folders in train/ and val/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vidattn.data.labeled_dataset import LabeledDataset, Split, is_video, parse_split
from vidattn.data.sets import csv_list
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.video_index import VideoIndex, VideoKey, frame_of, matched
from vidattn.data.tabular import Row, read_rows
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder

MAX_MISSING = 0.1
"""The share of a named set that may be missing: videos vanish from the source all the time."""

FOLDERS = ("", "annotations", "labels", "lists", "splits")
"""Where lists lie, below the folder of the set."""

VIDEO_FOLDERS = ("", "{split}", "videos_{split}", "videos", "clips")
"""Where the relative paths of a list may begin."""

Fits = Callable[[Path], bool]


def first_file(root: Path, names: Iterable[str], folders: Sequence[str] = FOLDERS) -> Path | None:
    """The first of several files that is in one of the folders below `root`."""
    places = (root / folder / name for name in names for folder in folders)
    return next((path for path in places if is_file(path)), None)


def open_otherwise(
    name: str,
    root: Path,
    split: Split,
    labels: Sequence[str] | None,
    max_missing: float,
    layouts: str,
    fits: Fits = lambda path: True,
) -> LabeledDataset:
    """One half of a named set out of lists or class folders, where its own files are not there.

    labels: its classes in order, None when the set does not say. layouts: all that it may look
    like, for the hint. fits: whether a list may be meant. Raises DataError.
    """
    halves: tuple[Split, Split] = ("train", "val")
    found = {half: path for half in halves if (path := _list_of(root, half, fits))}
    if split in found:
        # The other half matters only where the lists themselves have to say which classes exist.
        lists = found if labels is None else {split: found[split]}
        return _open_list(name, root, split, lists, labels, max_missing)
    if any(parse_split(child.name) for child in root.iterdir() if is_folder(child) and fits(child)):
        return open_folder(root, split, name=name, names=labels)
    raise DataError(f"{root}: nothing in it lists the {split} half of {name}", hint=layouts)


def _open_list(
    name: str,
    root: Path,
    split: Split,
    lists: Mapping[Split, Path],
    labels: Sequence[str] | None,
    max_missing: float,
) -> LabeledDataset:
    path = lists[split]
    rows = _rows(path)
    if any(is_video(Path(row.fields.get("path", "")).name) for row in rows):
        base = _base(root, rows, split)
        return csv_list.open_lists(
            lists, split, root=base, names=labels, max_missing=max_missing, name=name
        )
    tables = {file: rows if file == path else _rows(file) for file in lists.values()}
    known, numbers = csv_list.classes_of(tables, labels)
    examples = csv_list.examples_of(path, rows, Path(), numbers)
    wanted = [
        VideoKey((example.path.as_posix(),), example.label, suffix="") for example in examples
    ]
    frame = frame_of(name, root, split, known)
    return matched(wanted, frame, path, max_missing, VideoIndex(root, id_of))


def _rows(path: Path) -> list[Row]:
    """The rows of a list; a column of ids serves for paths."""
    return [
        Row(row.line, {"path": row.fields.get("youtube_id", ""), **row.fields})
        for row in read_rows(path)
    ]


def _list_of(root: Path, split: Split, fits: Fits) -> Path | None:
    ranked = (path for path in lists_of(root, split) if rank(path, split) < 2 and fits(path))
    return next(iter(ranked), None)


def id_of(stem: str) -> str:
    """The id in the name of a video that may end in the times it was cut at."""
    return re.sub(r"_\d{6}_\d{6}$", "", stem)


def says_fold(fold: int) -> Fits:
    """Whether a list may be of a numbered split: its name says so, or says nothing and it is 1."""

    def fits(path: Path) -> bool:
        found = re.search(r"split_?0*(\d+)|list0*(\d+)", path.stem.casefold())
        return fold == (int(found[1] or found[2]) if found else 1)

    return fits


def lists_of(root: Path, split: Split) -> list[Path]:
    """Files that may list a half, best first: called after it, or after none."""
    files = [
        path
        for folder in FOLDERS
        if is_folder(root / folder)
        for path in sorted((root / folder).iterdir())
        if path.suffix.lower() in csv_list.SUFFIXES and is_file(path)
    ]
    ranked = [(rank(path, split), len(path.name), i) for i, path in enumerate(files)]
    return [files[i] for place, _, i in sorted(ranked) if place < 3]


def rank(path: Path, split: Split) -> int:
    """How surely a file is the list of a half: 0 by its name, 1 by a word, 2 maybe, 3 not."""
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    halves = {parse_split(word) for word in words} - {None}
    if parse_split(path.stem) == split and not path.stem.casefold().startswith("test"):
        return 0
    if halves == {split} and "test" not in words:
        return 1
    return 2 if not halves else 3


def _base(root: Path, rows: Sequence[Row], split: Split) -> Path:
    """Where the relative paths of a list begin: the place most of its first files are found."""
    sample = [row.fields.get("path", "") for row in rows[:50]]

    def hits(base: Path, paths: Iterable[str] = sample) -> int:
        return sum(is_file(base / p) for p in paths)

    places = [root / folder.format(split=split) for folder in VIDEO_FOLDERS]
    return max(places, key=hits)

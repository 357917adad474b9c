"""Parts of all named datasets: where their files lie, and the layouts that each may have.

Besides its published layout a named dataset may consist of lists or of class folders:
{train,val}.csv of `path label`, with any separator, as the official code reads them, or called
after the split in another way (kinetics_val.csv, sthv2_train_list_videos.txt), in the folder of
the dataset or in annotations/, labels/, lists/ or splits/; paths begin there or in a folder of
videos, and names without a suffix are ids of videos anywhere below;
class folders in train/ and val/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.labeled_dataset import LabeledDataset, Split, note_missing, parse_split
from vidattn.data.sets import csv_list
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.video_index import VideoIndex, VideoKey
from vidattn.data.tabular import Row, read_rows
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder
from vidattn.io.search import is_video
from vidattn.types import Item

SPLIT_NAMES: tuple[Split, Split] = ("train", "val")

MAX_MISSING = 0.1
"""The share of a named dataset that may be missing: videos vanish from the source all the time."""

LIST_FOLDERS = ("", "annotations", "labels", "lists", "splits")
"""Where lists lie, below the folder of the dataset."""

VIDEO_FOLDERS = ("", "{split}", "videos_{split}", "videos", "clips")
"""Where the relative paths of a list may begin."""


@dataclass(frozen=True)
class NamedDataset:
    """One split of a named dataset below a folder, as a layout opens it."""

    name: str
    root: Path
    split: Split
    max_missing: float
    """The share of listed videos that may be missing."""

    @property
    def fold(self) -> int:
        """The published split, from 1 on: of "ucf101-2" the second."""
        return int(self.name.rpartition("-")[2]) if "-" in self.name else 1

    def find_file(self, names: Iterable[str], folders: Sequence[str] = LIST_FOLDERS) -> Path | None:
        """The first of several files that is in one of the folders below the root."""
        places = (self.root / folder / name for name in names for folder in folders)
        return next((path for path in places if is_file(path)), None)

    def match(
        self,
        wanted: Iterable[VideoKey],
        labels: Sequence[str],
        where: Path,
        index: VideoIndex | None = None,
        notes: tuple[str, ...] = (),
    ) -> LabeledDataset:
        """The wanted videos that are below the root, and a note on the others.

        where: the list of them, for messages. Raises DataError when too many are missing.
        """
        index = index or VideoIndex(self.root)
        items, missing = [], []
        for video in wanted:
            path = index.find_any(video.names)
            if path is None:
                missing.append(video.names[0] + video.suffix)
            else:
                items.append(Item(path, video.label, frames=video.frames))
        total = len(items) + len(missing)
        notes = (*notes, *note_missing(missing, total, str(where), self.max_missing))
        return LabeledDataset(
            self.name, self.root, self.split, tuple(labels), tuple(items), notes, tuple(missing)
        )

    def open_other_layout(
        self, labels: Sequence[str] | None, layouts: str, *, fold: int | None = None
    ) -> LabeledDataset:
        """The split out of lists or class folders, where the published files are not there.

        labels: the classes in order, None when the dataset does not state them. layouts: all
        layouts, for the hint. fold: the published split that lists must be of. Raises DataError.
        """

        def fits(path: Path) -> bool:
            return fold is None or fold == _fold_in(path)

        lists: dict[Split, Path] = {}
        for split in SPLIT_NAMES:
            for path in reversed(list_files(self.root, split)):
                if rank(path, split) < 2 and fits(path):
                    lists[split] = path
        if self.split in lists:
            # The other list matters only where lists alone state the classes.
            if labels is not None:
                lists = {self.split: lists[self.split]}
            return self._open_lists(lists, labels)
        children = (child for child in self.root.iterdir() if is_folder(child))
        if any(parse_split(child.name) and fits(child) for child in children):
            return open_folder(self.root, self.split, name=self.name, names=labels)
        folders = [str(self.root / folder) for folder in LIST_FOLDERS]
        raise DataError(
            f"{self.root}: nothing in it lists the {self.split} split of {self.name}; searched for "
            f"lists such as {self.split}.csv in {', '.join(folders)}, and for class folders in "
            f"{self.root / self.split}",
            hint=f"another folder: --data-root DIR; in it: {layouts}",
        )

    def _open_lists(self, lists: dict[Split, Path], labels: Sequence[str] | None) -> LabeledDataset:
        path = lists[self.split]
        tables = {file: _read_ids(file) for file in lists.values()}
        rows = tables[path]
        if any(is_video(Path(row.fields.get("path", "")).name) for row in rows):
            return csv_list.open_lists(
                lists,
                self.split,
                root=_find_base(self.root, rows, self.split),
                names=labels,
                max_missing=self.max_missing,
                name=self.name,
            )
        known, numbers = csv_list.read_classes(tables, labels)
        videos = csv_list.list_videos(path, rows, Path(), numbers)
        wanted = [VideoKey((video.path.as_posix(),), video.label, suffix="") for video in videos]
        return self.match(wanted, known, path, VideoIndex(self.root, video_id))


Opener = Callable[[NamedDataset], LabeledDataset]
"""Opens a split in the published layout or another one. Raises DataError."""


def _read_ids(path: Path) -> list[Row]:
    """The rows of a list; a column of ids serves for paths."""
    return [
        Row(row.line, {"path": row.fields.get("youtube_id", ""), **row.fields})
        for row in read_rows(path)
    ]


def video_id(stem: str) -> str:
    """The id in the name of a video that may end in the times it was cut at."""
    return re.sub(r"_\d{6}_\d{6}$", "", stem)


def _fold_in(path: Path) -> int:
    """The number of a published split in a name, 1 where there is none."""
    found = re.search(r"split_?0*(\d+)|list0*(\d+)", path.stem.casefold())
    return int(found[1] or found[2]) if found else 1


def list_files(root: Path, split: Split) -> list[Path]:
    """Files that may list a split, best first: called after it, or after none."""
    files = [
        path
        for folder in LIST_FOLDERS
        if is_folder(root / folder)
        for path in sorted((root / folder).iterdir())
        if path.suffix.lower() in csv_list.SUFFIXES and is_file(path)
    ]
    ranked = [(rank(path, split), len(path.name), i) for i, path in enumerate(files)]
    return [files[i] for place, _, i in sorted(ranked) if place < 3]


def rank(path: Path, split: Split) -> int:
    """How surely a file lists a split: 0 by its name, 1 by a word, 2 maybe, 3 not."""
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    named = {parse_split(word) for word in words} - {None}
    if parse_split(path.stem) == split and not path.stem.casefold().startswith("test"):
        return 0
    if named == {split} and "test" not in words:
        return 1
    return 3 if named else 2


def _find_base(root: Path, rows: Sequence[Row], split: Split) -> Path:
    """Where the relative paths of a list begin: where most of its first files are."""
    paths = [row.fields.get("path", "") for row in rows[:50]]
    places = [root / folder.format(split=split) for folder in VIDEO_FOLDERS]
    return max(places, key=lambda base: sum(is_file(base / path) for path in paths))

"""Where the videos that annotations name really are: every file below a folder, by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.labeled_dataset import LabeledDataset, Split, is_video, note_missing
from vidattn.types import Item


@dataclass(frozen=True)
class VideoKey:
    """One annotated video."""

    names: tuple[str, ...]
    """What its file may be called without suffix, perhaps after its class folder (jump/a)."""
    label: int
    frames: tuple[int, int] | None = None
    """See Item."""
    suffix: str = ".mp4"
    """What it was published with, for telling that it is missing."""


class VideoIndex:
    """Every video below a folder, found by name, in whatever folders below it lies.

    Suffixes do not count, so that converted copies are found. Of equal names the one in the folder
    asked for is taken, else the first by path. id_of: the part of a name that is asked for, when
    files are called after more than that.
    """

    def __init__(self, root: Path, id_of: Callable[[str], str] | None = None) -> None:
        self._first: dict[str, str] = {}
        self._others: dict[str, list[str]] = {}
        for where, folders, files in os.walk(root, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for file in sorted(files):
                if is_video(file):
                    stem = os.path.splitext(file)[0]  # noqa: PTH122
                    self._add(stem, str(Path(where, file)))
                    if id_of is not None and id_of(stem) != stem:
                        self._first.setdefault(id_of(stem), str(Path(where, file)))

    def _add(self, stem: str, path: str) -> None:
        if self._first.setdefault(stem, path) != path:
            self._others.setdefault(stem, []).append(path)

    def find(self, name: str) -> str | None:
        """The path of a video by its name, with class folder or without; None when not there."""
        folder, _, stem = name.rpartition("/")
        first = self._first.get(stem)
        if first is None or not folder or stem not in self._others:
            return first
        same = [first, *self._others[stem]]
        return next((path for path in same if Path(path).parent.name == folder), None)

    def any_of(self, names: Sequence[str]) -> str | None:
        """The first of several names that is there."""
        return next((path for name in names if (path := self.find(name))), None)


def without_suffix(name: str) -> str:
    """A path as a list states it, without the suffix of a video."""
    return os.path.splitext(name)[0] if is_video(Path(name).name) else name  # noqa: PTH122


def matched(
    wanted: Sequence[VideoKey],
    frame: LabeledDataset,
    where: Path,
    max_missing: float,
    index: VideoIndex | None = None,
) -> LabeledDataset:
    """`frame` with the wanted videos that are below its root as items, and a note on the others.

    where: what named them. Raises DataError when more than the share `max_missing` is missing.
    """
    index = index or VideoIndex(frame.root)
    items, missing = [], []
    for video in wanted:
        path = index.any_of(video.names)
        if path is None:
            missing.append(video.names[0] + video.suffix)
        else:
            items.append(Item(path, video.label, frames=video.frames))
    notes = note_missing(missing, len(wanted), str(where), max_missing)
    return LabeledDataset(
        frame.name,
        frame.root,
        frame.split,
        frame.labels,
        tuple(items),
        (*frame.notes, *notes),
        tuple(missing),
    )


def frame_of(name: str, root: Path, split: Split, labels: Sequence[str]) -> LabeledDataset:
    """A half of a set whose videos are still to be found."""
    return LabeledDataset(name, root, split, tuple(labels), ())

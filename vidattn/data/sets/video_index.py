"""Videos anywhere below a folder, found by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.labeled_dataset import find_videos
from vidattn.io.search import is_video


@dataclass(frozen=True)
class VideoKey:
    """One annotated video."""

    names: tuple[str, ...]
    """Possible names of its file without suffix, perhaps with its class folder (jump/a)."""
    label: int
    frames: tuple[int, int] | None = None
    """See Item."""
    suffix: str = ".mp4"
    """As published, for reporting that it is missing."""


class VideoIndex:
    """Every video below a folder, found by name, in whatever folder below it lies.

    Suffixes do not count, so that converted copies are found. Of equal names the one in the folder
    asked for is taken, else the first by path. id_of: the part of a name that also finds it.
    """

    def __init__(self, root: Path, id_of: Callable[[str], str] | None = None) -> None:
        self._first: dict[str, str] = {}
        self._others: dict[str, list[str]] = {}
        for path in map(str, find_videos(root)):
            stem = Path(path).stem
            if self._first.setdefault(stem, path) != path:
                self._others.setdefault(stem, []).append(path)
            if id_of is not None:
                self._first.setdefault(id_of(stem), path)

    def find(self, name: str) -> str | None:
        """The path of a video by its name, with class folder or without; None when not there."""
        folder, _, stem = name.rpartition("/")
        first = self._first.get(stem)
        if first is None or not folder or stem not in self._others:
            return first
        same = [first, *self._others[stem]]
        return next((path for path in same if Path(path).parent.name == folder), None)

    def find_any(self, names: Sequence[str]) -> str | None:
        """The first of several names that is there."""
        return next((path for name in names if (path := self.find(name))), None)


def strip_suffix(name: str) -> str:
    """A path in a list, without the suffix of a video."""
    return os.path.splitext(name)[0] if is_video(Path(name).name) else name  # noqa: PTH122

"""Searching folders for videos, which are known by the ends of their names."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from vidattn.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".hevc", ".m2ts"}
    | {".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt"}
    | {".ts", ".vob", ".webm", ".wmv"}
)
"""Ends of the names, in any case, by which videos are found; a file named directly may have any."""


def is_video(name: str) -> bool:
    """Whether a file of this name counts as a video; hidden files do not."""
    return not name.startswith(".") and suffix_of(name) in VIDEO_SUFFIXES


def suffix_of(name: str) -> str:
    """The end of a name in lower case, such as ".mp4"."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - any name


def refuse_folder(error: OSError) -> None:
    """Raise DataError for a folder that cannot be searched: its files would be missing silently."""
    raise DataError(f"{error.filename}: cannot be searched: {error.strerror}") from None


def walk_files(
    folder: str | Path, unreadable: Callable[[OSError], None] = refuse_folder
) -> Iterator[str]:
    """Every file below a folder, by name, folder after folder; hidden folders are left out.

    Real folders come before linked ones, so that a file keeps its own path where it has one. Each
    folder is searched once, which ends circular links. unreadable: called with the error of every
    folder that cannot be searched.
    """
    searched: set[str] = set()
    links = deque([os.fspath(folder)])
    while links:
        for place, folders, files in os.walk(links.popleft(), onerror=unreadable):
            real = os.path.realpath(place)
            if real in searched:
                folders.clear()
                continue
            searched.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = (Path(place, name) for name in folders)
            links += (str(path) for path in below if path.is_symlink())
            yield from (str(Path(place, name)) for name in sorted(files))

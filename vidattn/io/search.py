"""Searching folders for videos, which are known by the ends of their names."""

from __future__ import annotations

import difflib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from vidattn.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".hevc", ".m2ts"}
    | {".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt"}
    | {".ts", ".vob", ".webm", ".wmv"}
)
"""Ends of the names, in any case, by which videos are found; a file named directly may have any."""


MOST_COMPARED = 2000
"""Names in a folder that are compared with one that is not there."""


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


def suggest_names(text: str, fits: Callable[[Path], bool], known: Iterable[str] = ()) -> str:
    """ "did you mean A or B? ", of names like this one: of `known`, and of the files and folders
    beside it that fit, whatever their ends; empty without any."""
    names = {name: name for name in known}
    with suppress(OSError):  # no such folder, or one that may not be searched
        for path in map(str, islice(Path(text).parent.iterdir(), MOST_COMPARED)):
            names |= {os.path.splitext(path)[0]: path, path: path}  # noqa: PTH122 - any name
    close = (names[key] for key in difflib.get_close_matches(text, names, n=9, cutoff=0.6))
    found = [name for name in dict.fromkeys(close) if name in known or fits(Path(name))][:3]
    return f"did you mean {' or '.join(found)}? " if found else ""

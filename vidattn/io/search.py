"""Searching folders for videos, which are known by the ends of their names."""

from __future__ import annotations

import difflib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path, PurePath

from vidattn.errors import DataError
from vidattn.io.files import is_file

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


def find_named(names: Iterable[str], path: str, folder: Path | None = None) -> str | None:
    """Which of the names that a file gives to videos is that of a path; None for none, or several.

    Its own path, else the one that shares its file name, with or without ending, and most folders
    above. A name with another folder right above is of another video; so is one of another file
    that exists below `folder`, or here.
    """
    own = Path(os.path.abspath(path))  # noqa: PTH100 - also without ".."
    near = [name for name in names if name.endswith((own.name, own.stem))]
    shared = {name: _count_shared(name, own) for name in near}
    files = {name: folder and _locate(name, folder) for name, count in shared.items() if count}
    for name, file in files.items():
        if file is not None and file.resolve() == own.resolve():
            return name
    shared = {name: count for name, count in shared.items() if files.get(name) is None}
    most = max(shared.values(), default=0)
    best = [name for name, count in shared.items() if count == most > 0]
    return path if path in shared else best[0] if len(best) == 1 else None


def _count_shared(name: str, own: Path) -> int:
    """How many parts a name shares with a path, from the last one on; 0 for another video."""
    video = PurePath(name.replace("\\", "/"))
    if video.name not in (own.name, own.stem):
        return 0
    pairs = list(zip(reversed(video.parts[:-1]), reversed(own.parts[:-1]), strict=False))
    if pairs and pairs[0][0] not in (pairs[0][1], ".."):
        return 0
    return 1 + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _locate(name: str, folder: Path) -> Path | None:
    """The file of a name below `folder`, or here."""
    return next((file for file in (folder / name, Path(name)) if is_file(file)), None)

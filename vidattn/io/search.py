"""Searching folders for videos, which are known by the ends of their names."""

from __future__ import annotations

import difflib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path, PurePath, PureWindowsPath

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
    """Which of the names that a file gives to videos is that of a path; None for none.

    Names match by file name, without the ending of a video and a leading "v_", and by the folder
    right above where both have one. That does not count in the full path of a file which is not on
    this computer, unless the folder it names is beside that of the other. With `folder`, a name of
    another file that exists below it, or here, is of that file. Of several names it is the path
    itself, else the one that shares most folders above. Raises DataError that names two which share
    as many.
    """
    whole = os.path.abspath(path) if is_file(path) else path.replace("\\", "/")  # noqa: PTH100
    file = Path(whole)
    keys = {video_key(file.name), video_key(file.stem)}
    least = min(keys, key=len)
    near = [name for name in names if least in name and video_key(name) in keys]
    ranks = [(rank, name) for name in near if (rank := _rank(name, path, file, folder))]
    best = max((rank for rank, _ in ranks), default=None)
    found = [name for rank, name in ranks if rank == best]
    if len(found) > 1:
        raise DataError(
            f"{path}: may be {found[0]} or {found[1]}: their folders do not decide",
            hint="name more of the folders above each video",
        )
    return found[0] if found else None


def video_key(name: str) -> str:
    """What the names of a video share: its file name without ending and a leading "v_"."""
    name = PurePath(name.replace("\\", "/")).name
    stem = PurePath(name).stem if suffix_of(name) in VIDEO_SUFFIXES else name
    return stem.removesuffix(".vidattn").removeprefix("v_")


def _rank(name: str, path: str, file: Path, folder: Path | None) -> tuple[float, bool] | None:
    """How many folders a name shares with a file, and whether their endings are the same; None
    where it is of another one."""
    if folder is not None and (own := _locate(name, folder)) is not None:
        return (math.inf, True) if own.resolve() == file.resolve() else None
    video = Path(name.replace("\\", "/"))
    pairs = list(zip(reversed(video.parts[:-1]), reversed(file.parts[:-1]), strict=False))
    shared: float = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    if name == path:
        shared = math.inf
    elif pairs and not shared and pairs[0][0] != "..":
        if not _was_moved(video, file):
            return None
        shared = -1
    return shared, video.name == file.name


def _was_moved(one: Path, other: Path) -> bool:
    """Whether one of two paths, which differ in the folder, is a full one of another computer."""
    beside = (a.parent.parent / b.parent.name / b.name for a, b in ((one, other), (other, one)))
    away = any(PureWindowsPath(str(path)).root and not is_file(path) for path in (one, other))
    return away and not any(map(is_file, beside))


def _locate(name: str, folder: Path) -> Path | None:
    """The file of a name below `folder`, or here."""
    return next((file for file in (folder / name, Path(name)) if is_file(file)), None)

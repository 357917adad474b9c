"""Searching folders for videos, which are known by the ends of their names."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath, PureWindowsPath
from typing import TypeVar

from vidattn.errors import DataError
from vidattn.io.files import is_file

K = TypeVar("K")

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


class VideoNames:
    """The names that a file gives to videos, of which `find` tells that of a path.

    Names match by file name, without the ending of a video and a leading "v_", and by the folder
    right above where both have one. That does not count in the full path of a file which is not on
    this computer, unless the folder it names is beside that of the other. With `folder`, a name of
    another file that exists below it, or here, is of that file. Of several names it is the path
    itself, else the one that shares most folders above.
    """

    def __init__(self, names: Iterable[str], folder: Path | None = None) -> None:
        self._exact = defaultdict[str, list[str]](list)
        self._located = defaultdict[tuple[str, Path], list[str]](list)
        """By key and file, of those that `folder` decides."""
        self._near = defaultdict[tuple[str, ...], list[str]](list)
        """By key and any number of the folders above, the last first."""
        self._bare = defaultdict[str, list[str]](list)
        """By key, of those without a folder that counts."""
        self._full = defaultdict[str, list[str]](list)
        """By key, of those that are full paths."""
        for name in names:
            self._add(name, folder)

    def _add(self, name: str, folder: Path | None) -> None:
        key = video_key(name)
        if folder is not None and (own := _locate(name, folder)) is not None:
            self._located[key, own.resolve()].append(name)
            return
        folders = _folders(_as_path(name))
        self._exact[name].append(name)
        for depth in range(len(folders) + 1):
            place = (key, *folders[:depth])
            self._near[place].append(name)
        if not folders or folders[0] == "..":
            self._bare[key].append(name)
        if PureWindowsPath(name).root:
            self._full[key].append(name)

    def find(self, path: str) -> str | None:
        """The name of a path; None for none. Raises DataError that names two which fit alike."""
        file = Path(os.path.abspath(path)) if is_file(path) else _as_path(path)  # noqa: PTH100
        near = self._exact.get(path) or self._find_near(file)
        found = [name for name in near if _as_path(name).name == file.name] or near
        if len(found) > 1:
            raise DataError(
                f"{path}: may be {found[0]} or {found[1]}: their folders do not decide",
                hint="name more of the folders above each video",
            )
        return found[0] if found else None

    def _find_near(self, file: Path) -> list[str]:
        """The names that share most folders with a file."""
        keys = dict.fromkeys((video_key(file.name), video_key(file.stem)))
        folders = _folders(file)
        if self._located and (own := _gather(self._located, ((k, file.resolve()) for k in keys))):
            return own
        for depth in range(len(folders), 0, -1):
            if near := _gather(self._near, ((key, *folders[:depth]) for key in keys)):
                return near
        if not folders:
            return _gather(self._near, ((key,) for key in keys))
        if bare := _gather(self._bare, keys):
            return bare
        if PureWindowsPath(str(file)).root and not is_file(file):
            names = _gather(self._near, ((key,) for key in keys))
        else:
            names = [name for name in _gather(self._full, keys) if not is_file(_as_path(name))]
        return [name for name in names if not _are_beside(_as_path(name), file)]


def video_key(name: str) -> str:
    """What the names of a video share: its file name without ending and a leading "v_"."""
    name = PurePath(name.replace("\\", "/")).name
    stem = PurePath(name).stem if suffix_of(name) in VIDEO_SUFFIXES else name
    return stem.removesuffix(".vidattn").removeprefix("v_")


def _as_path(name: str) -> Path:
    """A name whose folders may be separated as on Windows."""
    return Path(name.replace("\\", "/"))


def _folders(file: Path) -> tuple[str, ...]:
    """The folders above a file, the last first."""
    return file.parts[-2::-1]


def _gather(names: Mapping[K, list[str]], keys: Iterable[K]) -> list[str]:
    return [name for key in keys for name in names.get(key, ())]


def _are_beside(one: Path, other: Path) -> bool:
    """Whether the folder that one of two paths names is there, beside that of the other."""
    beside = (a.parent.parent / b.parent.name / b.name for a, b in ((one, other), (other, one)))
    return any(map(is_file, beside))


def _locate(name: str, folder: Path) -> Path | None:
    """The file of a name below `folder`, or here."""
    return next((file for file in (folder / name, Path(name)) if is_file(file)), None)

"""INPUT arguments to a list of paths: files, directories, globs, @lists and standard input.

Each path comes with the folder, below that of all results, in which its results belong: a file that
was named itself has none; what lies below a directory keeps its place there and the directory its
name, as `cp -r` would; what a list or a pattern names keeps its path, as `cp --parents` would.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from vidattn.errors import InputError, VideoError
from vidattn.io.files import exists, is_folder, reading

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What a directory is searched for; a file named directly may be called anything."""
ANNOTATED = ".vidattn.mp4"
"""Films that vidattn made of others are no input, unless one is named itself."""


@dataclass(frozen=True)
class Input:
    """A path to do, and where its results belong."""

    path: str
    folder: str = ""
    """Relative to the folder of all results."""


def expand(inputs: Sequence[str]) -> list[str]:
    """The paths meant by INPUT arguments, in order, each once.

    A directory stands for the videos below it (sorted by name; links to folders are followed, each
    folder once), `@list.txt` for the lines of a
    file, `-` for the lines of standard input, and a pattern with `*`, `?` or `[` that is not itself
    a file for what it matches. Other paths are passed on as they are, for the reader to judge.
    Raises InputError when a directory, list or pattern yields nothing, or all of them together.
    """
    return [found.path for found in found_by(inputs)]


def found_by(inputs: Sequence[str]) -> list[Input]:
    """As `expand`, with the folders in which results belong."""
    found: dict[str, Input] = {}
    for one in _each(inputs):
        found.setdefault(one.path, one)
    if not found:
        raise InputError(f"{' '.join(inputs)}: names no input", hint="give one path a line")
    return list(found.values())


def require_one(paths: Sequence[str]) -> None:
    """Find out before a model is loaded, or downloaded, that no input is there.

    Raises VideoError E_GONE. What is there, or is an address, is for the reader to judge.
    """
    if any("://" in path or os.path.lexists(path) for path in paths):
        return
    more = f", nor any of {len(paths) - 1} others" if len(paths) > 1 else ""
    raise VideoError(f"{paths[0]}: no such file{more}", code="E_GONE", hint="check the path")


def _each(inputs: Iterable[str]) -> Iterator[Input]:
    for given in inputs:
        if not given:
            raise InputError("an empty path names nothing")
        if given == "-":
            yield from map(_written, _lines(sys.stdin))
        elif given.startswith("@") and not exists(Path(given)):
            yield from map(_written, _list_file(Path(given[1:])))
        elif is_folder(Path(given)):
            paths = _found(given, _videos_below(given), "no videos below this directory")
            root = os.path.dirname(os.path.normpath(given))  # noqa: PTH120 - "." stays "."
            yield from (Input(path, _kept(os.path.relpath(path, root or "."))) for path in paths)
        elif glob.has_magic(given) and not os.path.lexists(given):
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - any path, absolute too
            yield from map(
                _written, _found(given, _flatten(matches), "nothing matches this pattern")
            )
        else:
            yield Input(given)


def _written(path: str) -> Input:
    return Input(path, _kept(path))


def _kept(path: str) -> str:
    """The folder of a path, made relative; never one above."""
    parts = PurePath(os.path.normpath(path)).parent.parts
    return str(PurePath(*(part for part in parts if part not in ("/", "//", ".."))))


def _lines(lines: Iterable[str]) -> Iterator[str]:
    stripped = (line.rstrip("\r\n") for line in lines)
    return (line for line in stripped if line)


def _list_file(path: Path) -> list[str]:
    with (
        reading(f"@{path}", InputError, hint="@FILE reads one path a line"),
        path.open(encoding="utf-8-sig", errors="surrogateescape") as lines,
    ):
        return list(_lines(lines))


def _videos_below(directory: str) -> Iterator[str]:
    """Real folders first, so that what links lead to keeps its own path where it has one here; then
    linked ones. Each folder is searched once, so links that lead in circles end."""
    searched: set[str] = set()
    links = deque([directory])
    while links:
        for folder, folders, files in os.walk(links.popleft()):
            place = os.path.realpath(folder)
            if place in searched:
                folders.clear()
                continue
            searched.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = (Path(folder, name) for name in folders)
            links += (str(path) for path in below if path.is_symlink())
            for name in sorted(files):
                if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.endswith(ANNOTATED):
                    yield str(Path(folder, name))


def _flatten(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if is_folder(Path(path)):
            yield from _videos_below(path)
        elif not path.endswith(ANNOTATED):
            yield path


def _found(given: str, paths: Iterable[str], complaint: str) -> list[str]:
    paths = list(paths)
    if not paths:
        raise InputError(
            f"{given}: {complaint}", hint=f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return paths

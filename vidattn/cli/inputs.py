"""INPUT arguments to a list of paths: files, directories, globs, @lists and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vidattn.errors import InputError, VideoError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What a directory is searched for; a file named directly may be called anything."""


def expand(inputs: Sequence[str]) -> list[str]:
    """The paths meant by INPUT arguments, in order, each once.

    A directory stands for the videos below it (sorted by name), `@list.txt` for the lines of a
    file, `-` for the lines of standard input, and a pattern with `*`, `?` or `[` that is not itself
    a file for what it matches. Other paths are passed on as they are, for the reader to judge.
    Raises InputError when a directory, list or pattern yields nothing, or all of them together.
    """
    paths = list(dict.fromkeys(_each(inputs)))
    if not paths:
        raise InputError(f"{' '.join(inputs)}: names no input", hint="give one path a line")
    return paths


def require_one(paths: Sequence[str]) -> None:
    """Find out before a model is loaded, or downloaded, that no input is there.

    Raises VideoError E_GONE. What is there, or is an address, is for the reader to judge.
    """
    if any("://" in path or os.path.lexists(path) for path in paths):
        return
    more = f", nor any of {len(paths) - 1} others" if len(paths) > 1 else ""
    raise VideoError(f"{paths[0]}: no such file{more}", code="E_GONE", hint="check the path")


def _each(inputs: Iterable[str]) -> Iterator[str]:
    for given in inputs:
        if not given:
            raise InputError("an empty path names nothing")
        if given == "-":
            yield from _lines(sys.stdin)
        elif given.startswith("@") and not Path(given).exists():
            yield from _list_file(Path(given[1:]))
        elif Path(given).is_dir():
            yield from _found(given, _videos_below(given), "no videos below this directory")
        elif glob.has_magic(given) and not os.path.lexists(given):
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - any path, absolute too
            yield from _found(given, _flatten(matches), "nothing matches this pattern")
        else:
            yield given


def _lines(lines: Iterable[str]) -> Iterator[str]:
    stripped = (line.rstrip("\r\n") for line in lines)
    return (line for line in stripped if line)


def _list_file(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            return list(_lines(lines))
    except OSError as error:
        raise InputError(f"@{path}: {error.strerror}", hint="@FILE reads one path a line") from None


def _videos_below(directory: str) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield str(Path(folder, name))


def _flatten(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from _videos_below(path) if Path(path).is_dir() else [path]


def _found(given: str, paths: Iterable[str], complaint: str) -> list[str]:
    paths = list(paths)
    if not paths:
        raise InputError(
            f"{given}: {complaint}", hint=f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return paths

"""Inputs of a batch run: videos in files, folders, patterns and lists; shards; names of results."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from pathlib import Path, PurePath

from vidattn.errors import InputError, UsageError, VideoError
from vidattn.io.digest import sha256
from vidattn.io.files import exists, is_folder, reading

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""Extensions that a folder is searched for; a file named directly may have any."""
ANNOTATED = ".vidattn.mp4"
"""Ending of annotated videos, which count as inputs only when named directly."""


@dataclass(frozen=True)
class VideoInput:
    """The path of a video and the folder of its results, relative to the output folder."""

    path: str
    folder: str = ""


Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A path, or several."""


def find_videos(inputs: Paths) -> list[VideoInput]:
    """The videos that paths stand for, in order, each once.

    A folder stands for the videos below it (sorted by name; each linked folder is searched once),
    `@list.txt` for the lines of a file, `-` for the lines of standard input, and a pattern with
    `*`, `?` or `[` for its matches unless a file has that name. Other paths are kept unchecked.

    Results of a file that was named directly go to the output folder itself; those of a folder keep
    their place below the name of that folder, as with `cp -r`; those of a list or pattern keep
    their path, as with `cp --parents`.

    Raises InputError when a folder, list or pattern yields nothing, or all inputs together.
    """
    if isinstance(inputs, str | os.PathLike):  # a string is also an iterable of letters, and of "/"
        inputs = [inputs]
    names = [os.fspath(given) for given in inputs]
    videos: dict[str, VideoInput] = {}
    for one in (video for name in names for video in _expand(name)):
        videos.setdefault(one.path, one)
    if not videos:
        raise InputError(f"{' '.join(names)}: names no input", hint="give one path per line")
    return list(videos.values())


def find_existing(inputs: Iterable[str | os.PathLike[str]]) -> list[VideoInput]:
    """As `find_videos`; raises as `require_existing`."""
    videos = find_videos(inputs)
    require_existing(videos)
    return videos


def require_existing(videos: Sequence[VideoInput]) -> None:
    """Raise VideoError E_GONE when none of the videos exists, before a model is loaded.

    Addresses are left to the reader.
    """
    if any("://" in one.path or os.path.lexists(one.path) for one in videos):
        return
    more = f", nor any of {len(videos) - 1} others" if len(videos) > 1 else ""
    raise VideoError(f"{videos[0].path}: no such file{more}", code="E_GONE", hint="check the path")


def _expand(given: str) -> Iterator[VideoInput]:
    if not given:
        raise InputError("an empty path names no video")
    if given == "-":
        yield from map(_with_folder, _read_lines(sys.stdin))
    elif given.startswith("@") and not exists(Path(given)):
        yield from map(_with_folder, _read_list(Path(given[1:])))
    elif is_folder(Path(given)):
        root = os.path.dirname(os.path.normpath(given))  # noqa: PTH120 - "." stays "."
        for path in _require_any(given, _videos_below(given), "no videos below this directory"):
            yield VideoInput(path, _relative_folder(os.path.relpath(path, root or ".")))
    elif glob.has_magic(given) and not os.path.lexists(given):
        matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - any path, absolute too
        paths = _require_any(given, _flatten(matches), "nothing matches this pattern")
        yield from map(_with_folder, paths)
    else:
        yield VideoInput(given)


def _with_folder(path: str) -> VideoInput:
    return VideoInput(path, _relative_folder(path))


def _relative_folder(path: str) -> str:
    """The folder of a path, made relative; never one above."""
    parts = PurePath(os.path.normpath(path)).parent.parts
    return str(PurePath(*(part for part in parts if part not in ("/", "//", ".."))))


def _read_lines(lines: Iterable[str]) -> Iterator[str]:
    return filter(None, (line.rstrip("\r\n") for line in lines))


def _read_list(path: Path) -> list[str]:
    with (
        reading(f"@{path}", InputError, hint="@FILE reads one path a line"),
        path.open(encoding="utf-8-sig", errors="surrogateescape") as lines,
    ):
        return list(_read_lines(lines))


def _videos_below(directory: str) -> Iterator[str]:
    """Real folders come before linked ones, so that a video keeps its own path where it has one.
    Each folder is searched once, which ends circular links."""
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


def _require_any(given: str, paths: Iterable[str], complaint: str) -> list[str]:
    if listed := list(paths):
        return listed
    raise InputError(f"{given}: {complaint}", hint=f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}")


def parse_shard(text: str) -> tuple[int, int]:
    """ "2/8" as (2, 8): the third of eight shards. Raises UsageError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    index, count = map(int, match.groups()) if match else (0, 0)
    if not count:
        raise UsageError(f"--shard {text}: is not I/N", hint="for example 0/4, 1/4, 2/4 and 3/4")
    if index >= count:
        raise UsageError(
            f"--shard {text}: shards are counted from 0", hint=f"0/{count} to {count - 1}/{count}"
        )
    return index, count


def select_shard(inputs: Sequence[VideoInput], index: int, count: int) -> list[VideoInput]:
    """The inputs of one of `count` shards, in their order; each input is in exactly one.

    Shards are balanced by file size: the largest file goes first, each to the smallest shard. Only
    paths and sizes decide, so every machine computes the same shards.
    """
    sizes = {one.path: max(file_size(one.path), 0) for one in inputs}
    loads = [(0, shard) for shard in range(count)]
    heapify(loads)
    mine = set()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        load, shard = loads[0]
        # One byte more for each file, so that empty files are spread, too.
        heapreplace(loads, (load + sizes[path] + 1, shard))
        if shard == index:
            mine.add(path)
    return [one for one in inputs if one.path in mine]


def file_size(path: str) -> int:
    """The size of a file in bytes, -1 where the system does not tell."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - any path, also one that is no text
    except (OSError, ValueError):
        return -1


def name_results(inputs: Sequence[VideoInput]) -> dict[str, str]:
    """For each path a unique name below the output folder, the stem of its result files.

    The name is the path without extension; where inputs would share one, with it; and where they
    still would, with a digest of the path.
    """
    short = {one.path: str(PurePath(one.folder, _stem(one.path))) for one in inputs}
    shared = _repeated(short.values())
    longer = {
        one.path: str(PurePath(one.folder, PurePath(one.path).name)) if name in shared else name
        for one, name in zip(inputs, short.values(), strict=True)
    }
    shared = _repeated(longer.values())
    return {
        path: f"{short[path]}-{sha256(path, 8)}" if name in shared else name
        for path, name in longer.items()
    }


def _stem(path: str) -> str:
    return PurePath(path).stem.removesuffix(".vidattn") or "video"


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}

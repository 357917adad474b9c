"""Inputs of a batch run: videos in files, folders, patterns and lists; shards; names of results."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import chain
from pathlib import Path, PurePath

from vidattn.config.serialization import check_value
from vidattn.errors import InputError, UsageError, VideoError
from vidattn.io.files import exists, is_folder, read_file, read_stream, reading, sha256
from vidattn.io.search import VIDEO_SUFFIXES, is_video, suffix_of, suggest_names, walk_files
from vidattn.io.text import count_noun

ANNOTATED = ".vidattn.mp4"
"""Ending of annotated videos, which count as inputs only when named directly."""
MOST_KINDS = 5
"""Kinds of files that a note names."""


@dataclass(frozen=True)
class InputKind:
    """What a folder is searched for."""

    noun: str
    matches: Callable[[str], bool]
    """Whether a file name is of this kind."""
    hint: str


VIDEOS = InputKind(
    "videos",
    lambda name: is_video(name) and not name.endswith(ANNOTATED),
    f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}",
)
TIMELINES = InputKind(
    "timelines", lambda name: name.endswith(".vidattn.json"), "looked for *.vidattn.json"
)


@dataclass(frozen=True)
class VideoInput:
    """The path of a video and the folder of its results, relative to the output folder."""

    path: str
    folder: str = ""


Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A path, or several."""


def as_paths(inputs: Paths) -> list[str]:
    """A path, or several, as texts."""
    # A string is also an iterable of letters, and of "/".
    if isinstance(inputs, Iterable) and not isinstance(inputs, str):
        return [check_value(str, given, "paths") for given in inputs]
    return [check_value(str, inputs, "paths")]


def find_videos(
    inputs: Paths,
    note: Callable[[str], None] = lambda _: None,
    kind: InputKind = VIDEOS,
    *,
    or_later: bool = False,
) -> list[VideoInput]:
    """The videos that paths stand for, in order, each once; or files of another kind.

    A folder stands for the videos below it (sorted by name; each linked folder is searched once),
    `@list.txt` for the lines of a file, `-` for the lines of standard input, and a pattern with
    `*`, `?` or `[` for its matches unless a file has that name. Other paths are kept unchecked. A
    folder that may not be searched is kept as an input, which fails.

    Results of a file that was named directly go to the output folder itself; those of a folder keep
    their place below the name of that folder, as with `cp -r`; those of a list or pattern keep
    their path, as with `cp --parents`. note: takes a sentence on the files that a folder search
    left out. or_later: folders and patterns that are to be watched may yield nothing yet.

    Raises UsageError for others to watch; InputError when a folder, list or pattern yields nothing,
    or all inputs together.
    """
    names = as_paths(inputs)
    if or_later:
        require_watchable(names)
    videos: dict[str, VideoInput] = {}
    for name in names:
        try:
            found = list(_expand(name, note, kind))
        except InputError:
            if not or_later:
                raise
            continue
        for one in found:
            videos.setdefault(one.path, one)
    if not videos and not or_later:
        raise InputError(f"{' '.join(names)}: an empty list", hint="one path per line")
    return list(videos.values())


def find_existing(
    inputs: Iterable[str | os.PathLike[str]], note: Callable[[str], None], *, or_later: bool = False
) -> list[VideoInput]:
    """As `find_videos`; raises as `require_existing`, but not for folders without videos yet."""
    videos = find_videos(inputs, note, or_later=or_later)
    if videos:
        require_existing(videos)
    return videos


def require_existing(videos: Sequence[VideoInput]) -> None:
    """Raise VideoError E_GONE when none of the videos exists, before a model is loaded.

    Addresses are left to the reader.
    """
    if any("://" in one.path or os.path.lexists(one.path) for one in videos):
        return
    more = f", nor any of {count_noun(len(videos) - 1, 'other')}" if len(videos) > 1 else ""
    path = videos[0].path
    raise VideoError(f"{path}: no such file{more}", code="E_GONE", hint=hint_missing(path))


def require_watchable(sources: Sequence[str]) -> None:
    """Raise UsageError for inputs that no new video can come to."""
    for source in sources:
        if not (is_folder(Path(source)) or glob.has_magic(source)):
            raise UsageError(
                f"--watch: {source} is no folder, nor a pattern", hint="name the folder to watch"
            )


def _expand(given: str, note: Callable[[str], None], kind: InputKind) -> Iterator[VideoInput]:
    if not given:
        raise InputError("an empty path names no video")
    if given == "-":
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        with reading("standard input", InputError):
            data = read_stream(stream)
        yield from map(_with_folder, _parse_list("standard input", data))
    elif given.startswith("@") and not exists(Path(given)):
        with reading(given, InputError, hint="@FILE reads one path a line"):
            data = read_file(given[1:])
        yield from map(_with_folder, _parse_list(given, data))
    elif is_folder(Path(given)):
        root = os.path.dirname(os.path.normpath(given))  # noqa: PTH120 - "." stays "."
        below = _files_below(given, note, kind)
        for path in _require_any(given, below, kind, f"no {kind.noun} below this folder"):
            yield VideoInput(path, _relative_folder(os.path.relpath(path, root or ".")))
    elif glob.has_magic(given) and not os.path.lexists(given):
        matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - any path, absolute too
        found = chain(_flatten(matches, note, kind), _closed_folders(given))
        paths = _require_any(given, found, kind, "nothing matches this pattern")
        yield from map(_with_folder, paths)
    else:
        yield VideoInput(given)


def _with_folder(path: str) -> VideoInput:
    return VideoInput(path, _relative_folder(path))


def _relative_folder(path: str) -> str:
    """The folder of a path, made relative; never one above."""
    parts = PurePath(os.path.normpath(path.replace("\0", "_"))).parent.parts
    return str(PurePath(*(part for part in parts if part not in ("/", "//", ".."))))


def _parse_list(name: str, data: bytes | str) -> list[str]:
    """The lines of a list of paths. Raises InputError for anything but text."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    if "\0" in text:
        hint = "name a video without @; paths are separated by line ends"
        raise InputError(f"{name}: is no list of paths but a binary file", hint=hint)
    lines = text.removeprefix("\ufeff").split("\n")
    return [line for line in (line.rstrip("\r") for line in lines) if line]


def _files_below(folder: str, note: Callable[[str], None], kind: InputKind) -> Iterator[str]:
    """The files of a kind below a folder, and folders below it that may not be searched."""
    closed: list[str] = []
    others: Counter[str] = Counter()
    for path in walk_files(folder, lambda error: closed.append(str(error.filename))):
        name = PurePath(path).name
        if kind.matches(name):
            yield path
        elif kind is VIDEOS and ".vidattn." not in name and not name.startswith("."):
            others[suffix_of(name) or "none"] += 1
    yield from closed
    if others:
        kinds = [f"{suffix} ({count})" for suffix, count in others.most_common(MOST_KINDS)]
        more = f" and {len(others) - MOST_KINDS} more" if len(others) > MOST_KINDS else ""
        files = count_noun(others.total(), "file")
        names = f"{', '.join(kinds)}{more}"
        note(f"{folder}: left out {files} without the ending of videos: {names}")


def _flatten(paths: Iterable[str], note: Callable[[str], None], kind: InputKind) -> Iterator[str]:
    for path in paths:
        if is_folder(Path(path)):
            yield from _files_below(path, note, kind)
        elif not path.endswith(ANNOTATED):
            yield path


def _closed_folders(pattern: str) -> Iterator[str]:
    """Folders in which a pattern would look, and may not."""
    while glob.has_magic(pattern):
        folder, name = os.path.split(pattern)
        # Of a folder whose name is given, nothing is listed: it need not be readable.
        searched = glob.iglob(folder, recursive=True) if glob.has_magic(name) else ()  # noqa: PTH207
        for path in searched:
            try:
                os.scandir(path).close()
            except NotADirectoryError:
                continue
            except OSError:
                yield path
        pattern = folder


def hint_missing(path: str) -> str:
    """A hint for a path that does not exist."""
    if "\\" in path and os.sep == "/":
        return "folders are separated by / here, not by a backslash"
    if "," in path:
        return "separate inputs by spaces; a name with a comma needs nothing else"
    close = suggest_names(path, lambda one: is_folder(one) or is_video(one.name))
    return close.strip() or "check the path"


def _require_any(given: str, paths: Iterable[str], kind: InputKind, complaint: str) -> list[str]:
    if listed := list(paths):
        return listed
    raise InputError(f"{given}: {complaint}", hint=kind.hint)


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


def name_result(path: str, area: str) -> str:
    """The name of a result: of an input, or of one of several areas of its picture."""
    return f"{path}: {area}" if area else path


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


def renamed(names: Mapping[str, str]) -> dict[str, str]:
    """The names of `name_results` that are not the stems of their paths, by path."""
    return {path: name for path, name in names.items() if PurePath(name).name != _stem(path)}


def _stem(path: str) -> str:
    return PurePath(path).stem.removesuffix(".vidattn") or "video"


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}

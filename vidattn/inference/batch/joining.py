"""Files that a camera made of one recording, by their names and what their headers state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.inputs import file_size as size_of
from vidattn.io.files import regular_opener
from vidattn.video.container.mp4_boxes import MovieHeader, read_movie_header
from vidattn.video.joined import LEAST_GAP, LONGEST_GAP

GOPRO = re.compile(r"(G[A-Z])(\d\d)(\d{4})")
"""GX010023, GX020023: recording 0023 in chapters 01 and 02; also GH, GP."""
FIRST_GOPRO = re.compile(r"GOPR(\d{4})")
"""The first chapter of older cameras, before GP010023."""
NUMBERED = re.compile(r"(.*[_-])(\d{3,})")
"""street_0001, street_0002."""
COUNTER = re.compile(
    r"(CIMG|DJI|DSC[FN]?|EK|IMAG|IMG|MAH|MOV|MVI|PICT|PTDC|RCNX|STC|SYFW|VID|WCT)[_-]?", re.I
)
"""Before numbers with which cameras count recordings: a new one, unless the times go on."""
NOTHING = (
    "--join: no recording is in several files: consecutive numbers, the same codec and size, times "
    "that agree"
)
MOST_NAMED = 5
"""Recordings that are named one by one."""


class _Place(NamedTuple):
    recording: tuple[str, ...]
    """Folder, name without the number, and extension."""
    number: int
    counts_recordings: bool = False


def join_recordings(
    inputs: Sequence[VideoInput], note: Callable[[str], None] = lambda _: None
) -> tuple[list[VideoInput], dict[str, tuple[str, ...]]]:
    """The inputs, of which the files of one recording are one: its first file; and the files of
    each recording that has several, by the first.

    Files of one folder with consecutive numbers belong together; where a number is missing, another
    recording begins. So it does where headers of mp4 and mov state another codec or size, or times
    that do not go on: within seconds after names with which cameras count recordings, within an
    hour after others. note: takes sentences on what is joined, or that nothing is.
    """
    places = {one.path: _place(one.path) for one in inputs}
    order = sorted(
        (path for path, place in places.items() if place is not None),
        key=lambda path: (places[path], path),
    )
    groups: list[list[str]] = []
    last: _Place | None = None
    for path in order:
        place = places[path]
        assert place is not None
        next_one = last is not None and place == last._replace(number=last.number + 1)
        if next_one and _goes_on(groups[-1][-1], path, place):
            groups[-1].append(path)
        else:
            groups.append([path])
        last = place
    joined = {group[0]: tuple(group) for group in groups if len(group) > 1}
    later = {path for group in joined.values() for path in group[1:]}
    _describe(list(joined.values()), note)
    return [one for one in inputs if one.path not in later], joined


def is_same_recording(parts: Sequence[Mapping[str, object]] | None, paths: Sequence[str]) -> bool:
    """Whether a result is of these files, as they are now. parts: as of `VideoInfo`."""
    saved = [(part.get("path"), part.get("bytes")) for part in parts or ()]
    return saved == [(path, size_of(path)) for path in paths]


def _describe(groups: Sequence[Sequence[str]], note: Callable[[str], None]) -> None:
    for group in groups[:MOST_NAMED]:
        names = ", ".join(PurePath(path).name for path in group[1:])
        note(f"joined: {group[0]} with {names}")
    if len(groups) > MOST_NAMED:
        note(f"joined: {len(groups) - MOST_NAMED} more recordings")
    if not groups:
        note(NOTHING)


def _goes_on(before: str, after: str, place: _Place) -> bool:
    """Whether the headers of two files agree with their being of one recording."""
    first, second = _header(before), _header(after)
    if first is None or second is None:
        return not place.counts_recordings
    if (first.codec, first.size) != (second.codec, second.size):
        return False
    if first.created is None or second.created is None:
        return not place.counts_recordings
    passed = second.created - first.created
    # Clocks state when a file was begun, or when it was closed.
    gap = min((passed - one.seconds for one in (first, second)), key=abs)
    return -LEAST_GAP <= gap <= (LEAST_GAP if place.counts_recordings else LONGEST_GAP)


def _header(path: str) -> MovieHeader | None:
    try:
        with open(path, "rb", opener=regular_opener) as file:
            return read_movie_header(file)
    except (OSError, ValueError):
        return None


def _place(path: str) -> _Place | None:
    pure = PurePath(path)
    stem, rest = pure.stem.upper(), (str(pure.parent), pure.suffix.lower())
    if match := GOPRO.fullmatch(stem):
        return _Place((rest[0], f"{match[1]} {match[3]}", rest[1]), int(match[2]))
    if match := FIRST_GOPRO.fullmatch(stem):
        return _Place((rest[0], f"GP {match[1]}", rest[1]), 0)
    if match := NUMBERED.fullmatch(pure.stem):
        counts = COUNTER.fullmatch(match[1]) is not None
        return _Place((rest[0], match[1], rest[1]), int(match[2]), counts)
    return None

"""Files that a camera made of one recording, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from vidattn.inference.batch.inputs import VideoInput
from vidattn.inference.batch.inputs import file_size as size_of

GOPRO = re.compile(r"(G[A-Z])(\d\d)(\d{4})")
"""GX010023, GX020023: recording 0023 in chapters 01 and 02; also GH, GP."""
FIRST_GOPRO = re.compile(r"GOPR(\d{4})")
"""The first chapter of older cameras, before GP010023."""
NUMBERED = re.compile(r"(.*[_-])(\d{3,})")
"""street_0001, street_0002."""


class _Place(NamedTuple):
    recording: tuple[str, ...]
    """Folder, name without the number, and extension."""
    number: int


def join_recordings(
    inputs: Sequence[VideoInput],
) -> tuple[list[VideoInput], dict[str, tuple[str, ...]]]:
    """The inputs, of which the files of one recording are one: its first file; and the files of
    each recording that has several, by the first.

    Files of one folder with consecutive numbers belong together; where a number is missing, another
    recording begins.
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
        follows = last is not None and place == (last.recording, last.number + 1)
        if follows:
            groups[-1].append(path)
        else:
            groups.append([path])
        last = place
    joined = {group[0]: tuple(group) for group in groups if len(group) > 1}
    later = {path for group in joined.values() for path in group[1:]}
    return [one for one in inputs if one.path not in later], joined


def is_same_recording(parts: Sequence[Mapping[str, object]] | None, paths: Sequence[str]) -> bool:
    """Whether a result is of these files, as they are now. parts: as of `VideoInfo`."""
    saved = [(part.get("path"), part.get("bytes")) for part in parts or ()]
    return saved == [(path, size_of(path)) for path in paths]


def _place(path: str) -> _Place | None:
    pure = PurePath(path)
    stem, rest = pure.stem.upper(), (str(pure.parent), pure.suffix.lower())
    if match := GOPRO.fullmatch(stem):
        return _Place((rest[0], f"{match[1]} {match[3]}", rest[1]), int(match[2]))
    if match := FIRST_GOPRO.fullmatch(stem):
        return _Place((rest[0], f"GP {match[1]}", rest[1]), 0)
    if match := NUMBERED.fullmatch(pure.stem):
        return _Place((rest[0], match[1], rest[1]), int(match[2]))
    return None

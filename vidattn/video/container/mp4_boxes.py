"""Boxes of ISO media files (mp4, mov): truncation, and the sample tables of a track.

The tables give time and kind of every frame without reading the frames: two hours of video open in
the time of a few seconds. They are only a proposal, which the packets must confirm.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_BOXES = 10_000
MAX_MOOV = 256 << 20
MAX_SAMPLES = 50_000_000
TABLE = b"mdia", b"minf", b"stbl"
UNSET_1904 = 2_430_000_000
"""Seconds from 1904 to 1981: clocks that were never set begin in 1904, 1970 or 1980."""
FIRST_BOXES = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"moof",
    b"styp",
    b"sidx",
    b"uuid",
}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Every sample of a track in decode order, [N] each, in ticks of the track."""

    pts: NDArray[np.int64]
    """From an origin of its own."""
    dts: NDArray[np.int64]
    duration: NDArray[np.int64]
    key: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MovieHeader:
    """What the header of an mp4 or mov states of its first track of pictures."""

    codec: str
    size: tuple[int, int]
    """Width and height as shown, in pixels."""
    seconds: float
    """Of the movie."""
    created: int | None
    """Seconds since 1904, of a clock whose zone is unknown; None if it was never set."""


def read_movie_header(file: BinaryIO) -> MovieHeader | None:
    """The header of an mp4 or mov; None for other files, and without pictures."""
    whole = 0, file.seek(0, os.SEEK_END)
    heads = [_read(file, at, 32) for at, _ in _below(file, whole, b"moov", b"mvhd")]
    if not heads or len(heads[0]) < 32:
        return None
    wide = ">QQIQ" if heads[0][0] == 1 else ">IIII"
    created, _, scale, duration = struct.unpack_from(wide, heads[0], 4)
    for trak in _below(file, whole, b"moov", b"trak"):
        kinds = [_read(file, at + 8, 4) for at, _ in _below(file, trak, b"mdia", b"hdlr")]
        sizes = [_read(file, stop - 8, 8) for _, stop in _below(file, trak, b"tkhd")]
        stsd = [_read(file, at + 12, 4) for at, _ in _below(file, trak, *TABLE, b"stsd")]
        if kinds == [b"vide"] and sizes and len(sizes[0]) == 8 and stsd and scale:
            width, height = (n >> 16 for n in struct.unpack(">II", sizes[0]))
            codec = stsd[0].decode("latin-1")
            known = created if created > UNSET_1904 else None
            return MovieHeader(codec, (width, height), duration / scale, known)
    return None


def find_truncation(file: BinaryIO) -> str | None:
    """The reason why an mp4 or mov cannot be opened if its end is missing, else None."""
    size = file.seek(0, os.SEEK_END)
    boxes = [(kind, stop) for kind, _, stop in _boxes(file, size)]
    if not boxes or boxes[0][0] not in FIRST_BOXES:
        return None
    kind, stop = boxes[-1]
    has_moov = b"moov" in dict(boxes)
    if stop > size:
        missing = "" if has_moov else "; moov missing"
        name = kind.decode("latin-1")
        return f"cut off: box {name} ends {stop - size} bytes past the end of the file{missing}"
    return None if has_moov else "cut off: moov missing"


def find_second_movie(file: BinaryIO) -> int | None:
    """The byte at which another mp4 or mov begins, which readers of the first one pass over.

    None without one; movies in fragments may repeat their header.
    """
    size, movies, begin = file.seek(0, os.SEEK_END), 0, 0
    for kind, content, _ in _boxes(file, size):
        if kind == b"moof":
            return None
        if kind == b"ftyp":
            begin = content - 8
        movies += kind == b"moov"
        if movies and kind == b"ftyp":
            return begin
    return None


def promised_frames(file: BinaryIO) -> int:
    """The number of frames that an mp4 promises if they all have one size in bytes, else 0.

    FFmpeg makes an index of so many before it looks at the first, whatever the file can hold.
    """
    size = file.seek(0, os.SEEK_END)
    most = 0
    for trak in _below(file, (0, size), b"moov", b"trak"):
        kinds = [_read(file, at + 8, 4) for at, _ in _below(file, trak, b"mdia", b"hdlr")]
        for at, _ in _below(file, trak, *TABLE, b"stsz"):
            head = _read(file, at, 12)
            if kinds == [b"vide"] and len(head) == 12 and head[4:8] != bytes(4):
                most = max(most, int.from_bytes(head[8:], "big"))
    return most


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _below(file: BinaryIO, box: tuple[int, int], *path: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the contents of the boxes with these names, read from the file."""
    for kind, start, stop in _boxes(file, box[1], box[0]):
        if kind == path[0] and len(path) == 1:
            yield start, stop
        elif kind == path[0]:
            yield from _below(file, (start, min(stop, box[1])), *path[1:])


def read_samples(file: BinaryIO, track: int) -> Samples | None:
    """The sample table of a track; None if it does not tell all.

    That is when the file is fragmented or truncated, when an edit list hides frames, or when a
    table is malformed.
    """
    size = file.seek(0, os.SEEK_END)
    boxes = list(_boxes(file, size))
    kinds = [kind for kind, _, _ in boxes]
    if kinds.count(b"moov") != 1 or b"moof" in kinds or boxes[-1][2] > size:
        return None
    _, start, stop = boxes[kinds.index(b"moov")]
    if stop - start > MAX_MOOV:
        return None
    file.seek(start)
    moov = memoryview(file.read(stop - start))
    if len(moov) < stop - start or _find(moov, b"mvex") is not None:
        return None
    for kind, trak in _inside(moov):
        if kind == b"trak" and _track_id(trak) == track:
            try:
                return _parse_samples(trak, min(size, MAX_SAMPLES))
            except (struct.error, ValueError):
                return None
    return None


def _parse_samples(trak: memoryview, max_count: int) -> Samples | None:
    """max_count: samples that the file can hold at all."""
    table = _find(trak, b"mdia", b"minf", b"stbl")
    stts = _entries(_find(table, b"stts"), 2)
    if stts is None or not 0 < (count := int(stts[:, 0].sum())) <= max_count:
        return None
    duration = np.repeat(stts[:, 1], stts[:, 0])
    dts = np.concatenate([[0], np.cumsum(duration[:-1])])
    pts = dts
    if (box := _find(table, b"ctts")) is not None:
        ctts = _entries(box, 2)
        if ctts is None or int(ctts[:, 0].sum()) != count:
            return None
        pts = dts + np.repeat(ctts[:, 1].astype(np.uint32).view(np.int32), ctts[:, 0])
    key = np.ones(count, np.bool_)
    if (box := _find(table, b"stss")) is not None:
        stss = _entries(box, 1)
        if stss is None or not len(stss) or stss.max() > count or stss.min() < 1:
            return None
        key[:] = False
        key[stss[:, 0] - 1] = True
    whole = _is_whole(trak, int(pts.min()))
    return Samples(pts, dts, duration, key) if whole else None


def _is_whole(trak: memoryview, first: int) -> bool:
    """Whether the edit list, if any, only shifts: one edit from the first frame on.

    Its length is left to the packets, since players disagree about the last frame.
    """
    box = _find(trak, b"edts", b"elst")
    if box is None:
        return True
    wide = box[0] == 1
    edits = [struct.unpack_from(">QqI" if wide else ">IiI", box, 8 + n * (20 if wide else 12))
             for n in range(min(struct.unpack_from(">I", box, 4)[0], 4))]  # fmt: skip
    real = [edit for edit in edits if edit[1] != -1]
    return len(real) == 1 and real[0] == edits[-1] and real[0][1] == first and real[0][2] == 1 << 16


def _entries(box: memoryview | None, width: int) -> NDArray[np.int64] | None:
    """The rows of a table after its count: int64 [count, width]; None if they do not fit."""
    if box is None or len(box) < 8:
        return None
    count = int.from_bytes(box[4:8], "big")
    if 8 + 4 * width * count > len(box):
        return None
    rows = np.frombuffer(box, ">u4", count * width, 8)
    return rows.astype(np.int64).reshape(count, width)


def _track_id(trak: memoryview) -> int | None:
    box = _find(trak, b"tkhd")
    if box is None or len(box) < 24:
        return None
    at = 20 if box[0] == 1 else 12
    return int.from_bytes(box[at : at + 4], "big")


def _find(box: memoryview | None, *path: bytes) -> memoryview | None:
    """The content of the first box under `box` with these names."""
    for name in path:
        box = next((data for kind, data in _inside(box) if kind == name), None) if box else None
    return box


def _inside(box: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(box):
        length, kind = struct.unpack_from(">I4s", box, at)
        if length < 8 or at + length > len(box):
            return
        yield kind, box[at + 8 : at + length]
        at += length


def _boxes(file: BinaryIO, size: int, start: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content, and end of the boxes from `start` to `size`; the last may end
    behind it."""
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(min(16, max(size - start, 0)))
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        content = start + 8
        if length == 1 and len(head) == 16:
            length, content = struct.unpack(">Q", head[8:])[0], start + 16
        elif length == 0:
            length = size - start
        if length < content - start or not kind.isalnum():
            return
        yield kind, content, start + length
        start += length

"""Packets of MPEG transport streams: does a counter begin anew, or are bytes missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

SIZES = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet, and of what stands before its sync byte."""
SYNC = 0x47
TABLES = 0
"""The stream of program tables, with which every muxer begins."""
MOST_BYTES = 8 << 20
"""Of a span that is looked through."""


def begins_anew(file: BinaryIO, pid: int, start: int, stop: int) -> bool:
    """Whether counters begin anew between two places of a file, and no packet is missing there.

    So do files that were joined: at the start of a picture, behind new program tables, from 0.
    pid: the stream of the pictures.
    """
    counters = dict[int, int]()
    tables = False
    anew = False
    for own, begins, counter in _packets(file, start, min(stop, start + MOST_BYTES)):
        before = counters.get(own)
        if own == TABLES:
            tables = counter == 0
        if own == pid and before is not None and counter not in (before, before + 1 & 15):
            if not (begins and tables):
                return False
            anew = True
        if own == pid:
            tables = False
        counters[own] = counter
    return anew


def _packets(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bool, int]]:
    """Stream, whether a picture or table begins, and counter of the packets with contents."""
    file.seek(start)
    data = file.read(stop - start)
    sizes = (
        (size, at)
        for size, at in SIZES
        if len(data) > at + size and data[at] == data[at + size] == SYNC
    )
    size, sync = next(sizes, (0, 0))
    if not size:
        return
    for at in range(sync, len(data) - 3, size):
        if data[at] == SYNC and data[at + 3] & 0x10:
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            yield pid, bool(data[at + 1] & 0x40), data[at + 3] & 15

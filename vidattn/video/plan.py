"""Which packets must be decoded for a set of frames: arithmetic on the packet table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GAIN_PACKETS = 4
"""A jump to a later key frame must save this many decoded packets; below it decoding on is cheaper."""


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The packets of a stream in decode order, [P] each."""

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    """Equal to pts where the file gives none."""
    key: NDArray[np.bool_]
    droppable: NDArray[np.bool_]
    """May be left out when its own frame is not wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Frames decoded in one go: from a key frame on, without a jump."""

    start: int
    """Packet to begin with, a key frame."""
    stop: int
    """Behind the last packet to decode."""
    feed: NDArray[np.bool_]
    """[stop - start], the packets the decoder gets."""
    wanted: tuple[int, ...]
    """Frame numbers, rising."""


def groups(
    packets: Packets, pts: NDArray[np.int64], positions: NDArray[np.int64], wanted: list[int]
) -> Iterator[Group]:
    """Cheapest groups that hold all wanted frames.

    pts: of every frame. positions: packet number of every frame. wanted: rising frame numbers.
    A frame needs the last key frame that is both shown and stored no later than itself: pictures stored
    behind a key frame but shown before it (open GOP) may refer to the group before.
    """
    keys = np.flatnonzero(packets.key)
    key_pts = np.maximum.accumulate(packets.pts[keys]) if len(keys) else keys
    needed = np.concatenate([[0], np.cumsum(~packets.droppable)])
    start, stop, inside = 0, 0, list[int]()
    for index in wanted:
        at = int(positions[index])
        k = int(np.searchsorted(key_pts, pts[index], "right")) - 1
        while k >= 0 and keys[k] > at:
            k -= 1
        key = int(keys[k]) if k >= 0 else 0
        if inside and not (key >= stop and needed[key] - needed[stop] > MIN_GAIN_PACKETS):
            stop = max(stop, at + 1)
            inside.append(index)
            continue
        if inside:
            yield _group(packets, positions, start, stop, inside)
        start, stop, inside = key, at + 1, [index]
    if inside:
        yield _group(packets, positions, start, stop, inside)


def _group(
    packets: Packets, positions: NDArray[np.int64], start: int, stop: int, inside: list[int]
) -> Group:
    feed = ~packets.droppable[start:stop]
    feed[positions[inside] - start] = True
    return Group(start, stop, feed, tuple(inside))

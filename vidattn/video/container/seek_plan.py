"""The packets to decode for a set of frames: arithmetic on the packet table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.video.container.packets import Packets

MIN_GAIN_PACKETS = 4
"""Packets that a jump to a later key frame must save; below it decoding on is cheaper."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameGroup:
    """Frames decoded in one go, from a key frame on, without a jump."""

    start: int
    """First packet, a key frame."""
    stop: int
    """End of the packets to decode, exclusive."""
    wanted: tuple[int, ...]
    """Frame numbers, rising."""
    packets: frozenset[int]
    """Packet numbers of the wanted frames; others may be left out if nothing refers to them."""


def plan_groups(
    packets: Packets, pts: NDArray[np.int64], positions: NDArray[np.int64], wanted: list[int]
) -> Iterator[FrameGroup]:
    """Cheapest groups that hold all wanted frames.

    pts: of every frame. positions: packet number of every frame. wanted: rising frame numbers.
    A frame needs the last key frame that is both shown and stored no later than itself: pictures
    stored behind a key frame but shown before it (open GOP) may refer to the group before.
    """
    keys = np.flatnonzero(packets.key)
    key_pts = np.maximum.accumulate(packets.pts[keys])
    start, stop, inside = 0, 0, list[int]()
    for index in wanted:
        at = int(positions[index])
        k = int(np.searchsorted(key_pts, pts[index], "right")) - 1
        while k >= 0 and keys[k] > at:
            k -= 1
        key = int(keys[k]) if k >= 0 else 0
        if inside and key - stop <= MIN_GAIN_PACKETS:
            stop = max(stop, at + 1)
            inside.append(index)
            continue
        if inside:
            yield _group(positions, start, stop, inside)
        start, stop, inside = key, at + 1, [index]
    if inside:
        yield _group(positions, start, stop, inside)


def _group(positions: NDArray[np.int64], start: int, stop: int, inside: list[int]) -> FrameGroup:
    return FrameGroup(start, stop, tuple(inside), frozenset(positions[inside].tolist()))

"""A position in the packets of a file, checked against its packet table, and where to put it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidattn.video.container.bitstream import droppable_test
from vidattn.video.container.frame_table import Source
from vidattn.video.container.open import read_packets, require_memory
from vidattn.video.container.packets import NO_PTS, Packets

SKIP_PACKETS = 200
"""Reading past so many packets without decoding them is cheaper than a seek."""


class Cursor:
    """Walks the packets of one file, each checked against the packet table by its PTS."""

    def __init__(
        self, open_source: Callable[[], Source], table: Packets | None, *, damaged: bool = False
    ) -> None:
        self._open_source = open_source
        self._table = table
        self._torn = frozenset[int]() if table is None else frozenset(table.torn.tolist())
        self._damaged = damaged
        self._open()
        context = self.stream.codec_context
        self._is_droppable = droppable_test(context.codec.canonical_name, context.extradata)

    def _open(self) -> None:
        self.container, self.stream = self._open_source()
        if self._damaged:
            # The substitute of a picture that did not decode would depend on how far the other
            # threads have come.
            self.stream.codec_context.thread_count = 1
        self._feed: Iterator[Packet[VideoStream]] = read_packets(self.container, self.stream)
        self._ahead: Packet[VideoStream] | None = None
        self._position: int | None = 0
        """Number of the next packet; None if unknown."""

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def restart(self, *, damaged: bool) -> Iterator[Packet[VideoStream]]:
        """Reopen the file and give all its packets; the cursor's own position is lost.

        damaged: whether the file is now known to be.
        """
        self.container.close()
        self._damaged = self._damaged or damaged
        self._open()
        self._position = None
        return self._feed

    def jump(self, start: int) -> bool:
        """Go to packet number `start`; False if that fails."""
        at = self._position
        if at is None or at > start or start - at > SKIP_PACKETS:
            at = self._seek(start)
        return at is not None and all(self._next() is not None for _ in range(start - at))

    def take(self, group: FrameGroup) -> Iterator[Packet[VideoStream]]:
        """The packets that a group needs; ends early where the file is damaged or disagrees."""
        for number in range(group.start, group.stop):
            packet = self._next()
            if packet is None or number in self._torn:
                return
            droppable = self._is_droppable(memoryview(packet))
            if number in group.packets or not droppable:
                yield packet

    def _next(self) -> Packet[VideoStream] | None:
        packet = self._ahead or next(self._feed, None)
        self._ahead = None
        at, self._position = self._position, None
        if packet is None or at is None or self._table is None or at >= len(self._table):
            return None
        if (NO_PTS if packet.pts is None else packet.pts) != self._table.pts[at]:
            return None
        self._position = at + 1
        return packet

    def _seek(self, start: int) -> int | None:
        """Seek to packet `start` or a little before; the number reached, None without success."""
        self._position = self._ahead = None
        assert self._table is not None
        try:
            self.container.seek(int(self._table.dts[start]), stream=self.stream)
        except FFmpegError:
            require_memory()
            return None
        self._feed = read_packets(self.container, self.stream)
        self._ahead = next(self._feed, None)
        if self._ahead is None or self._ahead.pts is None:
            return None
        places = np.flatnonzero(self._table.pts == self._ahead.pts)
        if len(places) == 1 and places[0] <= start:
            self._position = int(places[0])
        return self._position


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

"""A place in the packets of a file: going to a packet by number, and knowing when that went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from av.error import FFmpegError
from numpy.typing import NDArray

import numpy as np

from vidattn.video.container import packets
from vidattn.video.plan import Packets
from vidattn.video.table import NO_PTS, Source

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SKIP_PACKETS = 200
"""Reading on past so many packets without decoding them is cheaper than a seek."""


class Cursor:
    """Walks the packets of one file; every packet is checked against the packet table by its PTS."""

    def __init__(self, open_source: Callable[[], Source], table: Packets | None) -> None:
        self._open_source = open_source
        self._pts: list[int] = [] if table is None else table.pts.tolist()
        self._dts: list[int] = [] if table is None else table.dts.tolist()
        seen = Counter(self._pts)
        self._numbers = {pts: n for n, pts in enumerate(self._pts) if seen[pts] == 1}
        self._position: int | None = None
        self.container, self.stream = self._open()

    def _open(self) -> Source:
        container, stream = self._open_source()
        self._feed: Iterator[Packet[VideoStream]] = packets(container, stream)
        self._ahead: Packet[VideoStream] | None = None
        self._position = 0
        return container, stream

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def restart(self) -> Iterator[Packet[VideoStream]]:
        """Open the file anew and give all its packets; the cursor's own place is lost."""
        self.container.close()
        self.container, self.stream = self._open()
        self._position = None
        return self._feed

    def jump(self, start: int) -> bool:
        """Go to packet number `start`; False when the file does not let us."""
        at = self._position
        if at is None or at > start or start - at > SKIP_PACKETS:
            at = self._seek(start)
        if at is None:
            return False
        for _ in range(start - at):
            if self._next() is None:
                return False
        return True

    def take(self, stop: int, feed: NDArray[np.bool_]) -> Iterator[Packet[VideoStream]]:
        """The packets from here to `stop` that `feed` marks; ends early when the file disagrees."""
        for wanted in feed[: stop - (self._position or 0)].tolist():
            packet = self._next()
            if packet is None:
                return
            if wanted:
                yield packet

    def _next(self) -> Packet[VideoStream] | None:
        packet = self._ahead or next(self._feed, None)
        self._ahead = None
        if packet is None or self._position is None or self._position >= len(self._pts):
            self._position = None
            return None
        if (NO_PTS if packet.pts is None else packet.pts) != self._pts[self._position]:
            self._position = None
            return None
        self._position += 1
        return packet

    def _seek(self, start: int) -> int | None:
        """Seek to `start` or a little before it; the packet number reached, None without success."""
        self._position = self._ahead = None
        try:
            self.container.seek(self._dts[start], stream=self.stream)
        except FFmpegError:
            return None
        self._feed = packets(self.container, self.stream)
        self._ahead = next(self._feed, None)
        if self._ahead is None or self._ahead.pts is None:
            return None
        reached = self._numbers.get(self._ahead.pts)
        if reached is None or reached > start:
            return None
        self._position = reached
        return reached

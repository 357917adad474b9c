"""The packet table of a file: from its index where that is proven right, else from its packets."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.container.bitstream import shown_test
from vidattn.video.container.mp4_boxes import read_samples
from vidattn.video.container.open import (
    FEW_FRAMES,
    open_bytes,
    read_packets,
    require_count,
    require_memory,
)
from vidattn.video.protocol import MAX_FRAMES

NO_PTS = int(np.iinfo(np.int64).min)
MIN_INDEXED = 2000
"""Reading so many packets takes no time, so no index is needed below."""
OVERLAP, SLACK_BYTES = 4, 64 << 20
"""Bytes of packets per byte of the file, and in addition: a file that points to its own bytes again
and again could be endless."""
CHECKED_PACKETS = 8
"""So many at the start and in the middle must agree with the index, at the end a whole group."""

Beat = Callable[[], None]
Ticks = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The packets of a stream in decode order, [P] each, in ticks of the stream."""

    pts: Ticks
    """NO_PTS if there is none."""
    dts: Ticks
    """Equal to pts if the file gives none."""
    duration: Ticks
    key: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    """False for a packet without a picture to be shown."""
    torn: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers of the packets of which a part is missing, as far as the container tells."""
    reached: int = 0
    """The byte behind the last packet, as far as the container tells."""

    def __len__(self) -> int:
        return len(self.pts)


def scan(
    container: InputContainer, stream: VideoStream, beat: Beat, max_frames: int = MAX_FRAMES
) -> Packets:
    """Read every packet of the stream, in file order. Raises VideoError E_TOO_LARGE for more
    packets than `max_frames`, or than the file has bytes for."""
    is_shown = shown_test(stream.codec_context.codec.canonical_name)
    rows, torn = array("q"), array("q")  # a day of video has millions of packets
    places, keep_places, reached = array("q"), container.format.name == "mpegts", 0
    left = container.size * OVERLAP + SLACK_BYTES
    for count, packet in enumerate(read_packets(container, stream), 1):
        left -= packet.size
        require_count(count, max_frames)
        if left < 0 or count > container.size + FEW_FRAMES:
            reason = (
                f"its packets hold more than {OVERLAP} times the bytes of the file"
                if left < 0
                else "it has more packets than bytes"
            )
            raise VideoError(reason, code="E_TOO_LARGE")
        if packet.is_corrupt:
            torn.append(count - 1)
        reached = max(reached, (packet.pos or 0) + packet.size)
        if keep_places:
            places.append(-1 if packet.pos is None else packet.pos)
        shown = not packet.is_discard and is_shown(memoryview(packet))
        rows.extend((*_stamps(packet), packet.duration or 0, packet.is_keyframe, shown))
        beat()
    table = np.array(rows, np.int64).reshape(-1, 5).T.copy()
    pts, dts, duration, key, show = table
    if keep_places:
        torn = _really_torn(container.name, stream.id, torn, places)
    return Packets(pts, dts, duration, key > 0, show > 0, np.array(torn, np.int64), reached)


def _really_torn(source: str, pid: int, torn: array[int], places: array[int]) -> array[int]:
    """The torn packets, without those before counters that only begin anew.

    places: of every packet, in bytes. FFmpeg marks the packet that it holds when it finds a gap,
    which may be the one before.
    """
    with open_bytes(source) as file:
        size = file.seek(0, os.SEEK_END)
        ends = places + array("q", [size] * 3)
        return array(
            "q", (n for n in torn if not begins_anew(file, pid, max(ends[n], 0), ends[n + 3]))
        )


def read_index(container: InputContainer, stream: VideoStream) -> Packets | None:
    """The table from the index of an mp4; None without one or when packets contradict it.

    Moves the position of the container.
    """
    if stream.frames < MIN_INDEXED or not container.format.name.startswith("mov"):
        return None
    with open_bytes(container.name) as file:
        samples = read_samples(file, stream.id)
    head = list(islice(read_packets(container, stream), CHECKED_PACKETS))
    if samples is None or not head or head[0].pts is None or head[0].dts is None:
        return None
    pts = samples.pts + (head[0].pts - samples.pts[0])
    dts = samples.dts + (head[0].dts - samples.dts[0])
    table = Packets(pts, dts, samples.duration, samples.key, np.ones(len(pts), np.bool_))
    keys = np.flatnonzero(samples.key)
    if not len(keys) or not _agree(head, table, 0):
        return None
    for key, count in ((keys[len(keys) // 2], CHECKED_PACKETS), (keys[-1], None)):
        try:
            container.seek(int(dts[key]), stream=stream)
        except FFmpegError:
            require_memory()
            return None
        some = list(islice(read_packets(container, stream), count))
        place = np.flatnonzero(pts == _stamps(some[0])[0]) if some else pts[:0]
        if len(place) != 1 or not _agree(some, table, int(place[0])):
            return None
        if count is None and int(place[0]) + len(some) != len(table):
            return None
    return table


def _agree(some: list[Packet[VideoStream]], table: Packets, at: int) -> bool:
    """Whether packets are those of the table from number `at` on."""
    rows = slice(at, at + len(some))
    columns = (table.pts, table.dts, table.key, table.shown)
    expected = zip(*(column[rows].tolist() for column in columns), strict=True)
    return [(*_stamps(p), p.is_keyframe, not p.is_discard) for p in some] == list(expected)


def _stamps(packet: Packet[VideoStream]) -> tuple[int, int]:
    pts = NO_PTS if packet.pts is None else packet.pts
    return pts, pts if packet.dts is None else packet.dts


TS_SIZES = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet of MPEG transport streams, and of what stands before its sync byte."""
TS_SYNC = 0x47
TS_TABLES = 0
"""The stream of program tables, with which every muxer begins."""
MOST_SCANNED = 8 << 20
"""Of a span that is looked through."""


def begins_anew(file: BinaryIO, pid: int, start: int, stop: int) -> bool:
    """Whether counters begin anew between two places of a file, and no packet is missing there.

    So do files that were joined: at the start of a picture, behind new program tables, from 0.
    pid: the stream of the pictures.
    """
    counters = dict[int, int]()
    tables = False
    anew = False
    for own, begins, counter in _transport_packets(file, start, min(stop, start + MOST_SCANNED)):
        before = counters.get(own)
        if own == TS_TABLES:
            tables = counter == 0
        if own == pid and before is not None and counter not in (before, before + 1 & 15):
            if not (begins and tables):
                return False
            anew = True
        if own == pid:
            tables = False
        counters[own] = counter
    return anew


def _transport_packets(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bool, int]]:
    """Stream, whether a picture or table begins, and counter of the packets with contents."""
    file.seek(start)
    data = file.read(stop - start)
    sizes = (
        (size, at)
        for size, at in TS_SIZES
        if len(data) > at + size and data[at] == data[at + size] == TS_SYNC
    )
    size, sync = next(sizes, (0, 0))
    if not size:
        return
    for at in range(sync, len(data) - 3, size):
        if data[at] == TS_SYNC and data[at + 3] & 0x10:
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            yield pid, bool(data[at + 1] & 0x40), data[at + 3] & 15

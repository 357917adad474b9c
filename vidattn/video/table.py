"""The frame table: which frames a file shows, and when.

Packets tell it where they can be trusted: containers that time-stamp every frame, codecs with one
shown picture per packet, and a trial of the first packets that agrees. Everything else is decoded
once from first to last frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vidattn.video.bitstream import shown_test
from vidattn.video.container import MAX_ERRORS, packets
from vidattn.video.plan import Packets
from vidattn.video.protocol import Times

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TIMED = frozenset({"mov", "matroska", "nut", "ivf", "mxf"})
"""Containers whose packets carry the PTS of their frame."""
ONE_PER_PACKET = frozenset(
    ["h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "prores"]
)
TRIAL_PACKETS = 6
NO_PTS = int(np.iinfo(np.int64).min)

Source = tuple["InputContainer", "VideoStream"]
Beat = Callable[[], None]
Ticks = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Every frame a file shows, in the order shown."""

    times: Times
    """float64 [N] seconds, strictly rising, first 0."""
    duration: float
    """Seconds: the last time plus the last frame's own duration."""
    pts: Ticks
    """int64 [N] ticks of the stream, rising; frame numbers when `keyed` is False."""
    keyed: bool
    """A decoded frame is known by its PTS; otherwise by its place in a decode from the start."""
    packets: Packets | None
    """For planned reading; None when only a decode from the start is exact."""
    positions: Ticks
    """int64 [N], packet number of every frame; empty without packets."""
    proven: bool = False
    """Whether it comes from the packets alone, so that other readers can be held to it."""
    sizes: int = 1
    """How many frame sizes were met, as far as is known."""


class Entry(NamedTuple):
    """One packet."""

    pts: int
    dts: int
    duration: int
    key: bool
    shown: bool


class Shown(NamedTuple):
    """One decoded frame."""

    pts: int
    duration: int
    size: tuple[int, int]


def build(open_source: Callable[[], Source], beat: Beat) -> Table:
    """Read the packets once, and decode once where they do not suffice; may be empty."""
    container, stream = open_source()
    with container:
        entries = scan(container, stream, beat)
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        timed = container.format.name.split(",")[0] in TIMED
        trusted = timed and stream.codec_context.codec.canonical_name in ONE_PER_PACKET
    if trusted and _sound(entries) and (leading := _trial(open_source, entries)) is not None:
        return _from_packets(entries, tick, leading)
    return _from_decode(open_source, entries, timed, beat)


def scan(container: InputContainer, stream: VideoStream, beat: Beat) -> list[Entry]:
    """Every packet of the stream, in file order."""
    is_shown = shown_test(stream.codec_context.codec.canonical_name)
    entries = []
    for packet in packets(container, stream):
        pts = NO_PTS if packet.pts is None else packet.pts
        dts = pts if packet.dts is None else packet.dts
        shown = not packet.is_discard and is_shown(memoryview(packet))
        entries.append(Entry(pts, dts, packet.duration or 0, packet.is_keyframe, shown))
        beat()
    return entries


def decoded(
    stream: VideoStream, feed: Iterable[Packet[VideoStream]], *, strict: bool = False
) -> Iterator[VideoFrame | None]:
    """Frames as the decoder gives them; None after a packet that brought none.

    Goes on behind damage until it gets too much; with `strict` damage ends it.
    """
    failures = 0
    for packet in feed:
        try:
            frames = stream.codec_context.decode(packet)
            failures = 0
        except FFmpegError:
            frames = []
            failures += 1
            if strict:
                return
        yield from frames
        if not frames:
            yield None
        if failures >= MAX_ERRORS:
            break
    yield from _drained(stream)


def _drained(stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames that the decoder still holds; afterwards it needs flush_buffers."""
    for _ in range(MAX_ERRORS):
        try:
            yield from stream.codec_context.decode(None)
            return
        except EOFError:
            return
        except FFmpegError:
            continue


def _sound(entries: list[Entry]) -> bool:
    """Whether all shown packets have a PTS of their own and decoding can begin with the first."""
    shown = [entry.pts for entry in entries if entry.shown]
    return bool(shown) and NO_PTS not in shown and len(set(shown)) == len(shown) and entries[0].key


def _trial(open_source: Callable[[], Source], entries: list[Entry]) -> int | None:
    """Decode the first packets; None when their frames are not those that the packets promise.

    Returns how many of them show nothing because they refer to pictures before the file.
    """
    count = min(TRIAL_PACKETS, len(entries))
    while count < len(entries) and not entries[count - 1].shown:
        count += 1  # a long edit-list lead-in
    container, stream = open_source()
    with container:
        feed = islice(packets(container, stream), count)
        got = sorted(f.pts for f in decoded(stream, feed) if f is not None and f.pts is not None)
    promised = sorted(entry.pts for entry in entries[:count] if entry.shown)
    late = [pts for pts in promised if pts >= entries[0].pts]
    if got == promised:
        return 0
    return len(promised) - len(late) if got == late else None


def _from_packets(entries: list[Entry], tick: float, leading: int) -> Table:
    table = _packets(entries)
    positions = np.flatnonzero([entry.shown for entry in entries])
    positions = positions[np.argsort(table.pts[positions], kind="stable")][leading:]
    pts = table.pts[positions]
    times = (pts - pts[0]) * tick
    stop = _stop(times, entries[int(positions[-1])].duration * tick)
    return Table(times, stop, pts, True, table, positions, proven=True)


def _from_decode(
    open_source: Callable[[], Source], entries: list[Entry], timed: bool, beat: Beat
) -> Table:
    container, stream = open_source()
    frames, silent = list[Shown](), list[int]()
    with container:
        if not timed:  # frame threads would blur which packets bring no frame
            stream.codec_context.thread_type = "SLICE"
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        number = 0
        for frame in decoded(stream, packets(container, stream)):
            beat()
            if frame is None:
                silent.append(number + len(silent))
                continue
            number += 1
            pts = NO_PTS if frame.pts is None else frame.pts
            frames.append(Shown(pts, frame.duration or 0, (frame.width, frame.height)))
    if not frames:
        none = np.empty(0, np.int64)
        return Table(np.empty(0), 0.0, none, False, None, none)
    if (table := _by_pts(frames, entries, timed, tick)) is not None:
        return table
    return _by_place(frames, entries, silent, tick, rate)


def _by_pts(frames: list[Shown], entries: list[Entry], timed: bool, tick: float) -> Table | None:
    """A table of decoded frames that have a PTS of their own; None when they do not."""
    pts = np.array([frame.pts for frame in frames], np.int64)
    if timed:  # a decoder may give frames out of order before it knows how far to reorder
        pts = np.sort(pts)
    if NO_PTS in pts or (np.diff(pts) <= 0).any():
        return None
    times = (pts - pts[0]) * tick
    stop = _stop(times, frames[-1].duration * tick)
    place = {entry.pts: number for number, entry in enumerate(entries)}
    positions = np.array([place.get(value, -1) for value in pts.tolist()], np.int64)
    sizes = len({frame.size for frame in frames})
    if positions.min() < 0 or len(place) != len(entries) or not entries[0].key:
        return Table(times, stop, pts, True, None, positions[:0], sizes=sizes)
    return Table(times, stop, pts, True, _packets(entries), positions, sizes=sizes)


def _by_place(
    frames: list[Shown], entries: list[Entry], silent: list[int], tick: float, rate: float
) -> Table:
    """A table of decoded frames without a usable PTS.

    AVI numbers its packets and FFmpeg makes up a PTS for each: once the packets that bring no frame
    are taken out, the sorted rest are the frames' times. Otherwise frames follow one another.
    """
    count = len(frames)
    length = float(np.median([frame.duration for frame in frames])) * tick
    length = length if length > 0 else 1 / rate
    # As many silent packets as frames come out at the end only mean delay.
    delay = count + len(silent) - len(entries)
    dropped = set(silent[max(delay, 0) :])
    stamps = sorted(entry.pts for n, entry in enumerate(entries) if n not in dropped)
    if NO_PTS not in stamps and len(set(stamps)) == len(stamps) == count:
        times: Times = (np.array(stamps, np.int64) - stamps[0]) * np.float64(tick)
    else:
        times = _filled([frame.pts for frame in frames], tick, length)
    sizes = len({frame.size for frame in frames})
    none = np.empty(0, np.int64)
    stop = _stop(times, length)
    return Table(times, stop, np.arange(count), False, None, none, sizes=sizes)


def _filled(pts: list[int], tick: float, length: float) -> Times:
    """Times where only some frames have a PTS: the others follow at `length` seconds."""
    number = np.arange(len(pts))
    known = np.flatnonzero(np.array(pts, np.int64) != NO_PTS)
    stamps = np.array(pts, np.int64)[known] * tick
    if len(known) == 0 or (np.diff(stamps) <= 0).any():
        return np.asarray(number * length, np.float64)
    times = np.asarray(np.interp(number, known, stamps), np.float64)
    times[: known[0]] += (number[: known[0]] - known[0]) * length
    times[known[-1] + 1 :] += (number[known[-1] + 1 :] - known[-1]) * length
    return np.asarray(times - times[0])


def _stop(times: Times, last: float) -> float:
    """Where the last frame ends: after its own duration if it has one, else after the usual gap."""
    if last <= 0:
        last = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    return float(times[-1]) + last


def _packets(entries: list[Entry]) -> Packets:
    return Packets(
        np.array([entry.pts for entry in entries], np.int64),
        np.array([entry.dts for entry in entries], np.int64),
        np.array([entry.key for entry in entries], np.bool_),
    )

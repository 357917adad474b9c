"""The frame table: which frames a file shows, and when.

Packets tell it where they can be trusted: containers that time-stamp every frame, codecs with one shown
picture per packet, and a trial of the first packets that agrees. Everything else is decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vidattn.video.bitstream import role_reader
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
    "h264 hevc vp8 vp9 av1 mpeg4 mpeg1video mpeg2video mjpeg prores dnxhd ffv1".split()
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
    counted: bool = False
    """Whether the table comes from a whole decode."""
    sizes: int = 1
    """Frame sizes met, as far as is known."""


class Entry(NamedTuple):
    """One packet."""

    pts: int
    dts: int
    duration: int
    key: bool
    droppable: bool
    layer: int
    shown: bool


class Shown(NamedTuple):
    """One decoded frame."""

    pts: int
    dts: int
    duration: int
    size: tuple[int, int]


def build(open_source: Callable[[], Source], beat: Beat) -> Table:
    """Read the packets once, and decode once where they do not suffice; no frames give an empty table."""
    container, stream = open_source()
    with container:
        entries = scan(container, stream, beat)
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        timed = container.format.name.split(",")[0] in TIMED
        trusted = (
            timed
            and stream.codec_context.codec.canonical_name in ONE_PER_PACKET
            and _sound(entries)
        )
    if trusted and (leading := _trial(open_source, entries)) is not None:
        return _from_packets(entries, tick, leading)
    return _from_decode(open_source, entries, timed, beat)


def scan(container: InputContainer, stream: VideoStream, beat: Beat) -> list[Entry]:
    """Every packet of the stream, in file order."""
    role_of = role_reader(stream.codec_context.codec.canonical_name, stream.codec_context.extradata)
    entries = []
    for packet in packets(container, stream):
        role = role_of(memoryview(packet))
        pts = NO_PTS if packet.pts is None else packet.pts
        dts = pts if packet.dts is None else packet.dts
        entries.append(
            Entry(
                pts,
                dts,
                packet.duration or 0,
                packet.is_keyframe,
                role.droppable,
                role.layer,
                role.shown and not packet.is_discard,
            )
        )
        beat()
    return entries


def decoded(
    stream: VideoStream, feed: Iterator[Packet[VideoStream]]
) -> Iterator[VideoFrame | None]:
    """Frames as the decoder gives them, going on behind damage; None after each packet without one."""
    failures = 0
    for packet in feed:
        try:
            frames = stream.codec_context.decode(packet)
            failures = 0
        except FFmpegError:
            frames = []
            failures += 1
        yield from frames or [None]
        if failures >= MAX_ERRORS:
            break
    yield from drained(stream)


def drained(stream: VideoStream) -> Iterator[VideoFrame]:
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

    Returns how many leading packets show nothing because they refer to pictures before the file.
    """
    container, stream = open_source()
    count = min(TRIAL_PACKETS, len(entries))
    while count < len(entries) and not entries[count - 1].shown:
        count += 1  # a long edit-list lead-in
    with container:
        feed = (p for p, _ in zip(packets(container, stream), range(count), strict=False))
        got = [f.pts for f in decoded(stream, feed) if f is not None]
    promised = sorted(entry.pts for entry in entries[:count] if entry.shown)
    if sorted(pts for pts in got if pts is not None) == promised:
        return 0
    late = [pts for pts in promised if pts >= entries[0].pts]
    return len(promised) - len(late) if sorted(p for p in got if p is not None) == late else None


def _from_packets(entries: list[Entry], tick: float, leading: int) -> Table:
    table = _packets(entries)
    shown = np.array([entry.shown for entry in entries])
    positions = np.flatnonzero(shown)
    positions = positions[np.argsort(table.pts[positions], kind="stable")][leading:]
    pts = table.pts[positions]
    times = (pts - pts[0]) * tick
    last = entries[int(positions[-1])].duration * tick
    return Table(times, float(times[-1]) + _last(last, times), pts, True, table, positions)


def _from_decode(
    open_source: Callable[[], Source], entries: list[Entry], timed: bool, beat: Beat
) -> Table:
    container, stream = open_source()
    shown = list[Shown]()
    with container:
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        for frame in decoded(stream, packets(container, stream)):
            beat()
            if frame is not None:
                pts = NO_PTS if frame.pts is None else frame.pts
                dts = NO_PTS if frame.dts is None else frame.dts
                shown.append(Shown(pts, dts, frame.duration or 0, (frame.width, frame.height)))
    return _timed(shown, entries, timed, tick, rate)


def _timed(
    shown: list[Shown], entries: list[Entry], timed: bool, tick: float, rate: float
) -> Table:
    """Give decoded frames their times: their own PTS, else their DTS, else their place."""
    number = np.arange(len(shown))
    pts = np.array([frame.pts for frame in shown], np.int64)
    sizes = len({frame.size for frame in shown}) or 1
    unique = len(np.unique(pts)) == len(pts) and NO_PTS not in pts
    if (
        timed and unique
    ):  # a decoder may give frames out of order before it knows how far to reorder
        pts = np.sort(pts)
    none = np.empty(0, np.int64)
    if len(shown) == 0:
        return Table(np.empty(0), 0.0, none, False, None, none, True)
    if unique and bool((np.diff(pts) > 0).all()):
        times = (pts - pts[0]) * tick
        place = {entry.pts: position for position, entry in enumerate(entries)}
        positions = np.array([place.get(value, -1) for value in pts.tolist()], np.int64)
        table = _packets(entries) if positions.min() >= 0 and len(place) == len(entries) else None
        last = _last(shown[-1].duration * tick, times)
        stop = float(times[-1]) + last
        return Table(times, stop, pts, True, table, positions if table else none, True, sizes)
    times = _by_dts(shown, tick)
    if times is None:
        length = float(np.median([frame.duration for frame in shown])) * tick
        times = number * (length if length > 0 else 1 / rate)
    stop = float(times[-1]) + _last(shown[-1].duration * tick, times)
    return Table(times, stop, number, False, None, none, True, sizes)


def _by_dts(shown: list[Shown], tick: float) -> Times | None:
    """Times from DTS, which AVI counts in shown frames; None unless they rise."""
    dts = np.array([frame.dts for frame in shown], np.int64)
    known = int((dts != NO_PTS).sum())
    if known < 2 or (dts[:known] == NO_PTS).any() or (np.diff(dts[:known]) <= 0).any():
        return None
    gap = int(np.median(np.diff(dts[:known])))
    dts[known:] = dts[known - 1] + gap * np.arange(1, len(dts) - known + 1)
    return np.asarray((dts - dts[0]) * tick)


def _last(own: float, times: Times) -> float:
    """Duration of the last frame: its own if it has one, else the usual gap."""
    if own > 0:
        return own
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.04


def _packets(entries: list[Entry]) -> Packets:
    layer = np.array([entry.layer for entry in entries])
    return Packets(
        np.array([entry.pts for entry in entries], np.int64),
        np.array([entry.dts for entry in entries], np.int64),
        np.array([entry.key for entry in entries], np.bool_),
        np.array([entry.droppable for entry in entries], np.bool_) & (layer == layer.max()),
    )

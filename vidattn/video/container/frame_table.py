"""The frame table: every frame that a file shows, and its time.

Packets tell it where they can be trusted: containers with a timestamp per frame, codecs with one
shown picture per packet, and a trial of the first packets that agrees. Everything else is decoded
once from first to last frame.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError

from vidattn.video.container.open import MAX_ERRORS, read_packets, require_count, require_memory
from vidattn.video.container.packets import NO_PTS, Beat, Packets, Ticks, read_index, scan
from vidattn.video.protocol import MAX_FRAMES, Times

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

Source = tuple["InputContainer", "VideoStream"]


def _empty() -> Ticks:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """Every frame a file shows, in the order shown."""

    times: Times
    """float64 [N] seconds, strictly rising, first 0."""
    duration: float
    """Seconds: the last time plus the last frame's own duration."""
    pts: Ticks
    """int64 [N] ticks of the stream, rising; frame numbers when `keyed` is False."""
    keyed: bool = True
    """A decoded frame is known by its PTS; otherwise by its place in a decode from the start."""
    packets: Packets | None = None
    """For planned reading; None when only a decode from the start is exact."""
    positions: Ticks = field(default_factory=_empty)
    """int64 [N], packet number of every frame; empty without packets."""
    proven: bool = False
    """Whether it comes from the packets alone, so that other readers can be checked against it."""
    sizes: int = 1
    """Number of frame sizes, as far as is known."""
    damaged: bool = False
    """Whether a part did not decode, as far as is known."""
    holes: tuple[tuple[float, float], ...] = ()
    """Start and end in seconds of missing parts; no frame of the table lies inside."""


@dataclass(slots=True)
class WholeDecode:
    """Results of a decode from first to last frame; arrays, since a day of video has millions."""

    pts: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    silent: array[int] = field(default_factory=lambda: array("q"))
    """Numbers of the packets that brought no frame."""
    sizes: set[tuple[int, int]] = field(default_factory=set)
    damaged: bool = False
    """Whether a part did not decode, or not well."""

    def mark_damaged(self) -> None:
        """Note that a packet did not decode."""
        self.damaged = True


def build_table(
    open_source: Callable[[], Source], beat: Beat, max_frames: int = MAX_FRAMES
) -> FrameTable:
    """Read the packets once, and decode once where they do not suffice; may be empty."""
    container, stream = open_source()
    with container:
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        timed = container.format.name.split(",")[0] in TIMED
        trusted = timed and stream.codec_context.codec.canonical_name in ONE_PER_PACKET
        table = read_index(container, stream) if trusted else None
    if table is None:
        container, stream = open_source()
        with container:
            table = scan(container, stream, beat, max_frames)
    require_count(len(table), max_frames)
    if trusted and _is_sound(table) and (leading := _trial(open_source, table)) is not None:
        return _from_packets(table, tick, leading)
    return _from_decode(open_source, table, timed, beat)


def decode(
    stream: VideoStream,
    feed: Iterable[Packet[VideoStream]],
    *,
    strict: bool = False,
    on_damage: Callable[[], None] = lambda: None,
) -> Iterator[VideoFrame | None]:
    """Frames as the decoder gives them; None after a packet that brought none.

    Continues behind damage until there is too much of it; with `strict` damage ends it. on_damage:
    called for packets that do not decode.
    """
    failures = 0
    for packet in feed:
        try:
            frames = stream.codec_context.decode(packet)
            failures = 0
        except FFmpegError:
            require_memory()
            frames = []
            failures += 1
            on_damage()
            if strict:
                return
        yield from frames
        if not frames:
            yield None
        if failures >= MAX_ERRORS:
            break
    for _ in range(MAX_ERRORS):  # frames still in the decoder, which then needs flush_buffers
        try:
            yield from stream.codec_context.decode(None)
            return
        except EOFError:
            return
        except FFmpegError:
            require_memory()


def _is_sound(table: Packets) -> bool:
    """Whether all shown packets have a PTS of their own and decoding can begin with the first."""
    pts = table.pts[table.shown]
    return len(pts) > 0 and NO_PTS not in pts and len(np.unique(pts)) == len(pts) and table.key[0]


def _trial(open_source: Callable[[], Source], table: Packets) -> int | None:
    """Decode the first packets; None when their frames are not those that the packets promise.

    Returns how many of them show nothing because they refer to pictures before the file.
    """
    count = min(TRIAL_PACKETS, len(table))
    while count < len(table) and not table.shown[count - 1]:
        count += 1  # a long edit-list lead-in
    container, stream = open_source()
    with container:
        feed = islice(read_packets(container, stream), count)
        got = sorted(f.pts for f in decode(stream, feed) if f is not None and f.pts is not None)
    promised = sorted(table.pts[:count][table.shown[:count]].tolist())
    late = [pts for pts in promised if pts >= table.pts[0]]
    if got == promised:
        return 0
    return len(promised) - len(late) if got == late else None


def _from_packets(table: Packets, tick: float, leading: int) -> FrameTable:
    positions = np.flatnonzero(table.shown)
    positions = positions[np.argsort(table.pts[positions], kind="stable")][leading:]
    pts = table.pts[positions]
    times = (pts - pts[0]) * tick
    stop = _end(times, float(table.duration[positions[-1]]) * tick)
    return FrameTable(times, stop, pts, packets=table, positions=positions, proven=True)


def _from_decode(
    open_source: Callable[[], Source], table: Packets, timed: bool, beat: Beat
) -> FrameTable:
    container, stream = open_source()
    whole = WholeDecode()
    with container:
        if not timed:  # frame threads would blur which packets bring no frame
            stream.codec_context.thread_type = "SLICE"
        tick = float(stream.time_base or Fraction(1, 1_000_000))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        feed = read_packets(container, stream)
        for frame in decode(stream, feed, on_damage=whole.mark_damaged):
            beat()
            if frame is None:
                whole.silent.append(len(whole.pts) + len(whole.silent))
                continue
            whole.pts.append(NO_PTS if frame.pts is None else frame.pts)
            whole.duration.append(frame.duration or 0)
            whole.sizes.add((frame.width, frame.height))
            whole.damaged = whole.damaged or frame.is_corrupt
    if not whole.pts:
        return FrameTable(np.empty(0), 0.0, _empty(), keyed=False)
    frames = _by_pts(whole, table, timed, tick) or _by_place(whole, table, tick, rate)
    return replace(frames, sizes=len(whole.sizes), damaged=whole.damaged)


def _by_pts(whole: WholeDecode, table: Packets, timed: bool, tick: float) -> FrameTable | None:
    """A table of decoded frames that have a PTS of their own; None when they do not."""
    pts, last = np.array(whole.pts, np.int64), whole.duration[-1]
    if timed:  # a decoder may give frames out of order before it knows how far to reorder
        pts = np.sort(pts)
    spans = [] if timed else _torn_spans(table)
    if spans:  # frames that a decoder makes up there come at any time
        sound = np.all([(pts < start) | (pts >= stop) for start, stop in spans], axis=0)
        pts, last = pts[sound], np.array(whole.duration)[sound][-1:].sum()
    if not len(pts) or NO_PTS in pts or (np.diff(pts) <= 0).any():
        return None
    times = (pts - pts[0]) * tick
    stop = _end(times, last * tick)
    # Parts that are missing before the first frame or after the last do not belong to the video.
    missing = [((a - int(pts[0])) * tick, (b - int(pts[0])) * tick) for a, b in spans]
    inside = ((max(start, 0.0), min(end, stop)) for start, end in missing)
    holes = tuple(hole for hole in inside if hole[0] < hole[1])
    # The packets of the frames, if that is sure.
    order = np.argsort(table.pts, kind="stable")
    rows = np.searchsorted(table.pts, pts, sorter=order).clip(max=len(table) - 1)
    positions = order[rows]
    distinct = len(np.unique(table.pts)) == len(table)
    if not distinct or not table.key[0] or not np.array_equal(table.pts[positions], pts):
        return FrameTable(times, stop, pts, holes=holes)
    return FrameTable(times, stop, pts, packets=table, positions=positions, holes=holes)


def _torn_spans(table: Packets) -> list[tuple[int, int]]:
    """Spans in ticks whose pictures refer to missing ones: from a packet of which a part is missing
    to the next key frame, if there is one, in the order shown."""
    keys, spans = np.flatnonzero(table.key), list[tuple[int, int]]()
    for number in table.torn.tolist():
        later = keys[keys > number]
        if not len(later) or (spans and table.pts[number] < spans[-1][1]):
            continue
        known = table.pts[number : later[0] + 1]
        if NO_PTS not in known and known[-1] > table.pts[keys[0]]:
            spans.append((max(int(known.min()), int(table.pts[keys[0]])), int(known[-1])))
    return spans


def _by_place(whole: WholeDecode, table: Packets, tick: float, rate: float) -> FrameTable:
    """A table of decoded frames without a usable PTS.

    AVI numbers its packets and FFmpeg makes up a PTS for each: once the packets that bring no frame
    are taken out, the sorted rest are the frames' times. Otherwise frames follow one another.
    """
    count = len(whole.pts)
    length = float(np.median(np.array(whole.duration))) * tick
    length = length if length > 0 else 1 / rate
    # As many silent packets as frames come out at the end only mean delay.
    delay = count + len(whole.silent) - len(table)
    dropped = [number for number in whole.silent[max(delay, 0) :] if number < len(table)]
    stamps = np.sort(np.delete(table.pts, dropped))
    if len(stamps) == count and NO_PTS not in stamps and (np.diff(stamps) > 0).all():
        times: Times = (stamps - stamps[0]) * np.float64(tick)
    else:
        times = _fill_times(np.array(whole.pts, np.int64), tick, length)
    return FrameTable(times, _end(times, length), np.arange(count), keyed=False)


def _fill_times(pts: Ticks, tick: float, length: float) -> Times:
    """Times where only some frames have a PTS: the others follow at `length` seconds."""
    number = np.arange(len(pts))
    known = np.flatnonzero(pts != NO_PTS)
    stamps = pts[known] * tick
    if len(known) == 0 or (np.diff(stamps) <= 0).any():
        return np.asarray(number * length, np.float64)
    times = np.asarray(np.interp(number, known, stamps), np.float64)
    times[: known[0]] += (number[: known[0]] - known[0]) * length
    times[known[-1] + 1 :] += (number[known[-1] + 1 :] - known[-1]) * length
    return np.asarray(times - times[0])


def _end(times: Times, last: float) -> float:
    """The end of the last frame: after its own duration if it has one, else the usual gap."""
    if last <= 0:
        last = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    return float(times[-1]) + last

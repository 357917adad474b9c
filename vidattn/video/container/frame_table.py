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

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidattn.video.container.open import MAX_ERRORS, read_packets, require_count, require_memory
from vidattn.video.container.packets import NO_PTS, Beat, Packets, Ticks, read_index, scan
from vidattn.video.container.timestamps import JUMP_SECONDS, is_shuffled, repair
from vidattn.video.protocol import MAX_FRAMES, Times

TIMED = frozenset({"mov", "matroska", "nut", "ivf", "mxf"})
"""Containers whose packets carry the PTS of their frame."""
JOINED = frozenset({"mpegts", "mpeg", "ogg"})
"""Containers of which several may stand behind one another in a file."""
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
    start: float | None = None
    """Timestamp of the first frame in seconds, None if the file states none."""
    seams: tuple[float, ...] = ()
    """Seconds at which a part begins whose timestamps do not follow those before it."""
    reached: int = 0
    """The byte behind the last packet, as far as the container tells."""
    wrong: int = 0
    """Frames whose timestamp contradicts those around it and was replaced."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The meaning of the timestamps of a file."""

    tick: float
    """Seconds."""
    rate: float
    """Frames per second as stated."""
    timed: bool
    """Whether packets carry the PTS of their frame."""
    numbered: bool
    """Whether packets only have a number, their DTS, as in AVI; FFmpeg makes up a PTS for each."""
    end: float
    """Ticks, the stated end; a jump beyond it is no pause. Recordings that are joined have none."""

    def jumps(self, pts: Ticks) -> NDArray[np.bool_]:
        """Whether the step to each timestamp is a jump, from the one before it; [N]."""
        before = np.concatenate([pts[:1], pts[:-1]])
        known = (pts != NO_PTS) & (before != NO_PTS)
        steps = np.where(known, pts.astype(np.float64) - before, 0.0)
        return (steps * self.tick > JUMP_SECONDS) & (pts > self.end)


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
        clock = _read_clock(container, stream)
        trusted = clock.timed and stream.codec_context.codec.canonical_name in ONE_PER_PACKET
        table = read_index(container, stream) if trusted else None
    if table is None:
        container, stream = open_source()
        with container:
            table = scan(container, stream, beat, max_frames)
    require_count(len(table), max_frames)
    if trusted and _is_sound(table, clock) and (leading := _trial(open_source, table)) is not None:
        return _from_packets(table, clock.tick, leading)
    return _from_decode(open_source, table, clock, beat)


def _read_clock(container: InputContainer, stream: VideoStream) -> Clock:
    tick = float(stream.time_base or Fraction(1, 1_000_000))
    end = ((container.start_time or 0) + (container.duration or 0)) / 1e6 + 1
    joined = container.format.name in JOINED
    return Clock(
        tick,
        rate=float(stream.average_rate or stream.guessed_rate or 25),
        timed=container.format.name.split(",")[0] in TIMED,
        numbered=container.format.name == "avi",
        end=-np.inf if joined else end / tick if container.duration else np.inf,
    )


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


def _is_sound(table: Packets, clock: Clock) -> bool:
    """Whether all shown packets have a PTS of their own, none of which goes back or jumps, and
    decoding can begin with the first."""
    pts = table.pts[table.shown]
    if not len(pts) or NO_PTS in pts or len(np.unique(pts)) < len(pts) or not table.key[0]:
        return False
    return not is_shuffled(pts) and not clock.jumps(np.sort(pts)).any()


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
    start = float(pts[0]) * tick
    return FrameTable(
        times, stop, pts, packets=table, positions=positions, proven=True, start=start
    )


def _from_decode(
    open_source: Callable[[], Source], table: Packets, clock: Clock, beat: Beat
) -> FrameTable:
    container, stream = open_source()
    whole = WholeDecode()
    with container:
        if not clock.timed:  # frame threads would blur which packets bring no frame
            stream.codec_context.thread_type = "SLICE"
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
    frames = _by_pts(whole, table, clock) or _by_place(whole, table, clock)
    reached = table.reached
    return replace(frames, sizes=len(whole.sizes), damaged=whole.damaged, reached=reached)


def _by_pts(whole: WholeDecode, packets: Packets, clock: Clock) -> FrameTable | None:
    """A table of decoded frames that have a PTS of their own; None when they do not."""
    pts, last, tick = np.array(whole.pts, np.int64), whole.duration[-1], clock.tick
    if clock.timed and not is_shuffled(pts):
        pts = np.sort(pts)  # a decoder may not know at first how far to reorder frames
    spans = [] if clock.timed else _torn_spans(packets)
    if spans:  # frames that a decoder makes up there come at any time
        sound = np.all([(pts < start) | (pts >= stop) for start, stop in spans], axis=0)
        pts, last = pts[sound], np.array(whole.duration)[sound][-1:].sum()
    if not len(pts) or NO_PTS in pts or (np.diff(pts) <= 0).any():
        return None
    if clock.jumps(pts).any():
        return None
    times = (pts - pts[0]) * tick
    stop = _end(times, last * tick)
    # Parts that are missing before the first frame or after the last do not belong to the video.
    missing = [((a - int(pts[0])) * tick, (b - int(pts[0])) * tick) for a, b in spans]
    inside = ((max(start, 0.0), min(end, stop)) for start, end in missing)
    holes = tuple(hole for hole in inside if hole[0] < hole[1])
    # The packets of the frames, if that is sure.
    order = np.argsort(packets.pts, kind="stable")
    rows = np.searchsorted(packets.pts, pts, sorter=order).clip(max=len(packets) - 1)
    positions = order[rows]
    distinct = len(np.unique(packets.pts)) == len(packets)
    known = distinct and packets.key[0] and np.array_equal(packets.pts[positions], pts)
    start = float(pts[0]) * tick
    return FrameTable(
        *(times, stop, pts),
        packets=packets if known else None,
        positions=positions if known else _empty(),
        holes=holes,
        start=start,
    )


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


def _by_place(whole: WholeDecode, packets: Packets, clock: Clock) -> FrameTable:
    """A table of decoded frames without a PTS of their own, or with wrong ones.

    Where packets have numbers, those that bring no frame are taken out, and the rest are the times
    of the frames. Otherwise the timestamps of the frames are repaired, or follow one another.
    """
    count, pts = len(whole.pts), np.array(whole.pts, np.int64)
    length = float(np.median(np.array(whole.duration)))
    length = length if length > 0 else 1 / clock.rate / clock.tick
    stamps = pts
    if clock.numbered:
        # As many silent packets as frames come out at the end only mean delay.
        delay = count + len(whole.silent) - len(packets)
        silent = [number for number in whole.silent[max(delay, 0) :] if number < len(packets)]
        numbers = np.sort(np.delete(packets.dts, silent))
        stamps = numbers if len(numbers) == count else pts
    usual = _usual_step(stamps, length)
    fixed = repair(stamps, usual, clock.jumps(stamps))
    ticks = np.arange(count) * usual if fixed is None else fixed.ticks
    times: Times = (ticks - ticks[0]) * np.float64(clock.tick)
    seams = () if fixed is None else tuple(float(times[at]) for at in fixed.seams)
    known = stamps[stamps != NO_PTS]
    return FrameTable(
        times,
        _end(times, max(length, usual) * clock.tick),
        np.arange(count),
        keyed=False,
        start=float(known[0]) * clock.tick if len(known) else None,
        seams=seams,
        wrong=0 if fixed is None else fixed.wrong,
    )


def _usual_step(stamps: Ticks, length: float) -> float:
    """The usual ticks from a frame to the next, `length` if the timestamps do not tell."""
    known = np.flatnonzero(stamps != NO_PTS)
    steps = np.diff(stamps[known].astype(np.float64)) / np.diff(known)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else length


def _end(times: Times, last: float) -> float:
    """The end of the last frame: after its own duration if it has one, else the usual gap."""
    if last <= 0:
        last = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    return float(times[-1]) + last

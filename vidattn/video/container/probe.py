"""Properties of a file, from its header, its frame table and its first frame."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidattn.errors import VideoError
from vidattn.io.text import count_noun
from vidattn.video.container.frame_table import JOINED, FrameTable, Source, build_table, decode
from vidattn.video.container.open import is_picture, read_packets
from vidattn.video.container.packets import Beat
from vidattn.video.container.truncation import (
    MAX_DECLARED_SECONDS,
    declared_duration,
    find_cut_off,
    find_unread,
)
from vidattn.video.pixels import Rotation, rotation_from
from vidattn.video.protocol import MAX_FRAMES, Limits, Times, VideoDetails

UNSET_YEAR = "1980"
"""Clocks that were never set begin in 1904, 1970 or 1980."""
FIRST_PACKETS = 5_000
HDR = {"smpte2084", "arib-std-b67", 16, 18}
_CREATED = re.compile(
    r"(\d{4})(-[01]\d-[0-3]\d)[T ]([0-2]\d:[0-5]\d:[0-5]\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d|)"
)
_TIMECODE = re.compile(r"\d\d:[0-5]\d:[0-5]\d[:;.]\d\d")


@dataclass(frozen=True, slots=True)
class Probe:
    """All that a reader needs to know about a file."""

    details: VideoDetails
    table: FrameTable
    rotation: Rotation
    stored: tuple[int, int]
    """Width and height of the first frame as stored."""
    tail: str | None
    """The reason code of what is missing between the last frame and the duration."""


class ProbeCache:
    """Probes of files that were opened before; those used last, up to ROWS frames in all.

    Spans of a long video are read one by one; reading its packets each time costs more than the
    frames.
    """

    ROWS = 500_000
    """About 40 MB."""

    def __init__(self) -> None:
        self._probes: dict[tuple[object, ...], Probe] = {}

    def get(self, fd: int, limits: Limits, make: Callable[[], Probe]) -> Probe:
        """The probe of an open file, from `make` unless it is cached and has not changed."""
        status = os.fstat(fd)
        times = status.st_mtime_ns, status.st_ctime_ns
        key = (status.st_dev, status.st_ino, status.st_size, *times, limits)
        cached = self._probes.pop(key, None) or make()
        self._probes[key] = cached
        while len(self._probes) > 1 and sum(map(_rows, self._probes.values())) > self.ROWS:
            del self._probes[next(iter(self._probes))]
        return cached


def _rows(cached: Probe) -> int:
    packets = cached.table.packets
    return len(cached.table.times) + (0 if packets is None else len(packets))


def probe(
    open_source: Callable[[], Source],
    beat: Beat,
    max_frames: int = MAX_FRAMES,
    *,
    chosen: bool = False,
) -> Probe:
    """Probe a file; raises VideoError when it shows no frame.

    chosen: whether `open_source` gives a stream that was asked for, so that others are not missed.
    """
    table = build_table(open_source, beat, max_frames)
    container, stream = open_source()
    with container:
        declared = declared_duration(container, stream, table.start or 0.0)
        first = _first_frame(container, stream, table, declared)
        rotation = rotation_from(first)
        missing = None if chosen else find_unread(open_source, table, beat)
        missing = missing or find_cut_off(open_source, table, container.format.name, declared, beat)
        details = _describe(container, stream, table, first, rotation)
    details = replace(
        details,
        duration=table.duration + (missing.seconds if missing else 0.0),
        warnings=(*details.warnings, *((missing.warning,) if missing else ())),
    )
    stored = first.width, first.height
    return Probe(details, table, rotation, stored, missing.code if missing else None)


def _first_frame(
    container: InputContainer, stream: VideoStream, table: FrameTable, declared: float | None
) -> VideoFrame:
    feed = read_packets(container, stream)
    if not len(table.times):
        raise _no_frames(stream.frames, declared, any(True for _ in feed))
    some = islice(feed, FIRST_PACKETS)
    first = next((f for f in decode(stream, some) if f is not None), None)
    if first is None:
        raise VideoError("no frame decodes", code="E_DECODE")
    return first


def _describe(
    container: InputContainer,
    stream: VideoStream,
    table: FrameTable,
    first: VideoFrame,
    rotation: Rotation,
) -> VideoDetails:
    """The properties of a file of which nothing is missing."""
    videos = [s for s in container.streams.video if not is_picture(s)]
    stored = first.width, first.height
    width, height = stored[::-1] if rotation.swaps else stored
    keys = 0 if table.packets is None else int(table.packets.key.sum())
    fps = average_rate(table.times, table.duration, stream.average_rate)
    offset = start_offset(container, table, 1 / float(fps))
    return VideoDetails(
        width=width,
        height=height,
        codec=stream.codec_context.codec.canonical_name,
        container=container.format.name,
        pixel_format=first.format.name,
        fps=fps,
        vfr=_is_vfr(table.times, float(stream.time_base or 0)),
        frames=len(table.times),
        duration=table.duration,
        start_pts_seconds=table.start or 0.0,
        rotation=rotation.degrees,
        mirrored=rotation.mirrored,
        bit_depth=max((c.bits for c in first.format.components), default=8),
        hdr=int(first.color_trc) in HDR,
        sar=Fraction(stream.codec_context.sample_aspect_ratio or 1),
        audio=bool(container.streams.audio),
        start_offset=offset or None,
        timecode=read_timecode(container, stream),
        created=read_creation(container, stream),
        stream=stream.index if len(videos) > 1 else None,
        streams=len(videos),
        warnings=_warnings(table, len(videos), stream.index, offset),
        key_seconds=table.duration / keys if keys else None,
    )


def start_offset(container: InputContainer, table: FrameTable, gap: float) -> float:
    """Seconds from the start of the file to the first frame; 0 where it is less than a `gap`.

    A file starts at 0 if it has a clock of its own (mp4, mov), otherwise with its first stream.
    """
    name = container.format.name
    if table.start is None or name == "avi":
        return 0.0
    zero = (container.start_time or 0) / 1e6
    if name.startswith("mov") and (table.packets is None or table.packets.dts[0] > 0):
        zero = 0.0  # a track that is not shifted begins with its first packet
    offset = table.start - zero
    if name in JOINED and offset > (container.duration or 0) / 1e6:
        return 0.0  # some other stream has a wrong timestamp
    return round(offset, 6) if gap <= offset <= MAX_DECLARED_SECONDS else 0.0


def read_timecode(container: InputContainer, stream: VideoStream) -> str | None:
    """The timecode of the first frame; None if no track states one."""
    others = (other.metadata for other in container.streams)
    for metadata in chain([stream.metadata, container.metadata], others):
        if match := _TIMECODE.fullmatch(metadata.get("timecode", "")):
            return match[0]
    return None


def read_creation(container: InputContainer, stream: VideoStream) -> str | None:
    """When the file was recorded, ISO 8601; None if nothing says so, or the clock was never set.

    QuickTime's own tag has the offset from UTC of the place, creation_time only UTC.
    """
    for key in ("com.apple.quicktime.creationdate", "creation_time"):
        for metadata in (container.metadata, stream.metadata):
            match = _CREATED.fullmatch(metadata.get(key, ""))
            if match and match[1] > UNSET_YEAR:
                offset = re.sub(r"(\d\d):?(\d\d)$", r"\1:\2", match[4].replace("Z", "+0000"))
                return f"{match[1]}{match[2]}T{match[3]}{offset}"
    return None


def average_rate(times: Times, duration: float, stated: Fraction | None) -> Fraction:
    """Frames per second over the whole file; the header's rate if it agrees within 1 %."""
    real = len(times) / duration if duration > 0 else 25.0
    if stated and abs(float(stated) / real - 1) < 0.01:
        return Fraction(stated)
    if real < 1:  # a time-lapse
        return 1 / Fraction(1 / real).limit_denominator(1001)
    return Fraction(real).limit_denominator(1001)


def _is_vfr(times: Times, tick: float) -> bool:
    gaps = np.diff(times)
    if len(gaps) < 2:
        return False
    usual = float(np.median(gaps))
    return bool((np.abs(gaps - usual) > max(1.5 * tick, 0.02 * usual)).any())


def _no_frames(promised: int, declared: float | None, has_packets: bool) -> VideoError:
    if has_packets:
        return VideoError("no frame decodes; the file may be encrypted", code="E_DECODE")
    what = f"{promised} frames" if promised else f"{declared:g} s" if declared else "a video stream"
    message = f"the header promises {what}, but the file holds no frame"
    return VideoError(message, code="E_TRUNCATED")


def _warnings(table: FrameTable, videos: int, index: int, offset: float) -> tuple[str, ...]:
    """Sentences on what is not as it seems."""
    seams = ", ".join(f"{second:.2f} s" for second in table.seams[:5])
    seams += f" and {len(table.seams) - 5} more places" if len(table.seams) > 5 else ""
    wrong = count_noun(table.wrong, "wrong timestamp")
    warnings = {
        f"{videos} video streams; stream {index} is read": videos > 1,
        f"{table.sizes} frame sizes; all are resized to the first": table.sizes > 1,
        f"its first frame comes {offset:.2f} s after the start of the file": offset > 0.5,
        f"timestamps begin anew at {seams}: the parts follow one another": bool(table.seams),
        f"{wrong}: the frames around tell the time": table.wrong > 0,
    }
    return tuple(text for text, holds in warnings.items() if holds)

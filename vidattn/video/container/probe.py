"""Properties of a file, from its header, its frame table and its first frame."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vidattn.errors import VideoError
from vidattn.io.text import count_noun
from vidattn.video.container.frame_table import FrameTable, Source, build_table, decode
from vidattn.video.container.header import (
    declared_duration,
    ends_by_itself,
    read_timecode,
    start_offset,
)
from vidattn.video.container.open import is_picture, read_packets
from vidattn.video.container.packets import Beat
from vidattn.video.container.unread import unread_share
from vidattn.video.pixels import Rotation, rotation_from
from vidattn.video.protocol import MAX_FRAMES, Limits, Times, VideoDetails

TRUNCATED_SECONDS = 1.0
"""A header that promises so much more than the packets hold, and 2 % more, means truncation."""
FIRST_PACKETS = 5_000
HDR = {"smpte2084", "arib-std-b67", 16, 18}


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


def probe(open_source: Callable[[], Source], beat: Beat, max_frames: int = MAX_FRAMES) -> Probe:
    """Probe a file; raises VideoError when it shows no frame."""
    table = build_table(open_source, beat, max_frames)
    container, stream = open_source()
    with container:
        declared = declared_duration(container, stream, table.start or 0.0)
        feed = read_packets(container, stream)
        if not len(table.times):
            raise _no_frames(stream.frames, declared, any(True for _ in feed))
        some = (p for p, _ in zip(feed, range(FIRST_PACKETS), strict=False))
        first = next((f for f in decode(stream, some) if f is not None), None)
        if first is None:
            raise VideoError("no frame decodes", code="E_DECODE")
        rotation = rotation_from(first)
        stored = first.width, first.height
        truncated = _is_truncated(declared, table.duration, container.format.name)
        behind = unread_share(open_source, table, beat) * table.duration
        truncated = truncated and not behind
        if truncated and container.format.name.startswith("matroska"):
            truncated = not ends_by_itself(open_source, (table.start or 0.0) + table.duration, beat)
        fps = average_rate(table.times, table.duration, stream.average_rate)
        offset = start_offset(container, table, 1 / float(fps))
        videos = [s for s in container.streams.video if not is_picture(s)]
        width, height = stored[::-1] if rotation.swaps else stored
        tick = float(stream.time_base or 0)
        keys = 0 if table.packets is None else int(table.packets.key.sum())
        details = VideoDetails(
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
            container=container.format.name,
            pixel_format=first.format.name,
            fps=fps,
            vfr=_is_vfr(table.times, tick),
            frames=len(table.times),
            duration=declared if truncated and declared else table.duration + behind,
            declared_duration=declared,
            start_pts_seconds=table.start or 0.0,
            rotation=rotation.degrees,
            mirrored=rotation.mirrored,
            bit_depth=max((c.bits for c in first.format.components), default=8),
            hdr=int(first.color_trc) in HDR,
            sar=Fraction(stream.codec_context.sample_aspect_ratio or 1),
            audio=bool(container.streams.audio),
            start_offset=offset or None,
            timecode=read_timecode(container, stream),
            streams=len(videos),
            warnings=(
                *_warnings(table, len(videos), stream.index, declared if truncated else None),
                *_time_warnings(table, offset, behind),
            ),
            key_seconds=table.duration / keys if keys else None,
        )
    tail = "E_UNREAD" if behind else "E_TRUNCATED" if truncated else None
    return Probe(details, table, rotation, stored, tail)


def average_rate(times: Times, duration: float, stated: Fraction | None) -> Fraction:
    """Frames per second over the whole file; the header's rate if it agrees within 1 %."""
    real = len(times) / duration if duration > 0 else 25.0
    if stated and abs(float(stated) / real - 1) < 0.01:
        return Fraction(stated)
    return Fraction(real).limit_denominator(1001)


def _is_vfr(times: Times, tick: float) -> bool:
    gaps = np.diff(times)
    if len(gaps) < 2:
        return False
    usual = float(np.median(gaps))
    return bool((np.abs(gaps - usual) > max(1.5 * tick, 0.02 * usual)).any())


def _is_truncated(declared: float | None, available: float, container: str) -> bool:
    """Only containers that state a duration in the header can be seen to be truncated."""
    if declared is None or container.split(",")[0] not in {"mov", "matroska", "avi"}:
        return False
    return declared - available > max(TRUNCATED_SECONDS, 0.02 * declared)


def _no_frames(promised: int, declared: float | None, has_packets: bool) -> VideoError:
    if has_packets:
        return VideoError("no frame decodes; the file may be encrypted", code="E_DECODE")
    what = f"{promised} frames" if promised else f"{declared:g} s" if declared else "a video stream"
    message = f"the header promises {what}, but the file holds no frame"
    return VideoError(message, code="E_TRUNCATED")


def _warnings(
    table: FrameTable, videos: int, index: int, declared: float | None
) -> tuple[str, ...]:
    warnings = {
        f"{videos} video streams; stream {index} is read": videos > 1,
        f"{table.sizes} frame sizes; all are resized to the first": table.sizes > 1,
        f"cut off: {table.duration:.2f} s of {declared or 0:.2f} s are there": declared is not None,
    }
    return tuple(text for text, holds in warnings.items() if holds)


def _time_warnings(table: FrameTable, offset: float, behind: float) -> tuple[str, ...]:
    """Sentences on times that are not what they seem."""
    seams = ", ".join(f"{second:.2f} s" for second in table.seams[:5])
    seams += f" and {len(table.seams) - 5} more places" if len(table.seams) > 5 else ""
    wrong = count_noun(table.wrong, "wrong timestamp")
    warnings = {
        f"about {behind:.0f} s of it are of another program or file and are not read": behind > 0,
        f"its first frame comes {offset:.2f} s after the start of the file": offset > 0.5,
        f"timestamps begin anew at {seams}: the parts follow one another": bool(table.seams),
        f"{wrong}: the frames around tell the time": table.wrong > 0,
    }
    return tuple(text for text, holds in warnings.items() if holds)

"""Facts of a file, from its header, its frame table and its first frame."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vidattn.errors import VideoError
from vidattn.video.container.frame_table import FrameTable, Source, build, decoded
from vidattn.video.container.open import is_picture, packets
from vidattn.video.container.packets import Beat
from vidattn.video.pixels import Rotation, rotation_from
from vidattn.video.protocol import MAX_FRAMES, Limits, Times, VideoDetails

TRUNCATED_SECONDS = 1.0
"""A header that promises so much more than the packets hold, and 2 % more, means a cut-off file."""
BELIEVED_SECONDS = 30 * 86400.0
"""A header that promises more is wrong: the frames that are there are what there is."""
FIRST_PACKETS = 5_000
HDR = {"smpte2084", "arib-std-b67", 16, 18}


@dataclass(frozen=True, slots=True)
class Probe:
    """All that a reader needs to know about a file."""

    facts: VideoDetails
    table: FrameTable
    turn: Rotation
    stored: tuple[int, int]
    """Width and height of the first frame as stored."""
    truncated: bool


class Probes:
    """What is known of files that were opened before, for those who come back to them.

    Spans of a long film are read one by one; reading its packets each time costs more than the
    frames. Keeps the tables of ROWS frames in all, those used last.
    """

    ROWS = 500_000
    """About 40 MB."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Probe] = {}

    def of(self, fd: int, limits: Limits, make: Callable[[], Probe]) -> Probe:
        """The facts of an open file, from `make` unless it is known and has not changed."""
        found = os.fstat(fd)
        times = found.st_mtime_ns, found.st_ctime_ns
        key = (found.st_dev, found.st_ino, found.st_size, *times, limits)
        known = self._known.pop(key, None) or make()
        self._known[key] = known
        while len(self._known) > 1 and sum(map(_rows, self._known.values())) > self.ROWS:
            del self._known[next(iter(self._known))]
        return known


def _rows(found: Probe) -> int:
    packets = found.table.packets
    return len(found.table.times) + (0 if packets is None else len(packets))


def probe(open_source: Callable[[], Source], beat: Beat, max_frames: int = MAX_FRAMES) -> Probe:
    """Read the facts of a file; raises VideoError when it shows no frame."""
    table = build(open_source, beat, max_frames)
    container, stream = open_source()
    with container:
        declared = _declared(container.duration, stream.duration, stream.time_base)
        if not len(table.times):
            raise _no_frames(stream.frames, declared, any(True for _ in packets(container, stream)))
        feed = (p for p, _ in zip(packets(container, stream), range(FIRST_PACKETS), strict=False))
        first = next((f for f in decoded(stream, feed) if f is not None), None)
        if first is None:
            raise VideoError("no frame decodes", code="E_DECODE")
        turn = rotation_from(first)
        stored = first.width, first.height
        truncated = _is_truncated(declared, table.duration, container.format.name)
        videos = [s for s in container.streams.video if not is_picture(s)]
        width, height = stored[::-1] if turn.swaps else stored
        tick = float(stream.time_base or 0)
        facts = VideoDetails(
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
            container=container.format.name,
            pixel_format=first.format.name,
            fps=average_rate(table.times, table.duration, stream.average_rate),
            vfr=_is_vfr(table.times, tick),
            frames=len(table.times),
            duration=declared if truncated and declared else table.duration,
            declared_duration=declared,
            start_pts_seconds=float(table.pts[0]) * tick if table.keyed else 0.0,
            rotation=turn.degrees,
            mirrored=turn.mirrored,
            bit_depth=max((c.bits for c in first.format.components), default=8),
            hdr=int(first.color_trc) in HDR,
            sar=Fraction(stream.codec_context.sample_aspect_ratio or 1),
            audio=bool(container.streams.audio),
            streams=len(videos),
            warnings=_warnings(table, len(videos), stream.index, declared if truncated else None),
            key_seconds=_key_seconds(table),
        )
    return Probe(facts, table, turn, stored, truncated)


def average_rate(times: Times, duration: float, stated: Fraction | None) -> Fraction:
    """Frames per second over the whole file; the header's figure when it agrees within 1 %."""
    real = len(times) / duration if duration > 0 else 25.0
    if stated and abs(float(stated) / real - 1) < 0.01:
        return Fraction(stated)
    return Fraction(real).limit_denominator(1001)


def _key_seconds(table: FrameTable) -> float | None:
    """How far key frames are apart, on average."""
    count = 0 if table.packets is None else int(table.packets.key.sum())
    return table.duration / count if count else None


def _is_vfr(times: Times, tick: float) -> bool:
    gaps = np.diff(times)
    if len(gaps) < 2:
        return False
    usual = float(np.median(gaps))
    return bool((np.abs(gaps - usual) > max(1.5 * tick, 0.02 * usual)).any())


def _declared(container: int | None, stream: int | None, tick: Fraction | None) -> float | None:
    """Seconds that the header promises for the video, else for the file; None for nonsense."""
    promised = float(stream * tick) if stream and tick else (container or 0) / 1e6
    return promised if 0 < promised <= BELIEVED_SECONDS else None


def _is_truncated(declared: float | None, available: float, container: str) -> bool:
    """Only containers that state a duration in the header can be seen to be cut."""
    if declared is None or container.split(",")[0] not in {"mov", "matroska", "avi"}:
        return False
    return declared - available > max(TRUNCATED_SECONDS, 0.02 * declared)


def _no_frames(promised: int, declared: float | None, packets_found: bool) -> VideoError:
    if packets_found:
        return VideoError("no frame decodes; the file may be encrypted", code="E_DECODE")
    what = f"{promised} frames" if promised else f"{declared:g} s" if declared else "a video stream"
    return VideoError(
        f"the header promises {what}, but the file holds no frame", code="E_TRUNCATED"
    )


def _warnings(
    table: FrameTable, videos: int, index: int, declared: float | None
) -> tuple[str, ...]:
    found = []
    if videos > 1:
        found.append(f"{videos} video streams; stream {index} is read")
    if table.sizes > 1:
        found.append(f"{table.sizes} frame sizes; all are resized to the first")
    if declared is not None:
        found.append(f"cut off: {table.duration:.2f} s of {declared:.2f} s are there")
    return tuple(found)

"""Reading video: `open_video(path)` gives exact upright RGB frames by number, times from PTS.

Decoders never run in the calling process: a supervised child does the native work, so that a
hostile file can neither crash, hang nor bloat the program that reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vidattn.io.lazy import lazy_getattr

if TYPE_CHECKING:
    from vidattn.types import Framing
    from vidattn.video.process.pool import ProcessPool
    from vidattn.video.process.prefetch import Prefetcher
    from vidattn.video.protocol import Limits, Opening, UnreadableSpan, Video, VideoDetails
    from vidattn.video.readers.memory import MemoryVideo

__all__ = [
    "Limits",
    "MemoryVideo",
    "Opening",
    "Prefetcher",
    "ProcessPool",
    "UnreadableSpan",
    "Video",
    "VideoDetails",
    "open_video",
]
_HOMES = {
    "process.pool": ("ProcessPool",),
    "process.prefetch": ("Prefetcher",),
    "protocol": ("Limits", "Opening", "UnreadableSpan", "Video", "VideoDetails"),
    "readers.memory": ("MemoryVideo",),
}
__getattr__ = lazy_getattr(__name__, _HOMES)


def open_video(
    path: str | os.PathLike[str],
    *,
    reader: str = "auto",
    short_side: int | None = None,
    limits: Limits | None = None,
    pool: ProcessPool | None = None,
    framing: Framing | None = None,
) -> Video:
    """Open a regular file as a Video, decoded in a process of its own.

    reader: "auto" or a name of READERS. short_side: pixels of the shorter side of returned frames,
    resized up or down, aspect kept; None keeps the stored size. pool: keeps the decoding process
    for the next file. framing: the part of each picture to return, whose shorter side then has
    `short_side` pixels, or fewer where the file has no more. Raises VideoError with a reason code
    if the file is no readable video, UsageError for bad arguments.
    """
    from vidattn.video.framing import areas_of, framed
    from vidattn.video.process.client import SupervisedVideo

    video = SupervisedVideo(
        path,
        reader=reader,
        short_side=short_side,
        limits=limits,
        pool=pool,
        areas=areas_of(framing, os.fspath(path)),
    )
    return framed(video, framing, short_side)

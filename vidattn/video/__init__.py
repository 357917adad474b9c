"""Reading video: `open_video(path)` gives exact upright RGB frames by number, times from PTS.

Decoders never run in the calling process: a supervised child does the native work, so that a
hostile file can neither crash, hang nor bloat the program that reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vidattn.io.lazy import lazy_getattr

if TYPE_CHECKING:
    from vidattn.video.process.child import ProcessPool
    from vidattn.video.process.pool import Prefetcher
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
    "process.child": ("ProcessPool",),
    "process.pool": ("Prefetcher",),
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
    spare: ProcessPool | None = None,
) -> Video:
    """Open a regular file as a Video, decoding in a process of its own.

    reader: "auto", "pyav", "decord", "opencv" or "torchcodec". "auto" is pyav: it alone is exact on
    every file, and the fastest for sparse frames too, since it plans what it decodes.
    short_side: pixels of the shorter side of returned frames, resized up or down, aspect kept; None
    keeps the stored size.
    spare: keeps the decoding process for the next file, for going through many short ones.
    Raises VideoError with a reason code when the file is no readable video, UsageError on bad
    arguments.
    """
    from vidattn.video.process.client import SupervisedVideo

    return SupervisedVideo(path, reader=reader, short_side=short_side, limits=limits, spare=spare)

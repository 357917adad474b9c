"""Opening a video: supervised, and framed."""

from __future__ import annotations

import os

from vidattn.types import Framing
from vidattn.video.framing import areas_of, framed
from vidattn.video.process.client import SupervisedVideo
from vidattn.video.process.pool import ProcessPool
from vidattn.video.protocol import Limits, Video


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
    video = SupervisedVideo(
        path,
        reader=reader,
        short_side=short_side,
        limits=limits,
        pool=pool,
        areas=areas_of(framing, os.fspath(path)),
    )
    return framed(video, framing, short_side)

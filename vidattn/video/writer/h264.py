"""The H.264 stream of every video that is made here."""

from __future__ import annotations

from fractions import Fraction

from av.container.output import OutputContainer
from av.video.stream import VideoStream

THREADS = 4
"""Encoder threads, the same on every machine: their number changes the bytes."""


def add_h264(container: OutputContainer, rate: Fraction, size: tuple[int, int]) -> VideoStream:
    """Add a stream of H.264 whose bytes depend on its frames only.

    rate: frames a second. size: width and height, both even. Its threads work on several frames:
    with several threads on one frame, x264 chooses motion vectors by which of them is faster.
    """
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_type, stream.codec_context.thread_count = "FRAME", THREADS
    return stream

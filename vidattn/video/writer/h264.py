"""The H.264 stream of every video that is made here."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from av.container.output import OutputContainer
from av.video.stream import VideoStream

THREADS = 4
"""Encoder threads, the same on every machine: their number changes the bytes."""


def add_h264(
    container: OutputContainer,
    rate: Fraction,
    size: tuple[int, int],
    options: Mapping[str, str] | None = None,
) -> VideoStream:
    """Add a stream of H.264 whose bytes depend on its frames only.

    rate: frames a second. size: width and height, both even. options: others of x264. Its threads
    work on several frames: with several threads on one frame, x264 chooses motion vectors by which
    of them is faster. Its macroblock tree is off: at widths that 16 does not divide, it reads
    memory that nothing has written.
    """
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_type, stream.codec_context.thread_count = "FRAME", THREADS
    stream.codec_context.options = {**(options or {}), "mbtree": "0"}
    return stream

"""The H.264 stream of every video that is made here, and its colors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container.output import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidattn.io.files import replacing_file, writing
from vidattn.video.protocol import Frames

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


def write_drawn(
    path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: int
) -> Path:
    """Write frames, uint8 [H, W, 3] RGB, as H.264; returns the path.

    size: width and height, both even. Raises OutputError.
    """
    with (
        writing(path),
        replacing_file(path) as place,
        av.open(str(place), "w", format="mp4") as container,
    ):
        stream = add_h264(container, Fraction(fps), size)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


UNSPECIFIED = 2
"""FFmpeg's number for matrix, primaries and transfer alike."""
BT709 = 1
_MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU624, 6: Colorspace.SMPTE170M}
"""By FFmpeg's number. Others become BT.709."""


@dataclass(frozen=True)
class ColorTags:
    """Matrix, primaries and transfer of a video that is made from another."""

    matrix: int
    primaries: int
    transfer: int

    @classmethod
    def like(cls, stream: VideoStream) -> ColorTags:
        """Those of a file, if RGB made from it can be converted back; else BT.709.

        A file without a matrix was read as BT.601 and is written so, again without one, which keeps
        its values.
        """
        context = stream.codec_context
        matrix = int(context.colorspace)
        if matrix == UNSPECIFIED or matrix in _MATRICES:
            return cls(matrix, int(context.color_primaries), int(context.color_trc))
        return cls(BT709, BT709, BT709)

    def tag(self, stream: VideoStream) -> None:
        """Set them in a stream that is to be encoded."""
        context = stream.codec_context
        context.colorspace = self.matrix
        context.color_primaries = self.primaries
        context.color_trc = self.transfer
        context.color_range = ColorRange.MPEG

    def to_yuv(self, rgb: Frames) -> VideoFrame:
        """rgb: uint8 [H, W, 3], H and W even; returns a frame in yuv420p."""
        return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=_MATRICES.get(self.matrix, Colorspace.ITU601),
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

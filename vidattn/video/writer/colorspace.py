"""From RGB back to the YUV of a file, so that its colors stay the same."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from vidattn.video.protocol import Frames

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

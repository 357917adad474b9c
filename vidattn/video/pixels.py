"""Conversion of decoded frames to upright RGB of one size."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsBytes, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vidattn.video.protocol import Frames, target_size

FILTER = Interpolation.BILINEAR
"""swscale's bilinear: its support grows with the reduction, so shrinking does not alias."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The way to upright pixels: mirrored left to right first, then rotated clockwise."""

    degrees: int = 0
    mirrored: bool = False

    @property
    def swaps(self) -> bool:
        """Whether width and height are swapped."""
        return self.degrees % 180 == 90

    def apply(self, frame: Frames) -> Frames:
        """frame: uint8 [H, W, 3]; returns a contiguous array."""
        if self.mirrored:
            frame = frame[:, ::-1]
        if self.degrees:
            frame = np.rot90(frame, -self.degrees // 90)
        return np.ascontiguousarray(frame)


def rotation_from(frame: VideoFrame) -> Rotation:
    """The rotation in a frame's display matrix; only quarter turns are known."""
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return Rotation()
    a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
    unit = max(abs(a), abs(b), 1)
    grid = tuple(round(value / unit) for value in (a, b, c, d))
    # The matrix maps a stored point (x, y) to (a x + c y, b x + d y), y pointing down.
    return _ROTATIONS.get(grid, Rotation())


def _side_data(frame: VideoFrame) -> Mapping[str, SupportsBytes]:
    """The side data of a frame; kinds that PyAV has no name for, such as EXIF, have a wrong one.

    PyAV 18.1 names every kind before it gives any, and raises ValueError where it cannot.
    """
    try:
        return cast("Mapping[str, SupportsBytes]", frame.side_data)
    except ValueError:
        Type._missing_ = classmethod(lambda cls, value: cls.VIDEO_HINT)  # type: ignore[method-assign, assignment]
        return cast("Mapping[str, SupportsBytes]", frame.side_data)


_ROTATIONS = {
    (1, 0, 0, 1): Rotation(0),
    (0, 1, -1, 0): Rotation(90),
    (-1, 0, 0, -1): Rotation(180),
    (0, -1, 1, 0): Rotation(270),
    (-1, 0, 0, 1): Rotation(0, mirrored=True),
    (1, 0, 0, -1): Rotation(180, mirrored=True),
    (0, 1, 1, 0): Rotation(270, mirrored=True),
    (0, -1, -1, 0): Rotation(90, mirrored=True),
}


class Converter:
    """Converts frames of any size and pixel format to RGB of one size.

    Color matrix and range are those of the frame; unspecified ones are swscale's defaults (BT.601,
    limited range). More than 8 bits are rounded to 8, alpha is dropped, nothing is tone mapped.
    """

    def __init__(self, width: int, height: int, rotation: Rotation, short_side: int | None) -> None:
        """width, height: stored size, before the rotation."""
        stored = target_size(width, height, short_side)
        self._width, self._height = stored
        self.width, self.height = stored[::-1] if rotation.swaps else stored
        self._rotation = rotation
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Frames:
        """uint8 [height, width, 3], contiguous."""
        rgb = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgb24",
            interpolation=FILTER,
            threads=1,
        )
        return self._rotation.apply(np.asarray(rgb.to_ndarray(), np.uint8))

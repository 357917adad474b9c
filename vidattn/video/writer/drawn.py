"""Writing a video of frames that were made here, and come from no file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidattn.io.files import replacing_file, writing
from vidattn.video.writer.h264 import add_h264


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

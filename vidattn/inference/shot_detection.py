"""Changes from frame to frame of a video, in one pass at a small size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vidattn.timeline.shot_cuts import CUT_SIDE, frame_difference
from vidattn.types import Window
from vidattn.video import Opening, open_video


class Change(NamedTuple):
    """One frame that decodes."""

    time: float
    """PTS seconds."""
    difference: float
    """From the frame before, see `vidattn.timeline.shot_cuts`; 0 for the first."""
    frames: int
    """Number of frames in the pass."""


def measure_changes(
    path: str | os.PathLike[str],
    region: Window,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Iterator[Change]:
    """The change at every frame of a region, from which `shot_cuts.find_cuts` finds shot cuts.

    Raises VideoError when the file cannot be read, or changes in the meantime.
    """
    with opening(path, reader=reader, short_side=CUT_SIDE) as video:
        before = None
        first, after = np.searchsorted(video.times, [region.start, region.stop]).tolist()
        for index, frame in video.stream(range(first, after)):
            amount = 0.0 if before is None else frame_difference(before, frame)
            yield Change(float(video.times[index]), amount, after - first)
            before = frame
        video.check_unchanged()

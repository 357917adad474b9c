"""How much the frames of a film change, from one pass over them at a small size."""

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
    """To the frame before it, see `vidattn.timeline.shot_cuts`; 0 for the first."""
    frames: int
    """How many frames there are to look at."""


def measure_changes(
    path: str | os.PathLike[str],
    part: Window,
    reader: str = "auto",
    opening: Opening = open_video,
) -> Iterator[Change]:
    """Every frame of a part in order; `vidattn.timeline.shot_cuts.find_cuts` makes cuts of them.

    Raises VideoError when the file cannot be read, or changes meanwhile.
    """
    with opening(path, reader=reader, short_side=CUT_SIDE) as video:
        before = None
        first, after = np.searchsorted(video.times, [part.start, part.stop]).tolist()
        for index, frame in video.stream(range(first, after)):
            amount = 0.0 if before is None else frame_difference(before, frame)
            yield Change(float(video.times[index]), amount, after - first)
            before = frame
        video.check_unchanged()

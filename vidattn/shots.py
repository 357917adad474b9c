"""How much the frames of a film change, from one pass over them at a small size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from vidattn.cuts import CUT_SIDE, difference
from vidattn.video import open_video


class Change(NamedTuple):
    """One frame that decodes."""

    time: float
    """PTS seconds."""
    difference: float
    """To the frame before it, see `vidattn.cuts`; 0 for the first."""
    frames: int
    """How many frames the file has."""


def changes(path: str | os.PathLike[str], reader: str = "auto") -> Iterator[Change]:
    """Every frame in order; `vidattn.cuts.found` makes cuts of them.

    Raises VideoError when the file cannot be read.
    """
    with open_video(path, reader=reader, short_side=CUT_SIDE) as video:
        before = None
        for index, frame in video.stream(range(video.frames)):
            amount = 0.0 if before is None else difference(before, frame)
            yield Change(float(video.times[index]), amount, video.frames)
            before = frame

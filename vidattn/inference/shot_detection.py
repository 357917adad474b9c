"""Shot cuts of a video: in one pass over all of its frames, or among those that windows show."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.data.frames import Frames, needed_frames
from vidattn.timeline.shot_cuts import CUT_SIDE, find_cuts, frame_difference
from vidattn.types import View, Window
from vidattn.video import Opening, open_video

MOST_SECONDS = 0.25
"""Between frames of windows, in the median, for shot cuts to be found among them."""


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


class ShotDetector:
    """Finds the shot cuts among the frames that windows show, as these are decoded for a model.

    times: PTS seconds of all frames of the video. Frames far apart show no cuts (`active`).
    """

    def __init__(self, times: NDArray[np.float64], views: Sequence[View]) -> None:
        self._frames = np.array(needed_frames(views), dtype=np.int64)
        middles = (self._frames[:-1] + self._frames[1:] + 1) // 2
        self._cuts = times[np.concatenate([self._frames[:1], middles])]  # if the frame follows one
        self._changes = np.full(len(self._frames), np.nan, dtype=np.float32)
        gaps = np.diff(times[self._frames])
        self.active = len(gaps) > 0 and float(np.median(gaps)) <= MOST_SECONDS

    def needed_frames(self, views: Sequence[View]) -> list[int]:
        """The frame numbers of views, and of the frames with which these are compared; rising."""
        frames = needed_frames(views)
        if not self.active:
            return frames
        before = self._frames[(self._places(frames) - 1).clip(0)].tolist()
        return sorted({*frames, *before})

    def measure(self, frames: Iterable[tuple[int, Frames]]) -> Iterator[tuple[int, Frames]]:
        """The same numbered frames; their changes are kept."""
        last, before = -1, None
        for index, frame in frames:
            if self.active:
                place, now = int(self._places(index)), _shrink(frame)
                if before is not None and last == self._frames[place - 1]:
                    self._changes[place] = frame_difference(before, now)
                last, before = index, now
            yield index, frame

    def changes(self, view: View) -> NDArray[np.float32]:
        """The change at each frame of a view, NaN if unknown: [T], or empty if not active."""
        return self._changes[self._places(view.indices if self.active else ())]

    def restore(self, view: View, changes: NDArray[np.float32]) -> None:
        """Take the changes of a view from an earlier run."""
        if self.active:
            self._changes[self._places(view.indices)] = changes

    def cuts(self) -> tuple[float, ...] | None:
        """Seconds of the cuts so far, rising; None if not active."""
        if not self.active:
            return None
        changes = np.nan_to_num(self._changes).tolist()
        return tuple(sorted(set(find_cuts(changes, self._cuts.tolist()))))

    def _places(self, frames: Sequence[int] | int) -> NDArray[np.int64]:
        return np.searchsorted(self._frames, np.asarray(frames, dtype=np.int64))


def _shrink(frame: Frames) -> Frames:
    """A frame averaged over squares, its short side CUT_SIDE or less than twice that."""
    side = min(frame.shape[:2]) // CUT_SIDE
    if side < 2:
        return frame
    height, width = frame.shape[0] // side, frame.shape[1] // side
    rows = frame[: height * side, : width * side].reshape(height, side, -1)
    squares = rows.sum(axis=1, dtype=np.uint16).reshape(height, width, side, 3)
    small: Frames = (squares.sum(axis=2, dtype=np.uint32) // side**2).astype(np.uint8)
    return small

"""From an open video and planned views to clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn.config import ClipConfig
from vidattn.data import transforms
from vidattn.errors import VideoError
from vidattn.types import Item, View, Window
from vidattn.video import Video

Frames = NDArray[np.uint8]


def readable_end(video: Video) -> float:
    """Seconds until which there are frames: the duration, but for a file cut off before it."""
    cuts = [u.window.start for u in video.unreadable if u.code == "E_TRUNCATED"]
    return min([video.duration, *cuts])


def clamp_window(video: Video, window: Window | None) -> Window:
    """The part of a video that an item means, as far as there are frames.

    Raises VideoError E_SHORT when there are none.
    """
    end = readable_end(video)
    start, stop = (0.0, end) if window is None else (window.start, min(window.stop, end))
    if not start < stop:
        raise VideoError(
            f"{video.path}: nothing from second {start:g} on, the file has {end:.2f} s",
            code="E_SHORT",
        )
    return Window(start, stop)


def item_window(video: Video, item: Item) -> Window:
    """The part of a video that an item of a data set means, as far as there are frames.

    Raises VideoError E_SHORT when there are none.
    """
    if item.frames is None:
        return clamp_window(video, item.window)
    first, stop = item.frames
    if first >= video.frames:
        raise VideoError(
            f"{video.path}: nothing from frame {first} on, the file has {video.frames} frames",
            code="E_SHORT",
        )
    start = float(video.times[first])
    last = float(video.times[stop]) if stop < video.frames else video.duration
    return clamp_window(video, Window(start, last))


def view_clips(video: Video, views: Sequence[View], config: ClipConfig) -> Iterator[Tensor | None]:
    """The clip of each view, float32 [3, T, crop, crop], in the order given.

    Views come in the order of their first frames, and every frame is decoded once and kept only as
    long as a later view may need it. Where single frames of a view do not decode, the nearest one
    of the same view stands in, and `video.unreadable` tells; a view that lost more than half of its
    frames is None.
    """
    reel = FrameBuffer(video.stream(needed_frames(views)))
    oldest = oldest_needed(views)
    for view, first in zip(views, oldest, strict=True):
        reel.advance(first, max(view.indices))
        chosen = reel.substitute(view)
        if chosen is None:
            yield None
        else:
            frames = np.stack([reel[index] for index in chosen])
            yield transforms.eval_clip(frames, config, view.crop)


def needed_frames(views: Iterable[View]) -> list[int]:
    """The frames that views show, each once, rising."""
    return sorted({index for view in views for index in view.indices})


def oldest_needed(views: Sequence[View]) -> list[int]:
    """For each view the first frame that it or a later one shows."""
    firsts = [min(view.indices) for view in views]
    oldest: list[int] = np.minimum.accumulate(firsts[::-1])[::-1].tolist()
    return oldest


class FrameBuffer:
    """Frames as they come from a video, each held only as long as it may be needed."""

    def __init__(self, frames: Iterator[tuple[int, Frames]]) -> None:
        self._frames = frames
        self._held: dict[int, Frames] = {}
        self._reached = -1

    def __getitem__(self, index: int) -> Frames:
        return self._held[index]

    def advance(self, first: int, last: int) -> None:
        """Let go of the frames before number `first` and take in those up to `last`."""
        for index in [index for index in self._held if index < first]:
            del self._held[index]
        while self._reached < last:
            found = next(self._frames, None)
            if found is None:
                break
            self._reached, frame = found
            self._held[self._reached] = frame

    def substitute(self, view: View) -> tuple[int, ...] | None:
        """The frames to show as a view: its own, and for lost ones the nearest of the same view.

        None when more than half of them are lost.
        """
        there = np.array(sorted(set(view.indices) & self._held.keys()))
        lost = sum(index not in self._held for index in view.indices)
        if 2 * lost > len(view.indices):
            return None
        if not lost:
            return view.indices
        return tuple(int(there[np.abs(there - index).argmin()]) for index in view.indices)

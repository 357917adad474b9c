"""Clips from an open video and planned views."""

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
from vidattn.video.protocol import TAILS

Frames = NDArray[np.uint8]


def readable_end(video: Video) -> float:
    """End of the last frame in seconds: the duration, or less where the end cannot be read."""
    cuts = [u.window.start for u in video.unreadable if u.code in TAILS]
    return min([video.duration, *cuts])


def file_start(video: Video) -> float:
    """Seconds from the start of the file, from which players and annotations count, to time 0."""
    return video.details.start_offset or 0.0


def clamp_window(video: Video, window: Window | None) -> Window:
    """The part of a window, or of the whole video for None, that has frames.

    Raises VideoError E_SHORT when there are none.
    """
    end = readable_end(video)
    start, stop = (0.0, end) if window is None else (max(window.start, 0.0), min(window.stop, end))
    if not start < stop:
        raise VideoError(
            f"{video.path}: nothing from second {start:g} on, the file has {end:.2f} s",
            code="E_SHORT",
        )
    return Window(start, stop)


def item_window(video: Video, item: Item) -> Window:
    """The window of an item that has frames. Raises VideoError E_SHORT when there are none."""
    if item.frames is None:
        return clamp_window(video, item.window and item.window.shift(-file_start(video)))
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

    Views come in the order of their first frames; every frame is decoded once and held only as long
    as a later view may need it. The nearest frame of the same view replaces one that does not
    decode, which `video.unreadable` lists; a view without more than half of its frames is None.
    """
    buffer = FrameBuffer(video.stream(needed_frames(views)))
    for view, first in zip(views, oldest_needed(views), strict=True):
        buffer.advance(first, max(view.indices))
        indices = buffer.substitute(view)
        if indices is None:
            yield None
        else:
            frames = np.stack([buffer[index] for index in indices])
            yield transforms.eval_clip(frames, config, view.crop)


def needed_frames(views: Iterable[View]) -> list[int]:
    """The frame numbers of all views, each once, rising."""
    return sorted({index for view in views for index in view.indices})


def oldest_needed(views: Sequence[View]) -> list[int]:
    """For each view the first frame of it or a later one."""
    firsts = [min(view.indices) for view in views]
    oldest: list[int] = np.minimum.accumulate(firsts[::-1])[::-1].tolist()
    return oldest


class FrameBuffer:
    """Frames of a stream, each held only as long as it may be needed."""

    def __init__(self, frames: Iterator[tuple[int, Frames]]) -> None:
        self._frames = frames
        self._buffer: dict[int, Frames] = {}
        self._reached = -1

    def __getitem__(self, index: int) -> Frames:
        return self._buffer[index]

    def advance(self, first: int, last: int) -> None:
        """Drop the frames before number `first` and read those up to `last`."""
        for index in [index for index in self._buffer if index < first]:
            del self._buffer[index]
        while self._reached < last:
            found = next(self._frames, None)
            if found is None:
                break
            self._reached, frame = found
            self._buffer[self._reached] = frame

    def substitute(self, view: View) -> tuple[int, ...] | None:
        """The frame numbers of a view, missing ones replaced by the nearest of the same view.

        None when more than half of them are missing.
        """
        held = np.array(sorted(set(view.indices) & self._buffer.keys()))
        missing = sum(index not in self._buffer for index in view.indices)
        if 2 * missing > len(view.indices):
            return None
        if not missing:
            return view.indices
        return tuple(int(held[np.abs(held - index).argmin()]) for index in view.indices)

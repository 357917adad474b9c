"""From an open video and planned views to clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn import transforms
from vidattn.config import ClipConfig
from vidattn.errors import VideoError
from vidattn.types import Item, View, Window
from vidattn.video import Video

Frames = NDArray[np.uint8]


def readable_end(video: Video) -> float:
    """Seconds until which there are frames: the duration, but for a file cut off before it."""
    cuts = [u.window.start for u in video.unreadable if u.code == "E_TRUNCATED"]
    return min([video.duration, *cuts])


def part_of(video: Video, window: Window | None) -> Window:
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


def part_named(video: Video, item: Item) -> Window:
    """The part of a video that an item of a data set means, as far as there are frames.

    Raises VideoError E_SHORT when there are none.
    """
    if item.frames is None:
        return part_of(video, item.window)
    first, stop = item.frames
    if first >= video.frames:
        raise VideoError(
            f"{video.path}: nothing from frame {first} on, the file has {video.frames} frames",
            code="E_SHORT",
        )
    start = float(video.times[first])
    last = float(video.times[stop]) if stop < video.frames else video.duration
    return part_of(video, Window(start, last))


def view_clips(video: Video, views: Sequence[View], config: ClipConfig) -> Iterator[Tensor | None]:
    """The clip of each view, float32 [3, T, crop, crop], in the order given.

    Views come in the order of their first frames, and every frame is decoded once and kept only as
    long as a later view may need it. Where single frames of a view do not decode, the nearest one
    of the same view stands in, and `video.unreadable` tells; a view that lost more than half of its
    frames is None.
    """
    frames = video.stream(sorted({index for view in views for index in view.indices}))
    # oldest[i]: the first frame that view i or a later one still needs.
    firsts = [min(view.indices) for view in views]
    oldest = np.minimum.accumulate(firsts[::-1])[::-1].tolist()
    held: dict[int, Frames] = {}
    reached = -1
    for i, view in enumerate(views):
        while reached < max(view.indices):
            found = next(frames, None)
            if found is None:
                break
            reached = found[0]
            held[reached] = found[1]
        yield _clip(view, held, config)
        if i + 1 < len(views):
            for index in [index for index in held if index < oldest[i + 1]]:
                del held[index]


def _clip(view: View, held: dict[int, Frames], config: ClipConfig) -> Tensor | None:
    there = np.array(sorted(set(view.indices) & held.keys()))
    lost = sum(index not in held for index in view.indices)
    if 2 * lost > len(view.indices):
        return None
    chosen = (there[np.abs(there - index).argmin()] for index in view.indices)
    return transforms.eval_clip(np.stack([held[i] for i in chosen]), config, view.crop)

"""The length of the windows that a model of one's own learns, taken from its training clips.

`segment` shows a model windows of one length. A recipe whose `clip.step_seconds` is 0 learns
windows of that very length, anywhere in each clip, so that training, `eval`, `classify` and
`segment` show it the same.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vidattn.config import Recipe, ViewConfig
from vidattn.config.recipes.small import SMALL
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.plan import DENSE_FRAMES
from vidattn.data.video_cache import VideoCache
from vidattn.errors import VideoError

LONGEST_STEP = 32 / 30
"""Seconds between frames that no window exceeds: the widest spacing of the paper's recipes."""
PROBED = 60
"""Files whose durations are read, evenly spread over the dataset."""


def fit_window(recipe: Recipe, train: LabeledDataset) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a frame step and views for the clips of a dataset, and a note on them.

    Dense clips: windows as long as the lower quartile of the clips, so that most hold one; `eval`
    averages as many as `classify`. Frames spread over whole clips: the median. A recipe that states
    its step stays as it is.
    """
    clip = recipe.clip
    if clip.step_seconds or recipe.temporal_head is not None:
        return recipe, ()
    seconds = read_durations(train)
    if not seconds:
        return replace(recipe, clip=replace(clip, step_seconds=LONGEST_STEP)), ()
    whole = clip.train_sampling == "bins"
    span = float(np.quantile(seconds, 0.5 if whole else 0.25))
    span = round_down(span if whole else min(span, clip.frames * LONGEST_STEP))
    clip = replace(clip, step_seconds=span / clip.frames, sampling="uniform" if whole else "dense")
    views = recipe.views
    if views == SMALL.views:  # nobody asked for others
        views = ViewConfig(1, 1 if whole else math.ceil(DENSE_FRAMES / clip.frames))
    shown = f"{clip.frames} frames of each whole clip" if whole else f"windows of {span:g} s"
    last = " to ".join(dict.fromkeys(f"{s:.3g}" for s in (min(seconds), max(seconds))))
    note = (
        f"learns {shown}, as clips last {last} s; `segment` will "
        f"show it windows of {span:g} s (change it with --window)"
    )
    return replace(recipe, clip=clip, views=views), (note,)


def read_durations(dataset: LabeledDataset) -> list[float]:
    """Seconds of samples spread over a dataset; files that cannot be read are left out."""
    items, videos, seconds = dataset.items, VideoCache(), []
    for place in np.unique(np.linspace(0, len(items) - 1, min(PROBED, len(items))).round()):
        item = items[int(place)]
        if item.window is not None:
            seconds.append(item.window.duration)
            continue
        try:
            with videos.open(item.path, 32) as video:
                seconds.append(video.duration)
        except VideoError:
            continue
    return seconds


def round_down(seconds: float) -> float:
    """Two digits, such as 2.4 for 2.47: still no longer than the clips."""
    unit = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return float(f"{math.floor(seconds / unit + 1e-9) * unit:.12g}")

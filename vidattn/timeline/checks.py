"""What the values of a timeline must be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vidattn.timeline.quantize import Scores

if TYPE_CHECKING:
    from vidattn.timeline.timeline import Timeline


def check_values(timeline: Timeline) -> None:
    """Raise ValueError for values of a timeline other than scores that no timeline can have."""
    duration, windows, cuts = timeline.duration, timeline.windows, timeline.cuts or ()
    if not timeline.labels:
        raise ValueError("a timeline needs labels")
    if duration is None or not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"a timeline needs a duration > 0, got {duration}")
    offset = timeline.input.start_offset
    if offset is not None and not 0 <= offset < 1e9:
        raise ValueError(f"a start offset is at least 0 s, got {offset:g}")
    if list(windows) != sorted(windows):
        raise ValueError("windows must be sorted")
    if windows and not (windows[0].start >= 0 and windows[-1].start < duration):
        raise ValueError(f"windows must start in [0, {duration:g}), the duration of the video")
    if list(cuts) != sorted(set(cuts)) or not all(0 <= t < math.inf for t in cuts):
        raise ValueError("shot cuts must be times in seconds, rising")
    thresholds = (timeline.model.thresholds or {}).values()
    if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in thresholds):
        raise ValueError("thresholds of labels must lie in [0, 1]")
    if timeline.task not in ("segment", "classify"):
        raise ValueError(f"task {timeline.task!r}: expected segment or classify")
    if timeline.task == "classify" and len(windows) > 1:
        raise ValueError(f"a classification has one window, got {len(windows)}")


def check_scores(
    scores: Scores, shape: tuple[int, int], *, apart: bool, several: bool = False
) -> None:
    """Raise ValueError for scores that are no probabilities.

    apart: whether the labels were pooled each for itself, so that sums may exceed 1; several:
    whether each has a probability of its own, so that sums are free.
    """
    windows, labels = shape
    if scores.shape != shape:
        raise ValueError(f"scores must be [{windows} windows, {labels} labels], got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    tolerance = 1e-3 + 1e-5 * labels  # scores are saved with 5 digits each
    sums = scores.sum(axis=1, dtype=np.float64)
    off = np.maximum(1 - sums, scores.max(axis=1, initial=0) - 1) if apart else np.abs(sums - 1)
    if several:
        off = scores.max(axis=1, initial=0) - 1
    if (scores < 0).any() or (off > tolerance).any():
        raise ValueError("scores must be probabilities: at least 0, and every row sums to 1")

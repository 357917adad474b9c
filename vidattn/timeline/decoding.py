"""From the scores of cells to one label for each: smoothing, Viterbi, thresholds.

Everything here works on rows of scores that follow one another without a gap, in the order of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import UsageError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Smooth = Literal["none", "median", "mean", "viterbi"]

LEAST = 1e-5
"""Probabilities below this count as this in logarithms: one window that is sure that something is
not there cannot outvote all others."""
NOTHING = -1
"""The label number of background."""
DIGITS = 5
"""Of the scores that decide, as many as are saved: what is shown as 0.5 reaches 0.5, and what
differs by less is equal, on every machine."""


@dataclass(frozen=True)
class Decoding:
    """How scores become segments; a saved timeline can be decoded again with other values."""

    smooth: Smooth = "none"
    kernel: int = 3
    """Cells that median and mean look at, odd; a cell is as long as the stride of the windows."""
    threshold: float = 0.0
    """Time in which no label reaches this probability is background; after Viterbi, a stretch of
    one label whose mean does not."""
    min_duration: float = 0.0
    """Seconds. A shorter segment goes to the neighbour that fits it better, if it has one."""
    switch_cost: float = 2.0
    """Nats that Viterbi pays for every change of label."""
    leave: float | None = None
    """A label that has reached the threshold lasts until its score falls below this; by default the
    threshold itself."""
    merge_gap: float = 0.0
    """Seconds. Background no longer than this between two segments of one label joins them."""
    snap: bool = False
    """Whether boundaries move to a shot cut nearby, where cuts are known."""

    def __post_init__(self) -> None:
        _check_kinds(self)
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"a threshold lies in [0, 1], got {self.threshold:g}")
        for name in ("min_duration", "merge_gap"):
            if not 0 <= (seconds := getattr(self, name)) < math.inf:
                words = name.replace("_", " ").replace("min", "least")
                raise UsageError(f"a {words} is 0 s or more, got {seconds:g}")
        if not 0 <= self.switch_cost < math.inf:
            raise UsageError(f"a switch cost is 0 nats or more, got {self.switch_cost:g}")
        if self.leave is not None and not 0 <= self.leave <= self.threshold:
            raise UsageError(
                f"leaving at {self.leave:g} and entering at {self.threshold:g}: the score at which "
                "a label ends lies between 0 and the threshold"
            )
        if self.leave is not None and self.smooth == "viterbi":
            raise UsageError("Viterbi decides itself when a label ends: leave out --leave")


def _check_kinds(decoding: Decoding) -> None:
    if decoding.smooth not in ("none", "median", "mean", "viterbi"):
        raise UsageError(f"smooth {decoding.smooth!r}: expected none, median, mean or viterbi")
    kernel = decoding.kernel
    if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
        raise UsageError(f"a smoothing kernel is odd and at least 1, got {kernel}")
    if not isinstance(decoding.snap, bool):
        raise UsageError(f"snap is true or false, got {decoding.snap!r}")


def decode_labels(
    scores: NDArray[np.floating], decoding: Decoding, weights: Floats | None = None
) -> tuple[Labels, Floats]:
    """The label number of every row, -1 for background, and the scores that decided.

    scores: probabilities [N, K]. weights: how much each row counts for Viterbi, 1 by default.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if decoding.smooth == "viterbi":
        path = viterbi_path(rows, decoding.switch_cost, weights)
        rows = rows.round(DIGITS)
        return _sure(path, rows, decoding.threshold, weights), rows
    rows = smooth(rows, decoding.kernel, decoding.smooth).round(DIGITS)
    if decoding.leave is None:
        return np.where(rows.max(1) >= decoding.threshold, rows.argmax(1), NOTHING), rows
    return apply_hysteresis(rows, decoding.threshold, decoding.leave), rows


def smooth(scores: NDArray[np.floating], kernel: int, how: Smooth = "median") -> Floats:
    """Median or mean of `kernel` neighbouring rows, each label for itself: [N, K], rows sum to 1.

    The first and last rows are repeated at the ends. kernel: odd.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if how == "none" or kernel == 1 or len(rows) < 2:
        return rows
    padded = np.pad(rows, ((kernel // 2, kernel // 2), (0, 0)), mode="edge")
    merged = np.empty_like(rows)
    combine = np.median if how == "median" else np.mean
    for column in range(rows.shape[1]):  # one label at a time: memory stays small on a long film
        views = np.lib.stride_tricks.sliding_window_view(padded[:, column], kernel)
        merged[:, column] = combine(views, axis=-1)
    merged = np.maximum(merged, 1e-12)
    return np.asarray(merged / merged.sum(axis=1, keepdims=True))


def viterbi_path(
    scores: NDArray[np.floating],
    switch_cost: float,
    weights: Floats | None = None,
) -> Labels:
    """The labels [N] with the greatest sum of log-probabilities, less the cost of every change.

    This is the most likely path of a hidden Markov model that stays in its state, and goes to any
    other with a probability exp(-switch_cost) times that of staying. switch_cost: nats. weights:
    [N], how often each row counts. Of equal paths the one that changes earlier wins.
    """
    rows = np.log(np.maximum(scores, LEAST), dtype=np.float64)
    if weights is not None:
        rows = rows * weights[:, None]
    best, stays = np.zeros(rows.shape[1]), np.ones(rows.shape, dtype=bool)
    origin = np.zeros(len(rows), dtype=np.int64)
    for i, row in enumerate(rows):
        if i:
            origin[i] = best.argmax()
            change = best[origin[i]] - switch_cost
            stays[i] = best >= change
            best = np.where(stays[i], best, change)
        best = best + row
    path = np.empty(len(rows), dtype=np.int64)
    state = int(best.argmax())
    for i in range(len(rows) - 1, -1, -1):
        path[i] = state
        state = state if stays[i, state] else int(origin[i])
    return path


def _sure(path: Labels, rows: Floats, threshold: float, weights: Floats | None) -> Labels:
    """The path with every stretch of one label as background that has too low a mean score."""
    first = np.flatnonzero(np.concatenate([[True], path[1:] != path[:-1]]))
    each = np.ones(len(path)) if weights is None else weights
    sums = np.add.reduceat(rows[np.arange(len(path)), path] * each, first)
    means = sums / np.add.reduceat(each, first)
    lasts = np.diff(np.append(first, len(path)))
    return np.where((means >= threshold - 1e-12).repeat(lasts), path, NOTHING)


def apply_hysteresis(scores: NDArray[np.floating], enter: float, leave: float) -> Labels:
    """Labels [N] that begin where a score reaches `enter` and last until it falls below `leave`.

    A label ends earlier where another one reaches `enter` with a greater score. What is left is
    background, -1. In the order of time: what comes later changes nothing before it.
    """
    labels = np.full(len(scores), NOTHING, dtype=np.int64)
    now = NOTHING
    best, peak = np.argmax(scores, axis=1), np.max(scores, axis=1)
    for i, row in enumerate(scores):
        beaten = now == NOTHING or (peak[i] >= enter and peak[i] > row[now])
        if beaten or row[now] < leave:
            now = int(best[i]) if peak[i] >= enter else NOTHING
        labels[i] = now
    return labels

"""From the scores of cells to one label each: smoothing, Viterbi, thresholds.

All functions take rows of scores of adjacent cells, in the order of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.config.serialization import check_fields
from vidattn.errors import UsageError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Smooth = Literal["auto", "none", "median", "mean", "viterbi"]

LEAST = 1e-5
"""The lowest probability in logarithms: one window cannot outvote all others."""
VITERBI_COST = 2.0
NOTHING = -1
"""The label id of background."""
DIGITS = 5
"""Decimals of the scores that decide, as many as are saved: a score shown as 0.5 reaches 0.5, and
smaller differences do not count, on every machine."""


@dataclass(frozen=True)
class Decoding:
    """Post-processing: how scores become segments. Raises UsageError for wrong values."""

    smooth: Smooth = "auto"
    """Temporal smoothing. auto finds the most likely labels of all windows at once and learns the
    cost of a switch from the scores, see `vidattn.timeline.switching`; with `leave` it is none."""
    kernel: int = 3
    """Number of cells of the median or mean, odd; a cell is as long as the stride."""
    threshold: float = 0.0
    """Time in which no label reaches this probability is background; after Viterbi, a run of one
    label whose mean does not."""
    min_duration: float = 0.0
    """Seconds. Shorter segments go to the neighbor that fits better, if they have one."""
    switch_cost: float | None = None
    """Cost in nats of every change of label, the higher, the fewer segments; None: auto learns it,
    and of Viterbi it is 2."""
    leave: float | None = None
    """Hysteresis: a label that has reached the threshold lasts until its score falls below this; by
    default the threshold itself."""
    merge_gap: float = 0.0
    """Seconds. Segments of one label separated by at most this much background are merged."""
    snap: bool = False
    """Whether boundaries move to a nearby shot cut, if cuts are known; auto uses these anyway."""

    def __post_init__(self) -> None:
        check_fields(self)
        kernel, leave = self.kernel, self.leave
        if kernel < 1 or kernel % 2 == 0:
            raise UsageError(f"a smoothing kernel must be odd and at least 1, got {kernel}")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"a threshold must be in [0, 1], got {self.threshold:g}")
        for name, value, unit in (
            ("minimum duration", self.min_duration, "s"),
            ("merge gap", self.merge_gap, "s"),
            ("switch cost", self.switch_cost or 0.0, "nats"),
        ):
            if not 0 <= value < math.inf:
                raise UsageError(f"a {name} must be 0 {unit} or more, got {value:g}")
        if leave is not None and not 0 <= leave <= self.threshold:
            raise UsageError(
                f"leave {leave:g} with threshold {self.threshold:g}: the score at which a label "
                "ends must be between 0 and the threshold"
            )
        if leave is not None and self.smooth == "viterbi":
            raise UsageError("--leave has no effect with Viterbi, which decides when a label ends")

    def require_effect(self) -> None:
        """Raise UsageError for a kernel or a switch cost that the smoothing does not have."""
        path = self.smooth == "viterbi" or self.uses_all_windows
        if self.kernel != Decoding.kernel and self.smooth not in ("median", "mean"):
            name, hint = "kernel", "add --smooth median or mean"
        elif self.switch_cost is not None and not path:
            name, hint = "switch-cost", "it is of --smooth auto without --leave, and of viterbi"
        else:
            return
        raise UsageError(f"--{name} has no effect with --smooth {self.smooth}", hint=hint)

    @property
    def uses_all_windows(self) -> bool:
        """Whether labels are the most likely ones of all windows at once."""
        return self.smooth == "auto" and self.leave is None


def decode_labels(
    scores: NDArray[np.floating],
    decoding: Decoding,
    weights: Floats | None = None,
    path: Labels | None = None,
) -> tuple[Labels, Floats]:
    """The label id of every row, -1 for background, and the smoothed scores behind them.

    scores: probabilities [N, K]. weights: of the rows, 1 by default. path: the labels before any
    threshold, where all windows decided them.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if decoding.smooth == "viterbi":
        path = viterbi_path(rows, decoding.switch_cost, weights)
    if path is not None:
        rows = rows.round(DIGITS)
        return _drop_unsure(path, rows, decoding.threshold, weights), rows
    rows = smooth(rows, decoding.kernel, decoding.smooth).round(DIGITS)
    if decoding.leave is None:
        return np.where(rows.max(1) >= decoding.threshold, rows.argmax(1), NOTHING), rows
    return apply_hysteresis(rows, decoding.threshold, decoding.leave), rows


def smooth(scores: NDArray[np.floating], kernel: int, how: Smooth = "median") -> Floats:
    """Median or mean of `kernel` neighboring rows, per label: [N, K], rows sum to 1.

    The first and last rows are repeated at the ends. kernel: odd.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if how in ("auto", "none") or kernel == 1 or len(rows) < 2:
        return rows
    padded = np.pad(rows, ((kernel // 2, kernel // 2), (0, 0)), mode="edge")
    merged = np.empty_like(rows)
    combine = np.median if how == "median" else np.mean
    for column in range(rows.shape[1]):  # one label at a time, to save memory
        views = np.lib.stride_tricks.sliding_window_view(padded[:, column], kernel)
        merged[:, column] = combine(views, axis=-1)
    merged = np.maximum(merged, 1e-12)
    return np.asarray(merged / merged.sum(axis=1, keepdims=True))


def viterbi_path(
    scores: NDArray[np.floating], switch_cost: float | None, weights: Floats | None = None
) -> Labels:
    """The most likely path of scores, see `most_likely_path`. weights: [N], of the rows."""
    switch_cost = VITERBI_COST if switch_cost is None else switch_cost
    rows = np.log(np.maximum(scores, LEAST), dtype=np.float64)
    return most_likely_path(rows if weights is None else rows * weights[:, None], switch_cost)


def most_likely_path(
    evidence: Floats, switch_cost: float | Floats, ready: NDArray[np.integer] | None = None
) -> Labels:
    """The labels [N] with the greatest sum of log-evidence [N, K] minus the costs of changes.

    This is the most likely path of a hidden Markov model in which changing to another state is
    exp(-switch_cost) times as likely as staying. switch_cost: nats, also one for the change before
    each row. ready: for each row, the first at which a label that begins there may end, itself by
    default; the first label may end at any. Of equal paths the one that changes earlier wins.
    """
    rows, labels = evidence.shape
    costs = np.broadcast_to(np.asarray(switch_cost, dtype=np.float64), rows).tolist()
    sums = evidence if ready is None else np.cumsum(evidence, axis=0)
    ready = np.arange(rows) if ready is None else ready
    order = np.argsort(ready[1:], kind="stable") + 1
    firsts = np.searchsorted(ready[order], np.arange(rows + 1)).tolist()
    begins = order.tolist()
    best, enters = np.zeros(labels), np.zeros((len(order), labels), dtype=bool)
    top, origin = np.zeros(rows), np.zeros(rows, dtype=np.int64)
    for i, row in enumerate(evidence):
        best += row
        for number in range(firsts[i], firsts[i + 1]):
            begin = begins[number]
            own = row if begin == i else sums[i] - sums[begin - 1]
            change = own + (top[begin - 1] - costs[begin])
            np.greater(change, best, out=enters[number])
            np.maximum(best, change, out=best)
        origin[i] = best.argmax()
        top[i] = best[origin[i]]
    path = np.empty(rows, dtype=np.int64)
    i, state = rows - 1, int(best.argmax())
    while i >= 0:
        numbers = range(firsts[i + 1] - 1, firsts[i] - 1, -1)
        entered = [begins[number] for number in numbers if enters[number, state]]
        begin = entered[0] if entered else i
        path[begin : i + 1] = state
        i, state = begin - 1, int(origin[begin - 1]) if entered else state
    return path


def _drop_unsure(path: Labels, rows: Floats, threshold: float, weights: Floats | None) -> Labels:
    """The path with background in place of runs whose mean is below the threshold."""
    first = np.flatnonzero(np.concatenate([[True], path[1:] != path[:-1]]))
    each = np.ones(len(path)) if weights is None else weights
    sums = np.add.reduceat(rows[np.arange(len(path)), path] * each, first)
    means = sums / np.add.reduceat(each, first)
    lasts = np.diff(np.append(first, len(path)))
    return np.where((means >= threshold - 1e-12).repeat(lasts), path, NOTHING)


def apply_hysteresis(scores: NDArray[np.floating], enter: float, leave: float) -> Labels:
    """Labels [N] that start where a score reaches `enter` and last until it falls below `leave`.

    A label ends earlier where another one reaches `enter` with a greater score. The rest is
    background, -1. Labels depend on earlier rows only.
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

"""Metrics of each label of samples that may have several, with intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
"""[N, K]: whether each sample has each label."""

DRAWS = 500
"""Samples of the groups behind an interval."""
INTERVAL = (2.5, 97.5)
"""Percentiles: 95 % lie between."""


def ranked_precision(scores: NDArray[np.floating], truth: Marks) -> Floats:
    """Average precision of each label, [K]: scores and truth [N, K].

    The mean, over the samples that have the label, of the precision among all samples that score at
    least as high. NaN where no sample has it. Source: the step-wise area under the curve of
    precision and recall, without interpolation.
    """
    found = np.full(truth.shape[1], np.nan)
    for k, right in enumerate(truth.T):
        if right.any():
            order = np.argsort(-scores[:, k], kind="stable")
            sorted_scores, hits = scores[order, k], right[order].cumsum()
            last = np.searchsorted(-sorted_scores, -sorted_scores, side="right") - 1  # of equals
            found[k] = (hits[last] / (last + 1))[right[order]].mean()
    return found


def f1_of_labels(predicted: Marks, truth: Marks) -> Floats:
    """F1 of each label, [K]: 2 tp / (2 tp + fp + fn); NaN where no sample has it."""
    both = (predicted & truth).sum(0)
    total = predicted.sum(0) + truth.sum(0)
    return np.where(truth.any(0), 2 * both / np.maximum(total, 1), np.nan)


def micro_f1(predicted: Marks, truth: Marks) -> float:
    """F1 of all labels together; NaN without any."""
    total = predicted.sum() + truth.sum()
    return float(2 * (predicted & truth).sum() / total) if total else float("nan")


def best_thresholds(scores: NDArray[np.floating], truth: Marks) -> Floats:
    """The score of each label, [K] in [0.01, 0.99], from which its F1 is best; 0.5 where no sample
    has the label, or all have it. Between two scores it is their middle."""
    found = np.full(truth.shape[1], 0.5)
    for k, right in enumerate(truth.T):
        if right.any() and not right.all():
            order = np.argsort(-scores[:, k], kind="stable")
            values, hits = scores[order, k], right[order].cumsum()
            f1 = 2 * hits / (np.arange(1, len(right) + 1) + right.sum())
            f1[:-1][values[:-1] == values[1:]] = 0  # no threshold parts equal scores
            best = int(f1.argmax())
            below = values[best + 1] if best + 1 < len(values) else 0.0
            found[k] = (values[best] + below) / 2
    return found.clip(0.01, 0.99)


@dataclass(frozen=True, eq=False)
class LabelMetrics:
    """How well samples are told apart; shares from 0 to 1."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    """[K], the samples that have each label."""
    values: dict[str, float]
    """accuracy (all labels of a sample right), mean_class (mean recall), macro_f1, micro_f1, map
    (mean average precision)."""
    intervals: dict[str, tuple[float, float]]
    """Of the same names, with 95 %."""
    f1: Floats
    """[K]"""
    f1_interval: Floats
    """[K, 2]"""
    ap: Floats
    ap_interval: Floats

    def to_dict(self) -> dict[str, Any]:
        """JSON values; null where a label has no samples."""
        return {
            **{name: _plain(value) for name, value in self.values.items()},
            "intervals": {name: list(map(_plain, ends)) for name, ends in self.intervals.items()},
            "per_class": [
                {
                    "label": label,
                    "samples": int(self.counts[k]),
                    "f1": _plain(self.f1[k]),
                    "f1_interval": list(map(_plain, self.f1_interval[k])),
                    "ap": _plain(self.ap[k]),
                    "ap_interval": list(map(_plain, self.ap_interval[k])),
                }
                for k, label in enumerate(self.labels)
            ],
        }


def measure_labels(
    labels: Sequence[str],
    scores: NDArray[np.floating],
    predicted: Marks,
    truth: Marks,
    groups: Sequence[str],
) -> LabelMetrics:
    """Metrics of scores [N, K] and predictions, with intervals from a bootstrap over the groups of
    the samples: those of a group look alike, so a group is drawn whole."""

    def all_of(rows: NDArray[np.int64]) -> Floats:
        own = scores[rows], predicted[rows], truth[rows]
        return np.concatenate([_totals(*own), f1_of_labels(*own[1:]), ranked_precision(*own[::2])])

    point = all_of(np.arange(len(truth)))
    low, high = bootstrap(all_of, groups)
    ends, count = np.stack([low, high], axis=1), len(NAMES)
    middle = count + len(labels)
    return LabelMetrics(
        tuple(labels),
        truth.sum(0),
        dict(zip(NAMES, point[:count].tolist(), strict=True)),
        {name: (ends[i, 0], ends[i, 1]) for i, name in enumerate(NAMES)},
        point[count:middle],
        ends[count:middle],
        point[middle:],
        ends[middle:],
    )


NAMES = ("accuracy", "mean_class", "macro_f1", "micro_f1", "map")


def _totals(scores: NDArray[np.floating], predicted: Marks, truth: Marks) -> Floats:
    counts = truth.sum(0)
    recall = (predicted & truth).sum(0)[counts > 0] / counts[counts > 0]
    return np.array(
        [
            (predicted == truth).all(1).mean(),
            _mean(recall),
            _mean(f1_of_labels(predicted, truth)),
            micro_f1(predicted, truth),
            _mean(ranked_precision(scores, truth)),
        ]
    )


def bootstrap(
    measure: Callable[[NDArray[np.int64]], Floats], groups: Sequence[str], draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """The ends of 95 % intervals of what `measure` makes of rows: of all rows of as many groups,
    drawn with replacement. NaN are left out. The same groups give the same draws."""
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(number == n) for n in range(len(names))]
    rng = np.random.default_rng(0)
    rows = [
        measure(np.concatenate([members[n] for n in rng.integers(len(names), size=len(names))]))
        for _ in range(draws)
    ]
    table = np.array(rows)
    empty = np.isnan(table).all(0)
    table[:, empty] = 0.0
    low, high = np.nanpercentile(table, INTERVAL, axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)

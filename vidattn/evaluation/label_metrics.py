"""Metrics of each label where several may hold: over samples, or over the time of videos; with
intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.evaluation.segmentation import (
    LEAST,
    NOTHING,
    LabelNumbers,
    VideoComparison,
    compare_video,
)
from vidattn.timeline import Timeline

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
    least as high. Equal scores for all, such as those of a label that the model does not have, give
    the share of samples with the label, as guessing does. NaN where no sample has it. Source: the
    step-wise area under the curve of precision and recall, without interpolation, as by
    scikit-learn's average_precision_score.
    """
    return _precision(_rank(scores), truth, np.ones(len(truth)))


def _rank(scores: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of each label by falling score, [N, K]; of each place the last with its score."""
    order = np.argsort(-scores, axis=0, kind="stable")
    falling = -np.take_along_axis(scores, order, axis=0)
    columns = [np.searchsorted(own, own, side="right") - 1 for own in falling.T]
    return order, np.array(columns, np.int64).T.reshape(order.shape)


def _precision(
    ranking: tuple[NDArray[np.int64], NDArray[np.int64]], truth: Marks, weights: Floats
) -> Floats:
    """As `ranked_precision`, each sample with a weight, [N]."""
    found = np.full(truth.shape[1], np.nan)
    for k, (order, last) in enumerate(zip(*(part.T for part in ranking), strict=True)):
        every, right = weights[order], (weights * truth[:, k])[order]
        if total := right.sum():
            precision = right.cumsum()[last] / np.maximum(every.cumsum()[last], 1e-300)
            found[k] = (right @ precision) / total
    return found


def f1_of_labels(predicted: Marks, truth: Marks, weights: Floats | None = None) -> Floats:
    """F1 of each label, [K]: 2 tp / (2 tp + fp + fn), each sample with a weight, [N]; NaN where no
    sample has it."""
    weights = np.ones(len(truth)) if weights is None else weights
    true = weights @ truth
    total = np.maximum(weights @ predicted + true, 1e-300)
    return np.where(true > 0, 2 * (weights @ (predicted & truth)) / total, np.nan)


def micro_f1(predicted: Marks, truth: Marks, weights: Floats | None = None) -> float:
    """F1 of all labels together; NaN without any."""
    weights = np.ones(len(truth)) if weights is None else weights
    both, total = weights @ (predicted & truth), weights @ predicted + weights @ truth
    return float(2 * both.sum() / total.sum()) if total.sum() else float("nan")


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
    counts: NDArray[np.int64] | Floats
    """[K], the samples that have each label, or the seconds."""
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
    unit: Literal["samples", "seconds"] = "samples"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; null where a label has no samples."""
        return {
            **{name: _plain(value) for name, value in self.values.items()},
            "intervals": {name: list(map(_plain, ends)) for name, ends in self.intervals.items()},
            "per_class": [
                {
                    "label": label,
                    self.unit: round(self.counts[k].item(), 3),
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
    weights: Floats | None = None,
) -> LabelMetrics:
    """Metrics of scores [N, K] and predictions, with intervals from a bootstrap over the groups of
    the samples: those of a group look alike, so a group is drawn whole. Where all is right, or
    nothing, the interval is the exact one of as many groups (Clopper and Pearson, 1934).

    weights: how long each sample lasts, [N], in seconds; without them all count alike.
    """
    own = np.ones(len(truth)) if weights is None else weights
    ranking = _rank(scores)

    def all_of(times: Floats) -> Floats:
        drawn = own * times
        f1, ap = f1_of_labels(predicted, truth, drawn), _precision(ranking, truth, drawn)
        return np.concatenate([_totals(predicted, truth, drawn, f1, ap), f1, ap])

    point = all_of(np.ones(len(truth)))
    numbers, count = np.unique(np.asarray(groups), return_inverse=True)[1], len(NAMES)
    of_label = [len(np.unique(numbers[has])) for has in truth.T]
    counts = np.array([len(np.unique(numbers))] * count + of_label + of_label)
    ends = _widen(np.stack(bootstrap(all_of, groups), axis=1), counts)
    middle = count + len(labels)
    return LabelMetrics(
        tuple(labels),
        truth.sum(0) if weights is None else weights @ truth,
        dict(zip(NAMES, point[:count].tolist(), strict=True)),
        {name: (ends[i, 0], ends[i, 1]) for i, name in enumerate(NAMES)},
        point[count:middle],
        ends[count:middle],
        point[middle:],
        ends[middle:],
        "samples" if weights is None else "seconds",
    )


def _widen(ends: Floats, counts: NDArray[np.int64]) -> Floats:
    """Intervals [M, 2] of which those of 1 or 0 alone are as wide as so many groups leave open."""
    least = (1 - INTERVAL[1] / 100) ** (1 / np.maximum(counts, 1))
    right, wrong = np.isclose(ends[:, 0], 1), np.isclose(ends[:, 1], 0)
    low, high = np.where(right, least, ends[:, 0]), np.where(wrong, 1 - least, ends[:, 1])
    return np.stack([low, high], axis=1)


def gain_interval(
    name: str,
    one: tuple[NDArray[np.floating], Marks],
    other: tuple[NDArray[np.floating], Marks],
    truth: Marks,
    groups: Sequence[str],
) -> tuple[float, float]:
    """The 95 % interval of how much higher a metric is with one pair of scores and predictions,
    each [N, K], than with another: on the same groups, drawn as by `measure_labels`. Where nothing
    differs in n groups, the upper end is 3 / n all the same (the rule of three)."""

    def total(pair: tuple[NDArray[np.floating], Marks]) -> Callable[[Floats], Floats]:
        (scores, predicted), place = pair, NAMES.index(name)
        ranking = _rank(scores)

        def measure(times: Floats) -> Floats:
            f1 = f1_of_labels(predicted, truth, times)
            ap = _precision(ranking, truth, times)
            return _totals(predicted, truth, times, f1, ap)[place : place + 1]

        return measure

    high, low = total(one), total(other)
    ends = bootstrap(lambda times: high(times) - low(times), groups)
    return float(ends[0][0]), max(float(ends[1][0]), 3 / len(set(groups)))


NAMES = ("accuracy", "mean_class", "macro_f1", "micro_f1", "map")


def _totals(predicted: Marks, truth: Marks, weights: Floats, f1: Floats, ap: Floats) -> Floats:
    counts = weights @ truth
    recall = (weights @ (predicted & truth))[counts > 0] / counts[counts > 0]
    right = weights @ (predicted == truth).all(1) / weights.sum()
    return np.array(
        [right, _mean(recall), _mean(f1), micro_f1(predicted, truth, weights), _mean(ap)]
    )


def bootstrap(
    measure: Callable[[Floats], Floats], groups: Sequence[str], draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """The ends of 95 % intervals of what `measure` makes of the number of times each row counts,
    [N]: as many groups are drawn, whole, with replacement. NaN are left out; of one group alone the
    ends are NaN. The same groups give the same draws."""
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    count, rng = len(names), np.random.default_rng(0)
    drawn = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws))
    table = np.array([measure(times[number].astype(np.float64)) for times in drawn])
    empty = np.isnan(table).all(0) | (count < 2)
    table[:, empty] = 0.0
    low, high = np.nanpercentile(table, INTERVAL, axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def evaluate_label_time(
    pairs: Sequence[tuple[AnnotatedVideo, Timeline | None]],
    *,
    background: Collection[str] = (),
    rate: float | None = None,
) -> LabelMetrics | None:
    """F1 and average precision of each label over the time of all videos, weighted by seconds.

    A label is predicted where a segment of it is; its score at a moment is that of the windows
    there, and 0 where nothing was seen. Intervals are over videos, each with all its areas. Labels
    are those of the ground truth and of segments. None where neither spans overlap nor a model lets
    labels do so. Arguments as of `evaluate_segmentation`.
    """
    labels = LabelNumbers(background)
    videos = [compare_video(truth, one, labels, rate) for truth, one in pairs]
    several = (video.timeline is not None and video.timeline.several for video in videos)
    if not labels.names or not (any(several) or any(video.truth is None for video in videos)):
        return None
    parts = [_cut_time(video, labels) for video in videos]
    groups = [truth.name for (truth, _), part in zip(pairs, parts, strict=True) for _ in part[0]]
    seconds, truth, predicted, scores = map(np.concatenate, zip(*parts, strict=True))
    return measure_labels(labels.names, scores, predicted, truth, groups, seconds)


def _cut_time(video: VideoComparison, labels: LabelNumbers) -> tuple[Floats, Marks, Marks, Floats]:
    """The seconds [n] of the pieces of a video in which nothing changes; and of each label there,
    [n, K], whether it holds, whether it is predicted, and its score."""
    timeline = video.timeline
    cells = [(c.start, c.stop) for c in timeline.cells] if timeline is not None else []
    spans = [video.true_spans[1], video.predicted_spans[1], np.reshape(cells, (-1, 2))]
    ends = video.pieces.ravel()[[0, -1]] / video.rate if len(video.pieces) else np.zeros(2)
    edges = np.concatenate([np.ravel(part) for part in spans]).clip(*ends)
    edges = np.unique([*edges, *ends])
    long = np.diff(edges) >= LEAST
    seconds, middles = np.diff(edges)[long], (edges[:-1] + np.diff(edges) / 2)[long]
    shape = len(middles), len(labels.names)
    truth = _cover(middles, shape, *video.true_spans)
    predicted = _cover(middles, shape, *video.predicted_spans[:2])
    scores = np.zeros(shape)
    if timeline is not None:
        known = {labels.find(name): k for k, name in enumerate(timeline.labels)}
        known.pop(NOTHING, None)
        places = np.searchsorted(middles, spans[2])
        for (first, after), row in zip(places, timeline.cell_scores, strict=True):
            scores[first:after, list(known)] = row[list(known.values())]
    return seconds, truth, predicted, scores


def _cover(
    middles: Floats, shape: tuple[int, int], ids: NDArray[np.int64], bounds: Floats
) -> Marks:
    """Which labels hold at each of the moments."""
    marks = np.zeros(shape, dtype=np.bool_)
    for number, (first, after) in zip(ids, np.searchsorted(middles, bounds), strict=True):
        marks[first:after, number] = True
    return marks

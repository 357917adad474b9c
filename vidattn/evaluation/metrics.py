"""Metrics of classification, calibration, segmentation and detection, as pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
"""Bins of the calibration error, as in arXiv:1706.04599, Sec. 5."""
COLDEST, HOTTEST = 0.05, 20.0
"""The range of fitted temperatures."""


def top_k(logits: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> float:
    """Fraction of rows of logits [N, K] whose label [N] is among the k largest; NaN if N is 0.

    Ties count as errors, so that a constant prediction is not always right; so does NaN.
    """
    if len(logits) == 0:
        return float("nan")
    own = logits[np.arange(len(labels)), labels]
    worse = (logits < own[:, None]).sum(1)
    return float(((worse >= logits.shape[1] - k) & ~np.isnan(own)).mean())


def exact_interval(right: int, count: int, doubt: float = 0.05) -> tuple[float, float]:
    """The interval of an accuracy, `right` of `count`, by Clopper and Pearson (1934).

    It holds the true one in 1 - doubt of all cases or more, if samples are independent.
    """
    ways = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
            for k in range(count + 1)]  # fmt: skip
    chosen = np.arange(count + 1)

    def tail(p: float, those: slice) -> float:
        """The probability of so many right ones at an accuracy p."""
        logs = np.array(ways) + chosen * math.log(p) + (count - chosen) * math.log1p(-p)
        return float(np.exp(logs[those]).sum())

    def solve(those: slice, rising: bool) -> float:
        low, high = 1e-12, 1 - 1e-12
        for _ in range(40):
            middle = (low + high) / 2
            if (tail(middle, those) < doubt / 2) == rising:
                low = middle
            else:
                high = middle
        return low

    low = solve(slice(right, None), rising=True) if right else 0.0
    high = solve(slice(0, right + 1), rising=False) if right < count else 1.0
    return low, high


def confusion(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """How often class i (row) was predicted as class j (column): int64 [classes, classes]."""
    pairs = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def predicted_classes(
    logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The class with the largest logit in each row of [N, K]: int64 [N].

    Where the true label [N] shares the first place, another class is taken, so that a prediction is
    right if and only if `top_k` counts it for k = 1.
    """
    rows = np.arange(len(labels))
    others = np.where(np.arange(logits.shape[1]) == labels[:, None], -np.inf, logits)
    rival = others.argmax(1)
    return np.where(logits[rows, labels] > others[rows, rival], labels, rival).astype(np.int64)


def mean_class(counts: NDArray[np.integer]) -> float:
    """Mean recall over the classes that occur, from a confusion matrix."""
    seen = counts.sum(1)
    right = np.diagonal(counts)[seen > 0] / seen[seen > 0]
    return float(right.mean()) if len(right) else float("nan")


def most_confused(counts: NDArray[np.integer], limit: int) -> list[tuple[int, int, int]]:
    """The most frequent errors in a confusion matrix: (true class, predicted class, count).

    At most `limit`, by falling count; ties in the order of their classes.
    """
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:limit]
    rows, columns = np.unravel_index(order, errors.shape)
    cells = zip(rows.tolist(), columns.tolist(), errors[rows, columns].tolist(), strict=True)
    return [cell for cell in cells if cell[2]]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """softmax(logits / temperature), float64 [N, K]."""
    return np.exp(log_probabilities(logits, temperature))


def mean_nll(logs: Floats, labels: NDArray[np.integer]) -> float:
    """Mean negative log-likelihood of labels [N], in nats, from `log_probabilities` [N, K]; NaN if
    N is 0."""
    if len(labels) == 0:
        return float("nan")
    return float(-logs[np.arange(len(labels)), labels].mean())


def brier(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean squared distance of the probabilities [N, K] to the one-hot labels: 0 .. 2.

    Summed over all classes (Brier, 1950); NaN if there are no rows.
    """
    if len(labels) == 0:
        return float("nan")
    own = scores[np.arange(len(labels)), labels]
    return float(((scores**2).sum(1) - 2 * own + 1).mean())


def calibration_error(
    scores: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> float:
    """Expected calibration error of probabilities [N, K]: 0 .. 1, NaN if N is 0.

    The largest probability of each row is its confidence. Rows are put into `bins` bins of equal
    width over (0, 1], each with its upper edge; the error is the mean distance between confidence
    and accuracy of the bins, weighted by their rows. Source: arXiv:1706.04599, Eq. 3.
    """
    if len(labels) == 0:
        return float("nan")
    confidence = scores.max(1)
    right = predicted_classes(scores, labels) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def best_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature T in [COLDEST, HOTTEST] whose softmax(logits / T) has the least nll.

    The nll is convex in 1 / T; Newton's method, with bisection where a step would leave the
    interval, finds its minimum to twelve digits. 1.0 if there are no rows. Source:
    arXiv:1706.04599, Sec. 4.2.
    """
    if len(labels) == 0:
        return 1.0
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels]

    def slope(inverse: float) -> tuple[float, float]:
        """First and second derivative of the nll by 1 / T."""
        scores = probabilities(shifted * inverse)
        mean = (scores * shifted).sum(1)
        spread = (scores * shifted**2).sum(1) - mean**2
        return float((mean - own).mean()), float(spread.mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low)[0] >= 0:
        return HOTTEST
    if slope(high)[0] <= 0:
        return COLDEST
    inverse = 1.0
    for _ in range(100):
        first, second = slope(inverse)
        low, high = (low, inverse) if first > 0 else (inverse, high)
        step = inverse - first / second if second > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - inverse) <= 1e-13 * inverse:
            break
        inverse = step
    return 1 / inverse


def log_probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Logarithms of softmax(logits / temperature), float64 [N, K]."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    scaled -= np.log(np.exp(scaled).sum(1, keepdims=True))
    return scaled


def label_runs(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of equal labels [n]: bounds [R, 2] in frames, half-open, and labels [R].

    Labels below 0 are background and form no run. Source: MS-TCN, eval.py.
    """
    if len(labels) == 0:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    edges = np.flatnonzero(np.diff(labels)) + 1
    bounds = np.stack([np.append(0, edges), np.append(edges, len(labels))], 1)
    names = labels[bounds[:, 0]].astype(np.int64)
    return bounds[names >= 0], names[names >= 0]


def edit_score(predicted: NDArray[np.integer], truth: NDArray[np.integer]) -> float:
    """1 - Levenshtein distance of two sequences of labels / the longer length: 0 .. 1.

    Depends on the order of events alone, not on their times. Two empty sequences agree. Source:
    arXiv:1611.05267, Sec. 3.3, and MS-TCN, eval.py (there x 100).
    """
    longer = max(len(predicted), len(truth))
    if longer == 0:
        return 1.0
    previous = list(range(len(truth) + 1))
    for i, own in enumerate(predicted.tolist(), 1):
        row = [i]
        for j, other in enumerate(truth.tolist(), 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (own != other)))
        previous = row
    return 1 - previous[-1] / longer


def overlaps(spans: NDArray[np.number], others: NDArray[np.number]) -> Floats:
    """Intersection over union of spans [N, 2] and others [M, 2], half-open: [N, M] in 0 .. 1."""
    low = np.maximum(spans[:, None, 0], others[None, :, 0])
    high = np.minimum(spans[:, None, 1], others[None, :, 1])
    shared = np.maximum(high - low, 0).astype(np.float64)
    lengths = (spans[:, 1] - spans[:, 0])[:, None] + (others[:, 1] - others[:, 0])[None, :]
    ious: Floats = shared / (lengths - shared)
    return ious


def f1_counts(
    spans: NDArray[np.number],
    labels: NDArray[np.integer],
    true_spans: NDArray[np.number],
    true_labels: NDArray[np.integer],
    overlap: float,
) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of one video.

    Each predicted span [N, 2], in order, is compared with the true span [M, 2] of its label that it
    overlaps most: it is right if their IoU is `overlap` (> 0) or more and no earlier span took the
    same one, and wrong otherwise. True spans not taken are missed. Sum the counts of all videos
    before calling `f1`. Source: arXiv:1611.05267, Sec. 3.3, and MS-TCN, eval.py.
    """
    if len(labels) == 0 or len(true_labels) == 0:
        return 0, len(labels), len(true_labels)
    ious = overlaps(spans, true_spans) * (labels[:, None] == true_labels[None, :])
    best = ious.argmax(1)
    taken: set[int] = set()
    for row, j in enumerate(best.tolist()):
        if ious[row, j] >= overlap:
            taken.add(j)
    return len(taken), len(labels) - len(taken), len(true_labels) - len(taken)


def f1(right: int, wrong: int, missed: int) -> float:
    """2 tp / (2 tp + fp + fn): 0 .. 1, NaN when there are neither true nor predicted spans."""
    total = 2 * right + wrong + missed
    return 2 * right / total if total else float("nan")


def average_precision(
    predictions: tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.floating]],
    truth: tuple[NDArray[np.integer], NDArray[np.floating]],
    thresholds: NDArray[np.floating],
) -> Floats:
    """Interpolated average precision of detections of one class, for each IoU threshold: [T].

    predictions: video numbers [N], spans [N, 2], scores [N]. truth: video numbers [M], spans
    [M, 2]. By falling score, a prediction takes the true span of its video that it overlaps most
    and that is still free; it is right if their IoU reaches the threshold. Precision at a recall is
    the highest at that or any higher recall. Equal scores are ordered by video, start and end, so
    the order of the rows never matters. NaN without true spans. Source: ActivityNet,
    eval_detection.py.
    """
    videos, spans, scores = predictions
    true_videos, true_spans = truth
    if len(true_videos) == 0:
        return np.full(len(thresholds), np.nan)
    order = np.lexsort((spans[:, 1], spans[:, 0], videos, -scores))
    places = {int(v): np.flatnonzero(true_videos == v) for v in np.unique(true_videos)}
    free = np.ones((len(thresholds), len(true_videos)), bool)
    right = np.zeros((len(thresholds), len(order)), bool)
    for rank, row in enumerate(order.tolist()):
        there = places.get(int(videos[row]))
        if there is None:
            continue
        ious = overlaps(spans[row : row + 1], true_spans[there])[0]
        for column in np.argsort(-ious, kind="stable").tolist():
            takes = free[:, there[column]] & ~right[:, rank] & (ious[column] >= thresholds)
            right[:, rank] |= takes
            free[takes, there[column]] = False
    return np.array([_interpolated(row, len(true_videos)) for row in right])


def _interpolated(right: NDArray[np.bool_], positives: int) -> float:
    """Area under the interpolated precision-recall curve, predictions by falling score."""
    hits = right.cumsum()
    precision = hits / np.arange(1, len(right) + 1)
    hull = np.maximum.accumulate(precision[::-1])[::-1]
    return float(hull[right].sum() / positives)

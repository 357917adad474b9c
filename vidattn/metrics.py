"""Scores of classifiers: numbers in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
"""Of the calibration error; as in arXiv:1706.04599, Sec. 5."""
COLDEST, HOTTEST = 0.05, 20.0
"""Between these a fitted temperature lies."""


def top_k(logits: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> float:
    """Share of rows of logits [N, K] whose label [N] is among the k largest; 0 .. 1, NaN if N is 0.

    Equal logits count against the model: a constant answer is not right about everything.
    """
    if len(logits) == 0:
        return float("nan")
    own = logits[np.arange(len(labels)), labels]
    better = (logits >= own[:, None]).sum(1)  # counts the label itself
    return float((better <= k).mean())


def confusion(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """How often class i (row) was called class j (column): int64 [classes, classes]."""
    pairs = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def mean_class(counts: NDArray[np.integer]) -> float:
    """Mean over the classes that occur of the share called rightly, from a confusion matrix."""
    seen = counts.sum(1)
    right = np.diagonal(counts)[seen > 0] / seen[seen > 0]
    return float(right.mean()) if len(right) else float("nan")


def most_confused(counts: NDArray[np.integer], limit: int) -> list[tuple[int, int, int]]:
    """The most frequent errors in a confusion matrix: (true class, answer, how often), falling.

    At most `limit`; equally frequent ones in the order of their classes.
    """
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:limit]
    rows, columns = np.unravel_index(order, errors.shape)
    found = zip(rows.tolist(), columns.tolist(), errors[rows, columns].tolist(), strict=True)
    return [(row, column, count) for row, column, count in found if count]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """softmax(logits / temperature), float64 [N, K]."""
    return np.exp(_log_probabilities(logits, temperature))


def nll(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float = 1.0
) -> float:
    """Mean negative log-likelihood of the labels, in nats; NaN if there are none."""
    if len(labels) == 0:
        return float("nan")
    logs = _log_probabilities(logits, temperature)
    return float(-logs[np.arange(len(labels)), labels].mean())


def brier(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean over rows of the squared distance of the probabilities [N, K] to the truth: 0 .. 2.

    All classes count (Brier, 1950), not only the one named; NaN if there are no rows.
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
    and share of right answers of the bins, weighed by their rows. Source: arXiv:1706.04599, Eq. 3.
    """
    if len(labels) == 0:
        return float("nan")
    confidence = scores.max(1)
    right = scores.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def best_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature T in [COLDEST, HOTTEST] whose softmax(logits / T) has the least nll.

    The nll is convex in 1 / T; Newton's method, halving the interval where a step would leave it,
    finds its minimum to twelve digits, always the same one. 1.0 if there are no rows. Source:
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


def _log_probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Logarithms of softmax(logits / temperature), float64 [N, K]."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    scaled -= np.log(np.exp(scaled).sum(1, keepdims=True))
    return scaled

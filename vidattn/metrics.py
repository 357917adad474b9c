"""Scores of classifiers: numbers in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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

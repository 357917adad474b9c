"""Scores as saved in a timeline: 5 digits, and of more than 64 classes the 16 highest.

The other classes of a window share equally the rest to 1. Packing unpacked scores gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE_CLASSES = 64
SAVED_SCORES = 16
Scores = NDArray[np.float32]
Floats = NDArray[np.float64]


def round_scores(scores: Scores) -> Floats:
    """Scores [N, K] as a document gives them back."""
    if scores.shape[1] <= DENSE_CLASSES:
        return np.asarray(scores.astype(np.float64).round(5))
    ids, values = _strongest(scores)
    return _spread(ids, values, scores.shape[1])


def pack_scores(scores: Scores) -> dict[str, list[Any]]:
    """Scores [N, K] as plain lists: `values`, and for many classes also `ids`."""
    if scores.shape[1] <= DENSE_CLASSES:
        return {"values": round_scores(scores).tolist()}
    ids, values = _strongest(scores)
    rows = [v > 0 for v in values]
    return {
        "ids": [i[r].tolist() for i, r in zip(ids, rows, strict=True)],
        "values": [v[r].tolist() for v, r in zip(values, rows, strict=True)],
    }


def unpack_scores(packed: Mapping[str, Any], classes: int) -> Scores:
    """The inverse of `pack_scores`: [N, K]. A wrong value raises anything, such as ValueError."""
    with np.errstate(over="ignore"):  # numbers too large become inf, which no timeline accepts
        return _unpack(packed, classes).astype(np.float32)


def _unpack(packed: Mapping[str, Any], classes: int) -> Floats:
    values = packed["values"]
    if "ids" not in packed:
        return np.array(values, dtype=np.float64).reshape(len(values), -1 if values else classes)
    pairs = zip(values, packed["ids"], strict=True)
    counts = np.array([len(v) if len(v) == len(i) else 0 for v, i in pairs], dtype=np.int64)
    ids = np.array(list(chain.from_iterable(packed["ids"])), dtype=np.int64)
    scores = np.array(list(chain.from_iterable(values)), dtype=np.float64)
    if not counts.all() or (ids < 0).any():
        raise ValueError("every row of scores needs as many ids >= 0 as values")
    rows = np.zeros((len(counts), classes))
    full = counts == SAVED_SCORES  # if there are fewer, the others were rounded to 0
    among = full.repeat(counts)
    full_ids, full_scores = (a[among].reshape(-1, SAVED_SCORES) for a in (ids, scores))
    rows[full] = _spread(full_ids, full_scores, classes)
    rows[np.arange(len(counts)).repeat(counts), ids] = scores
    return rows


def _strongest(scores: Scores) -> tuple[NDArray[np.int64], Floats]:
    """The ids [N, 16] of the highest scores of each row, and these scores, falling, 5 digits."""
    chosen = scores >= np.partition(scores, -SAVED_SCORES, axis=1)[:, -SAVED_SCORES, None]
    tied = np.flatnonzero(chosen.sum(axis=1) > SAVED_SCORES)  # of equal scores the first are saved
    first = np.argsort(-scores[tied], axis=1, kind="stable")[:, :SAVED_SCORES]
    chosen[tied] = False
    chosen[tied[:, None], first] = True
    ids = chosen.nonzero()[1].reshape(-1, SAVED_SCORES)
    values = np.take_along_axis(scores, ids, axis=1).astype(np.float64).round(5)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1)


def _spread(ids: NDArray[np.int64], values: Floats, classes: int) -> Floats:
    """Scores [N, K] from the highest: the others share the rest to 1.

    They stay below all saved ones, so that saving again selects the same.
    """
    rest = np.maximum(1 - values.sum(axis=1), 0) / (classes - ids.shape[1])
    least = values.min(axis=1) * (1 - 2**-20)
    rows: Floats = np.repeat(np.minimum(rest, least)[:, None], classes, axis=1)
    np.put_along_axis(rows, ids, values, axis=1)
    return rows

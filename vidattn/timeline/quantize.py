"""Scores as a saved timeline keeps them: 5 digits, and of many classes the strongest few.

All scores of up to 64 classes are kept. Of more, the strongest 16 of each window are, and the other
classes share equally what these leave of 1. Packing what was unpacked gives the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE_CLASSES = 64
KEPT_SCORES = 16
Scores = NDArray[np.float32]
Floats = NDArray[np.float64]


def quantize_scores(scores: Scores) -> Floats:
    """Scores [N, K] as they come back from a document."""
    if scores.shape[1] <= DENSE_CLASSES:
        rounded: Floats = scores.astype(np.float64).round(5)
        return rounded
    ids, values = _strongest(scores)
    return _spread(ids, values, scores.shape[1])


def pack_scores(scores: Scores) -> dict[str, list[Any]]:
    """Scores [N, K] as plain lists: `values`, and of many classes the `ids` they belong to."""
    if scores.shape[1] <= DENSE_CLASSES:
        return {"values": quantize_scores(scores).tolist()}
    ids, values = _strongest(scores)
    rows = [v > 0 for v in values]
    return {
        "ids": [i[r].tolist() for i, r in zip(ids, rows, strict=True)],
        "values": [v[r].tolist() for v, r in zip(values, rows, strict=True)],
    }


def unpack_scores(packed: Mapping[str, Any], classes: int) -> Scores:
    """The inverse of `pack_scores`: [N, K]. A wrong value raises anything, such as ValueError."""
    with np.errstate(over="ignore"):  # too large a number becomes inf, which no timeline takes
        return _unpacked(packed, classes).astype(np.float32)


def _unpacked(packed: Mapping[str, Any], classes: int) -> Floats:
    values = packed["values"]
    if "ids" not in packed:
        return np.array(values, dtype=np.float64).reshape(len(values), -1 if values else classes)
    pairs = zip(values, packed["ids"], strict=True)
    counts = np.array([len(v) if len(v) == len(i) else 0 for v, i in pairs], dtype=np.int64)
    ids = np.array(list(chain.from_iterable(packed["ids"])), dtype=np.int64)
    found = np.array(list(chain.from_iterable(values)), dtype=np.float64)
    if not counts.all() or (ids < 0).any():
        raise ValueError("every row of scores needs as many ids >= 0 as values")
    rows = np.zeros((len(counts), classes))
    full = counts == KEPT_SCORES  # with fewer, all others were rounded to 0
    among = full.repeat(counts)
    strongest = [part[among].reshape(-1, KEPT_SCORES) for part in (ids, found)]
    rows[full] = _spread(strongest[0], strongest[1], classes)
    rows[np.arange(len(counts)).repeat(counts), ids] = found
    return rows


def _strongest(scores: Scores) -> tuple[NDArray[np.int64], Floats]:
    """Of each row the ids [N, kept] of the strongest labels and their scores, falling, 5 digits."""
    ids = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :KEPT_SCORES], axis=1)
    values: Floats = np.take_along_axis(scores, ids, axis=1).astype(np.float64)
    values = values.round(5)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1)


def _spread(ids: NDArray[np.int64], values: Floats, classes: int) -> Floats:
    """Scores [N, K] from the strongest: the others share what is missing to 1.

    They stay below every one that was kept, so that keeping the strongest again keeps the same.
    """
    left = np.maximum(1 - values.sum(axis=1), 0) / (classes - ids.shape[1])
    least = values.min(axis=1) * (1 - 2**-20)
    rows: Floats = np.repeat(np.minimum(left, least)[:, None], classes, axis=1)
    np.put_along_axis(rows, ids, values, axis=1)
    return rows

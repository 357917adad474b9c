"""The scores of a timeline, small enough for a page and enough to decide its segments again.

A segment can only get a label that wins in some cell, so the others are left out. Scores are whole
numbers of 1e-5, which `vidattn.timeline.decoding` decides on: the page loses nothing. Each row is
one common value and what differs from it; all numbers are 32 bits, by planes of bytes, deflated.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline import Timeline
from vidattn.timeline.decoding import DIGITS, Decoding, smooth, viterbi_path

Ints = NDArray[np.int32]

RANKED = 10
"""Labels of a classification that the page shows."""


def pack_scores(timeline: Timeline) -> dict[str, Any]:
    """What `unpack` in segments.js reads: labels, numbers of them, and `table`, base64.

    The numbers are in turn: starts of cells (as differences) and lengths, both in milliseconds; the
    number of the island of each; the Viterbi path if there is one; then one or two tables of
    scores, those that decide and, where they were smoothed, those that are shown.
    """
    cells, fused = timeline.cells, timeline.fused
    edges = np.rint(np.array([(c.start, c.stop) for c in cells]).reshape(-1, 2) * 1000)
    starts, stops = edges.astype(np.int64).T
    islands = np.cumsum([0, *(starts[1:] != stops[:-1])])[: len(cells)]
    decoding = Decoding() if timeline.task == "classify" else timeline.decoding
    path, decided = _decided(fused, islands, decoding, np.array([c.duration for c in cells]))
    ids = _that_matter(timeline, path, decided)
    parts: list[NDArray[Any]] = [np.diff(starts, prepend=0), stops - starts, islands]
    if decoding.smooth == "viterbi":
        parts.append(np.searchsorted(ids, path))
    tables = [decided[:, ids]]
    if not np.array_equal(decided, fused.round(DIGITS)):
        tables.append(fused[:, ids])
    parts += [part for table in tables for part in _rows(_whole(table))]
    return {
        "mode": _mode(decoding),
        "cells": len(cells),
        "labels": [timeline.labels[k] for k in ids],
        "classes": len(timeline.labels),
        "tables": len(tables),
        "cuts": list(timeline.cuts or ()) if decoding.snap else [],
        "reach": timeline.reach,
        "table": _text(np.concatenate(parts)),
    }


def _mode(decoding: Decoding) -> str:
    if decoding.smooth == "viterbi":
        return "path"
    return "cells" if decoding.leave is None else "hysteresis"


def _decided(
    fused: NDArray[np.float64],
    islands: NDArray[np.int64],
    decoding: Decoding,
    seconds: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The winner of every cell before any threshold, and the scores that decide, 5 digits."""
    if not len(fused):
        return np.zeros(0, np.int64), fused
    edges = np.flatnonzero(np.diff(islands)) + 1
    blocks = np.split(fused, edges)
    if decoding.smooth == "viterbi":
        weights = np.split(seconds / np.median(seconds), edges)
        paths = [
            viterbi_path(b, decoding.switch_cost, w) for b, w in zip(blocks, weights, strict=True)
        ]
        return np.concatenate(paths), fused.round(DIGITS)
    rows = [smooth(block, decoding.kernel, decoding.smooth) for block in blocks]
    decided = np.concatenate(rows).round(DIGITS)
    return decided.argmax(axis=1), decided


def _that_matter(
    timeline: Timeline, path: NDArray[np.int64], decided: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The ids, rising, of the labels a segment can get; of a classification the first few."""
    if timeline.task == "classify" and len(decided):
        return np.sort(np.argsort(-decided[0], kind="stable")[:RANKED])
    return np.unique(path)


def _whole(scores: NDArray[np.float64]) -> Ints:
    return np.asarray(np.rint(scores * 10**DIGITS), dtype=np.int32)


def _rows(table: Ints) -> list[NDArray[Any]]:
    """The middle value of each row, how many differ from it, and those: their columns, values."""
    if not table.size:
        return []
    common = np.sort(table, axis=1)[:, table.shape[1] // 2]
    differs = table != common[:, None]
    return [common, differs.sum(axis=1), np.nonzero(differs)[1], table[differs]]


def _text(numbers: NDArray[Any]) -> str:
    planes = numbers.astype("<i4").view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")

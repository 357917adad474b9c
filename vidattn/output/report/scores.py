"""The scores of a timeline, packed small and enough for the page to derive its segments again.

A segment can only get a label that wins in some cell, so the others are left out. Scores are
integers in units of 1e-5, the precision that `vidattn.timeline.decoding` uses: nothing is lost.
Each row is one common value and its exceptions; all numbers are 32 bits, by byte planes, deflated.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline import Timeline
from vidattn.timeline.decoding import DIGITS, Decoding, smooth, viterbi_path
from vidattn.timeline.palette import color_slots, label_weights
from vidattn.timeline.switching import LabelPath

STEPS = 4
"""Steps of the switch cost to each side of the saved one, each a factor of the root of 2."""
LEAST_DIALED = 1.0
"""Nats, from which at least higher costs rise: a fraction of a nat would change nothing."""
RANKED = 10
"""Number of labels in the page of a classification."""


def pack_scores(timeline: Timeline) -> dict[str, Any]:
    """The input of `unpack` in segments.js: labels with their colors, counts and `table`,
    numbers in base64. `others` are the labels without scores, for corrections by hand.

    The numbers are in turn: starts of cells (as differences) and lengths, both in milliseconds; the
    island of each cell; for each of `costs` the path of labels, and by how much the cells start and
    stop later; then one or two tables of scores, those that decide and, if these are smoothed,
    those that are shown.
    """
    fused, known = timeline.cell_scores, timeline.path
    costs, paths = _paths(timeline)
    cells = timeline.cells if known is None else known.cells
    edges = np.rint(np.array([(c.start, c.stop) for c in cells]).reshape(-1, 2) * 1000)
    starts, stops = edges.astype(np.int64).T
    islands = np.cumsum([0, *(starts[1:] != stops[:-1])])[: len(cells)]
    decoding = Decoding(smooth="none") if timeline.task == "classify" else timeline.decoding
    path, decisive = _decode(fused, islands, decoding, np.array([c.duration for c in cells]))
    if not paths and _mode(decoding) == "path":
        paths = [LabelPath(path, cells, math.nan)]
    ids = np.unique([step.labels for step in paths] or path)
    if timeline.several:
        ids = np.unique([s.label_id for s in timeline.segments if s.label_id is not None] or [0])
    if timeline.task == "classify" and len(decisive):
        ids = np.sort(np.argsort(-decisive[0], kind="stable")[:RANKED])
    others = np.setdiff1d(np.arange(len(timeline.labels)), ids).tolist()
    slots = color_slots(timeline.labels, label_weights(timeline))
    numbers: list[NDArray[Any]] = [np.diff(starts, prepend=0), stops - starts, islands]
    for step in paths:
        moved = np.rint(np.array([(c.start, c.stop) for c in step.cells]) * 1000)
        shifts = moved.astype(np.int64).reshape(-1, 2).T - (starts, stops)
        numbers += [np.searchsorted(ids, step.labels), *shifts]
    tables = [decisive[:, ids]]
    if not np.array_equal(decisive, fused.round(DIGITS)):
        tables.append(fused[:, ids])
    for table in tables:
        numbers += _pack_rows(np.rint(table * 10**DIGITS).astype(np.int32))
    return {
        "mode": _mode(decoding),
        "costs": costs,
        "steps": len(paths),
        "cells": len(cells),
        "labels": [timeline.labels[k] for k in ids],
        "colors": [slots[k] for k in ids],
        "others": [timeline.labels[k] for k in others],
        "otherColors": [slots[k] for k in others],
        "classes": len(timeline.labels),
        **(
            {"fixed": _fixed(timeline, ids.tolist(), (starts + stops) / 2)}
            if timeline.several
            else {}
        ),
        "tables": len(tables),
        "cuts": list(timeline.cuts or ()) if decoding.snap and known is None else [],
        "reach": timeline.snap_distance,
        "table": _encode(np.concatenate(numbers)),
    }


def _fixed(
    timeline: Timeline, ids: Sequence[int], centers: NDArray[np.float64]
) -> list[tuple[float, ...]]:
    """The segments of labels that may hold at once, which the page does not derive: start and stop
    in seconds, number in `labels` (-1 is background), score, first cell and cell after the last."""
    rows: list[tuple[float, ...]] = []
    for one in timeline.segments:
        first, after = np.searchsorted(centers, [1000 * one.start, 1000 * one.stop])
        number = -1 if one.label_id is None else ids.index(one.label_id)
        score = round(one.score, DIGITS)
        rows.append((one.start, one.stop, number, score, int(first), int(after)))
    return rows


def _paths(timeline: Timeline) -> tuple[list[float], list[LabelPath]]:
    """The costs of a switch that the page offers, falling, and the path of each; the saved one is
    in the middle."""
    if timeline.path is None:
        return [], []
    saved, factors = timeline.path.switch_cost, [2 ** (i / 2) for i in range(1, STEPS + 1)]
    more = [round(max(saved, LEAST_DIALED) * factor, 2) for factor in reversed(factors)]
    less = [round(saved / factor, 2) for factor in factors]
    paths = [*timeline.paths_at(more), timeline.path, *timeline.paths_at(less)]
    return [*more, saved, *less], paths


def _mode(decoding: Decoding) -> str:
    if decoding.uses_all_windows or decoding.smooth == "viterbi":
        return "path"
    return "cells" if decoding.leave is None else "hysteresis"


def _decode(
    cell_scores: NDArray[np.float64],
    islands: NDArray[np.int64],
    decoding: Decoding,
    seconds: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The winner of each cell before any threshold, and the scores that decide, 5 digits."""
    if not len(cell_scores):
        return np.zeros(0, np.int64), cell_scores
    edges = np.flatnonzero(np.diff(islands)) + 1
    blocks = np.split(cell_scores, edges)
    if decoding.smooth == "viterbi":
        weights = np.split(seconds / np.median(seconds), edges)
        paths = [
            viterbi_path(b, decoding.switch_cost, w) for b, w in zip(blocks, weights, strict=True)
        ]
        return np.concatenate(paths), cell_scores.round(DIGITS)
    rows = [smooth(block, decoding.kernel, decoding.smooth) for block in blocks]
    decisive = np.concatenate(rows).round(DIGITS)
    return decisive.argmax(axis=1), decisive


def _pack_rows(table: NDArray[np.int32]) -> list[NDArray[Any]]:
    """The median of each row, the count of its exceptions, and their columns and values."""
    if not table.size:
        return []
    common = np.sort(table, axis=1)[:, table.shape[1] // 2]
    differs = table != common[:, None]
    return [common, differs.sum(axis=1), np.nonzero(differs)[1], table[differs]]


def _encode(numbers: NDArray[Any]) -> str:
    planes = numbers.astype("<i4").view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")

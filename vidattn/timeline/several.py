"""Segments of labels several of which may hold at once: a track for each label.

Every label holds where its own score reaches its own threshold, whatever the others do. Segments of
one label never overlap, those of different labels may; time in which none holds is background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import (
    LEAST,
    NOTHING,
    VITERBI_COST,
    Decoding,
    Labels,
    apply_hysteresis,
    most_likely_path,
    smooth,
)
from vidattn.timeline.segments import Segment, merge_cells
from vidattn.types import Window

Floats = NDArray[np.float64]
EVEN_ODDS = 0.5
"""The threshold of a label without one of its own."""


def find_tracks(
    cells: Sequence[Window],
    scores: Floats,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    decoding: Decoding = Decoding(),
    cell_frames: Sequence[tuple[int, int]] | None = None,
) -> tuple[Segment, ...]:
    """The segments of all labels, by time, then by label; and those of background.

    cells, scores [cells, K], cell_frames: as of `merge_cells`. thresholds: by label; a threshold of
    `decoding` above 0 takes the place of all of them.
    """
    if not cells:
        return ()
    found: list[Segment] = []
    for k, label in enumerate(labels):
        least = decoding.threshold or float(thresholds.get(label, EVEN_ODDS))
        own = scores[:, k]
        path = np.where(_holds(own, least, cells, decoding), 0, NOTHING)
        rule = replace(decoding, threshold=least, leave=None, smooth="none")
        merged = merge_cells(cells, own[:, None], (label,), rule, cell_frames, path)
        found += [replace(one, label_id=k) for one in merged if one.label_id is not None]
    held = np.where(_covered(cells, found), 0, NOTHING)
    merged = merge_cells(cells, scores, labels, Decoding(smooth="none"), cell_frames, held)
    found += [one for one in merged if one.label_id is None]
    return tuple(sorted(found, key=lambda one: (one.window, one.label_id or 0)))


def strongest(
    cells: Sequence[Window], scores: Floats, labels: Sequence[str], segments: Sequence[Segment]
) -> Labels:
    """One label for each cell, for what can show no more: of those whose segments hold it, the one
    with the highest score; -1 for background."""
    held = np.full(scores.shape, -1.0)
    starts = np.array([cell.start for cell in cells])
    for one in segments:
        if one.label_id is not None:
            first, after = np.searchsorted(starts, [one.start, one.stop])
            held[first:after, one.label_id] = scores[first:after, one.label_id]
    return np.where(held.max(1) >= 0, held.argmax(1), NOTHING)


def _holds(
    scores: Floats, least: float, cells: Sequence[Window], decoding: Decoding
) -> NDArray[np.bool_]:
    """Where a label with scores [cells] holds, in each run of cells that touch."""
    edges = [i for i in range(1, len(cells)) if cells[i].start != cells[i - 1].stop]
    lengths = np.array([cell.duration for cell in cells])
    weights = lengths / np.median(lengths)
    parts = zip(np.split(scores, edges), np.split(weights, edges), strict=True)
    return np.concatenate([_decide(own, least, weight, decoding) for own, weight in parts])


def _decide(scores: Floats, least: float, weights: Floats, decoding: Decoding) -> NDArray[np.bool_]:
    """`auto` and `viterbi` find the likeliest path of the label and its absence, where a score at
    the threshold speaks for neither."""
    if decoding.uses_all_windows or decoding.smooth == "viterbi":
        odds = _log_odds(scores) - _log_odds(np.array(least))
        evidence = np.stack([np.zeros(len(odds)), odds * weights], axis=1)
        cost = VITERBI_COST if decoding.switch_cost is None else decoding.switch_cost
        return np.asarray(most_likely_path(evidence, cost) == 1)
    pair = smooth(np.stack([scores, 1 - scores], axis=1), decoding.kernel, decoding.smooth)
    own = pair[:, :1].round(5)
    if decoding.leave is not None:
        return np.asarray(apply_hysteresis(own, least, min(decoding.leave, least)) == 0)
    return np.asarray(own[:, 0] >= least)


def _covered(cells: Sequence[Window], segments: Sequence[Segment]) -> NDArray[np.bool_]:
    starts, covered = np.array([cell.start for cell in cells]), np.zeros(len(cells), np.bool_)
    for one in segments:
        first, after = np.searchsorted(starts, [one.start, one.stop])
        covered[first:after] = True
    return covered


def _log_odds(scores: Floats) -> Floats:
    kept = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(np.log(kept) - np.log1p(-kept))

"""Segments of labels several of which may hold at once: a track for each label.

Every label is decided for itself, beside its absence: a score at its threshold speaks for neither,
and of those that never reach it none is shown. Segments of one label never overlap, those of
different labels may; time in which none holds is background.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

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


def add_background(
    found: Sequence[Segment],
    cells: Sequence[Window],
    scores: Floats,
    labels: Sequence[str],
    cell_frames: Sequence[tuple[int, int]] | None,
) -> tuple[Segment, ...]:
    """Segments of labels, and those of the time in which none holds, by time, then by label.

    cells, scores [cells, K], cell_frames: as of `merge_cells`.
    """
    cells, cell_frames, origin = split_cells(cells, cell_frames, found)
    held = strongest(cells, found, [EVEN_ODDS] * len(labels))
    rule = Decoding(smooth="none")
    merged = merge_cells(cells, scores[origin], labels, rule, cell_frames, held)
    rest = [one for one in merged if one.label_id is None]
    return tuple(sorted([*found, *rest], key=lambda one: (one.window, one.label_id or 0)))


def split_cells(
    cells: Sequence[Window],
    cell_frames: Sequence[tuple[int, int]] | None,
    segments: Sequence[Segment],
) -> tuple[list[Window], list[tuple[int, int]] | None, list[int]]:
    """Cells and their frames, cut where segments start and stop, and the cell each is a part of."""
    ends = [((s.start, s.start_frame), (s.stop, s.end_frame)) for s in segments]
    frame_at = dict(pair for pairs in ends for pair in pairs)
    times = sorted(frame_at)
    parts: list[Window] = []
    frames: list[tuple[int, int]] = []
    origin: list[int] = []
    for i, cell in enumerate(cells):
        inner = times[bisect_right(times, cell.start) : bisect_left(times, cell.stop)]
        parts += [Window(a, b) for a, b in pairwise([cell.start, *inner, cell.stop])]
        origin += [i] * (len(inner) + 1)
        if cell_frames is not None:
            first, after = cell_frames[i]
            between = [frame for time in inner if (frame := frame_at[time]) is not None]
            frames += pairwise([first, *between, after])
    return parts, frames if cell_frames is not None else None, origin


def strongest(
    cells: Sequence[Window], segments: Sequence[Segment], thresholds: Sequence[float]
) -> Labels:
    """One label for each cell, for what can show no more: that of the segment over it whose score
    has the highest odds beside its threshold; -1 for background.

    segments: begin and end with cells. thresholds: of all labels.
    """
    best, labels = np.full(len(cells), -np.inf), np.full(len(cells), NOTHING)
    centers = np.array([cell.center for cell in cells])
    for one in segments:
        if one.label_id is not None:
            least = _log_odds(np.array(thresholds[one.label_id]))
            odds = float(_log_odds(np.array(one.score)) - least)
            first, after = np.searchsorted(centers, [one.start, one.stop])
            stronger = first + np.flatnonzero(best[first:after] < odds)
            best[stronger], labels[stronger] = odds, one.label_id
    return labels


def pair_with_absence(scores: Floats, least: float) -> Floats:
    """Probabilities that a label with scores [N] holds and that it does not, [N, 2], where a score
    at the threshold speaks for neither."""
    odds = _log_odds(scores) - _log_odds(np.array(least))
    holds = 1 / (1 + np.exp(-odds))
    return np.stack([holds, 1 - holds], axis=1)


def merge_track(
    cells: Sequence[Window],
    scores: Floats,
    label: str,
    least: float,
    decoding: Decoding,
    cell_frames: Sequence[tuple[int, int]] | None,
    holds: NDArray[np.bool_],
) -> tuple[Segment, ...]:
    """The segments of one label with scores [cells], background included.

    cells, cell_frames: as of `merge_cells`. least: the threshold. holds: whether each cell holds
    the label.
    """
    path = np.where(holds, 0, NOTHING)
    rule = replace(decoding, threshold=least, leave=None, smooth="none")
    return merge_cells(cells, scores[:, None], (label,), rule, cell_frames, path)


def hold_by_rule(
    scores: Floats, least: float, cells: Sequence[Window], decoding: Decoding
) -> NDArray[np.bool_]:
    """Where a label with scores [cells] holds by the rules for cells, in each run that touches."""
    edges = [i for i in range(1, len(cells)) if cells[i].start != cells[i - 1].stop]
    lengths = np.array([cell.duration for cell in cells])
    weights = lengths / np.median(lengths)
    parts = zip(np.split(scores, edges), np.split(weights, edges), strict=True)
    return np.concatenate([_decide(own, least, weight, decoding) for own, weight in parts])


def _decide(scores: Floats, least: float, weights: Floats, decoding: Decoding) -> NDArray[np.bool_]:
    """Viterbi finds the likeliest path of the label and its absence."""
    if decoding.smooth == "viterbi":
        evidence = np.log(pair_with_absence(scores, least)) * weights[:, None]
        cost = VITERBI_COST if decoding.switch_cost is None else decoding.switch_cost
        return np.asarray(most_likely_path(evidence, cost) == 0)
    pair = smooth(np.stack([scores, 1 - scores], axis=1), decoding.kernel, decoding.smooth)
    own = pair[:, :1].round(5)
    if decoding.leave is not None:
        return np.asarray(apply_hysteresis(own, least, min(decoding.leave, least)) == 0)
    return np.asarray(own[:, 0] >= least)


def _log_odds(scores: Floats) -> Floats:
    kept = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(np.log(kept) - np.log1p(-kept))

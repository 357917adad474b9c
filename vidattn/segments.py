"""From the scores of windows to labelled segments, without a model: gather, smooth, merge.

Overlapping windows are fused on a grid of cells, each cell gets a label, equal neighbours become
one segment, and segments too short to stand alone go to a neighbour. Cells and segments are
half-open and never overlap; what no window saw, or nobody could read, belongs to none of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidattn.decoding import LEAST, NOTHING, Decoding, decide
from vidattn.runs import Runs, absorbed, closed
from vidattn.types import Window

Floats = NDArray[np.float64]

BACKGROUND = "background"
"""The label of time in which no label reaches the threshold; its `label_id` is None."""
ALTERNATIVES = 4
MOST_PARTS = 1000
"""Cells after the beginning of the last window; a bound for windows that come out of a file."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What happens in one span of a video."""

    window: Window
    label: str
    score: float
    """Mean probability of the label over the span; of the strongest label if it is background."""
    label_id: int | None = None
    """Index into the labels; None is background."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The next labels and their mean probabilities, falling."""
    start_frame: int | None = None
    end_frame: int | None = None
    """Numbers of the first frame and of the one after the last; None if nobody knows them."""


def grid(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Cells whose union is that of the windows: they begin where a window begins.

    Where windows overlap beyond the last beginning, the rest is split into cells as long as the
    usual distance between windows. Windows side by side are their own cells. windows: sorted.
    """
    cells: list[Window] = []
    starts = sorted({w.start for w in windows})
    for island in islands(windows):
        edges = starts[bisect_left(starts, island.start) : bisect_left(starts, island.stop)]
        tail = island.stop - edges[-1]
        hop = float(np.median(np.diff(edges))) if len(edges) > 1 else tail
        parts = min(max(round(tail / hop), 1), MOST_PARTS)
        edges += [round(edges[-1] + tail * i / parts, 3) for i in range(1, parts)]
        edges = sorted({*edges, island.stop})
        cells += (Window(a, b) for a, b in pairwise(edges))
    return tuple(cells)


def islands(windows: Iterable[Window]) -> list[Window]:
    """The union of windows as the fewest windows that do not touch, in order."""
    union: list[Window] = []
    for window in sorted(windows):
        if union and window.start <= union[-1].stop:
            union[-1] = Window(union[-1].start, max(union[-1].stop, window.stop))
        else:
            union.append(window)
    return union


def without(windows: Iterable[Window], holes: Iterable[Window]) -> list[list[Window]]:
    """What is left of each window outside all holes: a list of parts, empty where nothing is."""
    holes = islands(holes)
    starts = np.array([h.start for h in holes])
    stops = np.array([h.stop for h in holes])
    left = []
    for window in windows:
        first = int(np.searchsorted(stops, window.start, side="right"))
        after = int(np.searchsorted(starts, window.stop, side="left"))
        inside = holes[first:after]
        edges = [window.start, *(t for h in inside for t in (h.start, h.stop)), window.stop]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        left.append([Window(a, b) for a, b in pairs if a < b])
    return left


def gather(
    windows: Sequence[Window], scores: NDArray[np.floating], cells: Sequence[Window]
) -> Floats:
    """Fuse the scores of overlapping windows: probabilities [cells, K], rows sum to 1.

    A cell gets the mean of the logarithms of all windows that see a part of it. A window counts for
    as much as the triangle over it (highest at its centre, 0 at both ends) has area above the cell:
    what lies in the middle of a window is known best.

    windows: sorted; scores: probabilities [N, K]; cells: sorted, each seen by at least one window.
    """
    logs = np.log(np.maximum(scores, LEAST), dtype=np.float64)
    starts = np.array([c.start for c in cells])
    stops = np.array([c.stop for c in cells])
    total, weight = np.zeros((len(cells), scores.shape[1])), np.zeros((len(cells), 1))
    for window, row in zip(windows, logs, strict=True):
        first = np.searchsorted(stops, window.start, side="right")
        after = np.searchsorted(starts, window.stop, side="left")
        area = _area(window, stops[first:after]) - _area(window, starts[first:after])
        total[first:after] += area[:, None] * row
        weight[first:after] += area[:, None]
    assert (weight > 0).all(), "a cell that no window sees"
    return _normalised(np.exp(total / weight))


def merge(
    cells: Sequence[Window],
    scores: NDArray[np.floating],
    labels: Sequence[str],
    decoding: Decoding = Decoding(),
    cell_frames: Sequence[tuple[int, int]] | None = None,
) -> tuple[Segment, ...]:
    """Label every cell and join neighbours of equal label: segments that tile the cells.

    cells: sorted; cells that do not touch are never joined. scores: probabilities [cells, K].
    cell_frames: first frame and frame after the last of every cell. Labels are decided on the
    smoothed scores (for Viterbi a cell counts as often as it is longer than the usual one); the
    scores of the segments are means of the scores as given.
    """
    if not cells:
        return ()
    scores = np.asarray(scores, dtype=np.float64)
    island = np.cumsum([0, *(a.stop != b.start for a, b in pairwise(cells))])
    blocks = np.split(scores, np.flatnonzero(np.diff(island)) + 1)
    lengths = np.array([c.duration for c in cells])
    weights = np.split(lengths / np.median(lengths), np.flatnonzero(np.diff(island)) + 1)
    found = [decide(b, decoding, w) for b, w in zip(blocks, weights, strict=True)]
    choice, decided = (np.concatenate(parts) for parts in zip(*found, strict=True))
    runs = closed(Runs(np.arange(len(cells)), choice, island), lengths, decoding.merge_gap)
    runs = absorbed(runs, decided, lengths, decoding)
    bounds = [*runs.first, len(cells)]
    means = np.add.reduceat(scores * lengths[:, None], runs.first, axis=0)
    means /= np.add.reduceat(lengths, runs.first)[:, None]
    return tuple(
        _segment(cells[a:b], means[i], int(runs.label[i]), labels, cell_frames and cell_frames[a:b])
        for i, (a, b) in enumerate(pairwise(bounds))
    )


def _segment(
    cells: Sequence[Window],
    means: Floats,
    label: int,
    labels: Sequence[str],
    frames: Sequence[tuple[int, int]] | None,
) -> Segment:
    order = [int(k) for k in np.argsort(-means, kind="stable")[: ALTERNATIVES + 1]]
    others = [k for k in order if k != label][:ALTERNATIVES]
    return Segment(
        window=Window(cells[0].start, cells[-1].stop),
        label=BACKGROUND if label == NOTHING else labels[label],
        score=min(float(means.max() if label == NOTHING else means[label]), 1.0),
        label_id=None if label == NOTHING else label,
        alternatives=tuple((labels[k], min(float(means[k]), 1.0)) for k in others),
        start_frame=frames[0][0] if frames else None,
        end_frame=frames[-1][1] if frames else None,
    )


def _area(window: Window, times: Floats) -> Floats:
    """The share of the triangle over a window that lies before each time, rising from 0 to 1."""
    x = np.clip((times - window.start) / window.duration, 0, 1)
    share: Floats = np.where(x < 0.5, 2 * x * x, 1 - 2 * (1 - x) ** 2) + 1e-9 * x
    return share


def _normalised(rows: Floats) -> Floats:
    sums: Floats = rows.sum(axis=1, keepdims=True)
    return rows / sums

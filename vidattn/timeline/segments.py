"""From the scores of windows to labeled segments: fuse, smooth, threshold, merge.

Overlapping windows are fused on a grid of cells, each cell gets a label, neighbors of equal label
become one segment, and segments that are too short go to a neighbor. Cells and segments are
half-open and never overlap; time without windows, or unreadable, belongs to none.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import LEAST, NOTHING, Decoding, Labels, decode_labels
from vidattn.types import Window

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BACKGROUND = "background"
"""The label of time in which no label reaches the threshold; its `label_id` is None."""
ALTERNATIVES = 4
PAIRS = 1024
"""Pairs of a window and a cell that are fused at once; their rows fit into the CPU caches."""
MOST_TAIL_CELLS = 1000
"""Cells after the start of the last window; a limit for windows from a file."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A labeled span of a video."""

    window: Window
    label: str
    score: float
    """Mean probability of the label over the span; of the best label if it is background."""
    label_id: int | None = None
    """Index into the labels; None is background."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The next best labels and their mean probabilities, falling."""
    start_frame: int | None = None
    end_frame: int | None = None
    """Numbers of the first frame and of the one after the last; None if unknown."""
    confidence: float | None = None
    """The share of the span in which the label is right, as the model of all windows expects it;
    None for background and where another rule decided (`Decoding.smooth`)."""
    windows: int | None = None
    """Windows whose center lies in the span; None where `confidence` is never known."""

    @property
    def start(self) -> float:
        """Seconds from the first frame."""
        return self.window.start

    @property
    def stop(self) -> float:
        """Seconds from the first frame."""
        return self.window.stop


def cut_cells(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Cells with the same union as the windows: a cell starts where a window starts.

    Time after the last start is split into cells as long as the median stride. Windows that do not
    overlap are their own cells. windows: sorted.
    """
    cells: list[Window] = []
    starts = sorted({w.start for w in windows})
    for island in covered_spans(windows):
        edges = starts[bisect_left(starts, island.start) : bisect_left(starts, island.stop)]
        tail = island.stop - edges[-1]
        stride = float(np.median(np.diff(edges))) if len(edges) > 1 else tail
        count = min(max(round(tail / stride), 1), MOST_TAIL_CELLS)
        edges += [round(edges[-1] + tail * i / count, 3) for i in range(1, count)]
        edges = sorted({*edges, island.stop})
        cells += (Window(a, b) for a, b in pairwise(edges))
    return tuple(cells)


def covered_spans(windows: Iterable[Window]) -> list[Window]:
    """The union of windows as the fewest windows that do not touch, in order."""
    union: list[tuple[float, float]] = []
    for start, stop in sorted((window.start, window.stop) for window in windows):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], stop))
        else:
            union.append((start, stop))
    return [Window(*ends) for ends in union]


def span_around(windows: Sequence[Window], further: Sequence[Window]) -> Window | None:
    """From the start of the first to the end of the last window, and further spans that touch it.

    None without windows.
    """
    if not windows:
        return None
    start, stop = windows[0].start, max(window.stop for window in windows)
    for span in further:
        if span.start <= stop and span.stop >= start:
            start, stop = min(start, span.start), max(stop, span.stop)
    return Window(start, stop)


def subtract_spans(windows: Iterable[Window], holes: Iterable[Window]) -> list[list[Window]]:
    """The spans of each window outside all holes, possibly none."""
    holes = covered_spans(holes)
    if not holes:
        return [[window] for window in windows]
    starts = np.array([h.start for h in holes])
    stops = np.array([h.stop for h in holes])
    rest = []
    for window in windows:
        first = int(np.searchsorted(stops, window.start, side="right"))
        after = int(np.searchsorted(starts, window.stop, side="left"))
        inside = holes[first:after]
        edges = [window.start, *(t for h in inside for t in (h.start, h.stop)), window.stop]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        rest.append([Window(a, b) for a, b in pairs if a < b])
    return rest


def fuse_scores(
    windows: Sequence[Window],
    scores: NDArray[np.floating],
    cells: Sequence[Window],
    *,
    apart: bool = False,
) -> Floats:
    """Fuse the scores of overlapping windows: probabilities [cells, K], rows sum to 1.

    They are `average_rows` of log-probabilities. apart: whether each label has a probability of its
    own; then the log-odds are averaged. Arguments as of `average_rows`.
    """
    logs = np.maximum(scores, LEAST, dtype=np.float64)
    if apart:
        np.minimum(logs, 1 - LEAST, out=logs)
        logs /= 1 - logs
    rows = average_rows(edges_of(windows), np.log(logs, out=logs), cells)
    np.exp(rows, out=rows)
    rows /= 1 + rows if apart else rows.sum(axis=1, keepdims=True)
    return rows


def average_rows(
    windows: Floats,
    values: Floats,
    cells: Sequence[Window],
    trust: Callable[[Indices, Indices], Floats] | None = None,
) -> Floats:
    """The weighted mean [cells, K] of the rows [N, K] of all windows [N, 2] over each cell.

    The weight is the area above the cell of a triangle over the window, highest at its center: a
    model knows the middle of a window best.

    windows: starts and stops, sorted; cells: sorted, each overlapping some window. trust: another
    factor of the weight, above 0, of some windows for as many cells, given by their indices.
    """
    (starts, stops), (begins, ends) = edges_of(cells).T, windows.T
    first = np.searchsorted(stops, begins, side="right")
    after = np.searchsorted(starts, ends, side="left")
    count = len(cells) + 1
    many = np.cumsum(np.bincount(first, minlength=count) - np.bincount(after, minlength=count))
    assert (many[:-1] > 0).all(), "a cell without windows"
    rows = np.empty((len(cells), values.shape[1]))
    step = max(PAIRS // int(many.max(initial=1)), 1)
    for low in range(0, len(cells), step):
        high = min(low + step, len(cells))
        near = np.flatnonzero((first < high) & (after > low))
        window, cell = _pair_up(near, first[near].clip(low), after[near].clip(max=high))
        ends_of = begins[window], ends[window]
        area = (_area(ends_of, stops[cell]) - _area(ends_of, starts[cell]))[:, None]
        if trust is not None:
            area *= trust(window, cell)[:, None]
        at = np.searchsorted(cell, np.arange(low, high))
        rows[low:high] = np.add.reduceat(area * values[window], at) / np.add.reduceat(area, at)
    return rows


def edges_of(windows: Sequence[Window]) -> Floats:
    """Starts and stops [N, 2]."""
    return np.array([(w.start, w.stop) for w in windows], dtype=np.float64)


def _pair_up(windows: Indices, first: Indices, after: Indices) -> tuple[Indices, Indices]:
    """Every window with every cell in [first, after), in the order of the cells."""
    counts = after - first
    cells = np.arange(counts.sum()) + (first - np.cumsum(counts) + counts).repeat(counts)
    order = np.argsort(cells, kind="stable")
    return windows.repeat(counts)[order], cells[order]


def merge_cells(
    cells: Sequence[Window],
    scores: NDArray[np.floating],
    labels: Sequence[str],
    decoding: Decoding = Decoding(),
    cell_frames: Sequence[tuple[int, int]] | None = None,
    path: Labels | None = None,
) -> tuple[Segment, ...]:
    """Label every cell and merge neighbors of equal label: segments that tile the cells.

    cells: sorted; cells that do not touch are never merged. scores: probabilities [cells, K].
    cell_frames: first frame and frame after the last of every cell. Labels follow from `path`
    or from smoothed scores (for Viterbi, cells weigh as much as they are longer than the median);
    the scores of segments are means of the scores as given.
    """
    if not cells:
        return ()
    scores = np.asarray(scores, dtype=np.float64)
    island = np.cumsum([0, *(a.stop != b.start for a, b in pairwise(cells))])
    edges = np.flatnonzero(np.diff(island)) + 1
    blocks = np.split(scores, edges)
    lengths = np.array([c.duration for c in cells])
    weights = np.split(lengths / np.median(lengths), edges)
    paths = [None] * len(blocks) if path is None else np.split(path, edges)
    rows = zip(blocks, weights, paths, strict=True)
    decisions = [decode_labels(block, decoding, weight, way) for block, weight, way in rows]
    choice, smoothed = (np.concatenate(blocks) for blocks in zip(*decisions, strict=True))
    runs = merge_gaps(LabelRuns(np.arange(len(cells)), choice, island), lengths, decoding.merge_gap)
    runs = absorb_short(runs, smoothed, lengths, decoding)
    bounds = [*runs.first.tolist(), len(cells)]
    means = np.add.reduceat(scores * lengths[:, None], runs.first, axis=0)
    means /= np.add.reduceat(lengths, runs.first)[:, None]
    found = zip(pairwise(bounds), runs.label.tolist(), means, _rank(means), strict=True)
    return tuple(
        _segment(cells[a:b], row, best, label, labels, cell_frames and cell_frames[a:b])
        for (a, b), label, row, best in found
    )


def _rank(means: Floats) -> list[list[int]]:
    """The ids of the best labels of each row, falling."""
    best = np.argsort(-means, axis=1, kind="stable")[:, : ALTERNATIVES + 1]
    ranked: list[list[int]] = best.tolist()
    return ranked


def _segment(
    cells: Sequence[Window],
    means: Floats,
    best: Sequence[int],
    label: int,
    labels: Sequence[str],
    frames: Sequence[tuple[int, int]] | None,
) -> Segment:
    others = [k for k in best if k != label][:ALTERNATIVES]
    return Segment(
        window=Window(cells[0].start, cells[-1].stop),
        label=BACKGROUND if label == NOTHING else labels[label],
        score=min(float(means.max() if label == NOTHING else means[label]), 1.0),
        label_id=None if label == NOTHING else label,
        alternatives=tuple((labels[k], min(float(means[k]), 1.0)) for k in others),
        start_frame=frames[0][0] if frames else None,
        end_frame=frames[-1][1] if frames else None,
    )


def _area(windows: tuple[Floats, Floats], times: Floats) -> Floats:
    """The share, before a time, of the triangle over each window, given by its ends."""
    x = np.clip((times - windows[0]) / (windows[1] - windows[0]), 0, 1)
    share: Floats = np.where(x < 0.5, 2 * x * x, 1 - 2 * (1 - x) ** 2) + 1e-9 * x
    return share


@dataclass(frozen=True)
class LabelRuns:
    """Runs of adjacent cells with equal label."""

    first: NDArray[np.int64]
    """The first cell of each run."""
    label: NDArray[np.int64]
    """-1 is background."""
    island: NDArray[np.int64]
    """Runs of different islands do not touch."""

    def merge(self) -> LabelRuns:
        """The same labels with neighbors of equal label as one run."""
        touching = self.island[1:] == self.island[:-1]
        keep = np.concatenate([[True], ~((self.label[1:] == self.label[:-1]) & touching)])
        return LabelRuns(self.first[keep], self.label[keep], self.island[keep])


def merge_gaps(runs: LabelRuns, lengths: Floats, gap: float) -> LabelRuns:
    """Background of at most `gap` seconds between two runs of one label becomes that label."""
    runs = runs.merge()
    if gap <= 0 or len(runs.first) < 3:
        return runs
    ends = _ends(lengths)
    seconds = np.diff(ends[np.append(runs.first, len(lengths))]).round(6)
    before, label, after = runs.label[:-2], runs.label[1:-1], runs.label[2:]
    same_island = runs.island[:-2] == runs.island[2:]
    filled = (label == NOTHING) & same_island & (before == after) & (seconds[1:-1] <= gap + 1e-9)
    labels = runs.label.copy()
    labels[1:-1] = np.where(filled, before, label)
    return replace(runs, label=labels).merge()


def absorb_short(runs: LabelRuns, scores: Floats, lengths: Floats, decoding: Decoding) -> LabelRuns:
    """Give runs shorter than the minimum duration to a neighbor, the shortest first.

    scores: [cells, K], to find the neighbor that fits better.
    """
    runs = runs.merge()
    if decoding.min_duration <= 0 or len(runs.first) < 2:
        return runs
    chain = _Chain(runs, lengths)
    waiting = [(chain.seconds(run), run) for run in range(len(runs.first))]
    heapify(waiting)
    while waiting and waiting[0][0] < decoding.min_duration - 1e-9:
        seconds, run = heappop(waiting)
        near = chain.near(run) if chain.seconds(run) == seconds else []
        if not near:
            continue  # it was merged into another, or touches none
        fit = [_fit(chain.labels[n], scores, lengths, chain.cells(run), decoding) for n in near]
        # Means that differ by rounding are equal; then the neighbor before it is taken.
        after = len(near) > 1 and fit[1] > fit[0] + 1e-12
        chain.labels[run] = chain.labels[near[int(after)]]
        grown = chain.merge(run)
        heappush(waiting, (chain.seconds(grown), grown))
    left = np.flatnonzero(chain.alive)
    return LabelRuns(runs.first[left], np.array(chain.labels)[left], runs.island[left])


def _fit(label: int, scores: Floats, lengths: Floats, cells: slice, decoding: Decoding) -> float:
    """The mean score of a label over cells; background counts as much as the threshold."""
    if label == NOTHING:
        return decoding.threshold
    return float(np.average(scores[cells, label], weights=lengths[cells]))


class _Chain:
    """A linked list of runs."""

    def __init__(self, runs: LabelRuns, lengths: Floats) -> None:
        count = len(runs.first)
        self.labels: list[int] = runs.label.tolist()
        self.alive = np.ones(count, dtype=bool)
        self._first, self._island = [*runs.first.tolist(), len(lengths)], runs.island.tolist()
        self._ends = _ends(lengths).tolist()
        self._before, self._after = list(range(-1, count - 1)), list(range(1, count + 1))

    def cells(self, run: int) -> slice:
        """The cells of a run."""
        return slice(self._first[run], self._first[self._after[run]])

    def seconds(self, run: int) -> float:
        """The duration of a run; -1 once it is part of another."""
        if not self.alive[run]:
            return -1.0
        span = self.cells(run)
        return float(round(self._ends[span.stop] - self._ends[span.start], 6))

    def near(self, run: int) -> list[int]:
        """The runs that touch it, the one before it first."""
        island, count = self._island, len(self.labels)
        sides = (self._before[run], self._after[run])
        return [n for n in sides if 0 <= n < count and island[n] == island[run]]

    def merge(self, run: int) -> int:
        """Merge a run with neighbors of its label; returns the first, which stands for all."""
        for other in [n for n in self.near(run) if self.labels[n] == self.labels[run]]:
            run, gone = min(run, other), max(run, other)
            self.alive[gone] = False
            self._after[run] = self._after[gone]
            if self._after[run] < len(self.labels):
                self._before[self._after[run]] = run
        return run


def _ends(lengths: Floats) -> Floats:
    """0 and the sums of the lengths of cells."""
    return np.concatenate([[0.0], np.cumsum(lengths)])


def first_frame(seconds: float, fps: Fraction) -> int:
    """The first frame at or after a time that is known to the millisecond."""
    return max(math.ceil((round(seconds * 1000) - Fraction(1, 2)) * fps / 1000), 0)

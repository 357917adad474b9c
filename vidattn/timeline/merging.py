"""Runs of cells with equal labels: merging across gaps, absorbing short runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import NOTHING, Decoding

Floats = NDArray[np.float64]


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

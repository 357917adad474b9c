"""Cells of equal label in a row, and what joins them: closing gaps, giving up the short ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import NOTHING, Decoding

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Cells of equal label in a row: the first cell, the label and the island of each run."""

    first: NDArray[np.int64]
    label: NDArray[np.int64]
    """-1 is background."""
    island: NDArray[np.int64]
    """Runs of different islands do not touch."""

    def joined(self) -> Runs:
        """The same labels with neighbours of equal label as one run."""
        touching = self.island[1:] == self.island[:-1]
        keep = np.concatenate([[True], ~((self.label[1:] == self.label[:-1]) & touching)])
        return Runs(self.first[keep], self.label[keep], self.island[keep])

    def seconds(self, ends: Floats) -> Floats:
        """How long each run lasts; ends: 0 and how long the cells last up to the end of each."""
        return np.asarray(np.diff(ends[np.append(self.first, len(ends) - 1)]).round(6))


def merge_gaps(runs: Runs, lengths: Floats, gap: float) -> Runs:
    """Background no longer than `gap` seconds between two runs of one label becomes that label."""
    runs = runs.joined()
    if gap <= 0 or len(runs.first) < 3:
        return runs
    before, label, after = runs.label[:-2], runs.label[1:-1], runs.label[2:]
    island = runs.island
    between = (island[:-2] == island[1:-1]) & (island[1:-1] == island[2:]) & (before == after)
    short = runs.seconds(_ends(lengths))[1:-1] <= gap + 1e-9
    filled = runs.label.copy()
    filled[1:-1] = np.where((label == NOTHING) & between & short, before, label)
    return replace(runs, label=filled).joined()


def absorb_short(runs: Runs, decided: Floats, lengths: Floats, decoding: Decoding) -> Runs:
    """Give runs shorter than the least duration to a neighbour, the shortest first.

    decided: the scores [cells, K] that tell which neighbour fits better.
    """
    runs = runs.joined()
    if decoding.min_duration <= 0 or len(runs.first) < 2:
        return runs
    chain = _Chain(runs, lengths)
    waiting = [(chain.seconds(run), run) for run in range(len(runs.first))]
    heapify(waiting)
    while waiting and waiting[0][0] < decoding.min_duration - 1e-9:
        seconds, run = heappop(waiting)
        near = chain.near(run) if chain.seconds(run) == seconds else []
        if not near:
            continue  # it has been joined with another, or nothing touches it
        fit = [_fit(chain.labels[other], decided, lengths, chain, run, decoding) for other in near]
        # Equal is equal, whatever the means are rounded to: the neighbour before it is taken.
        after = len(near) > 1 and fit[1] > fit[0] + 1e-12
        chain.labels[run] = chain.labels[near[int(after)]]
        grown = chain.joined(run)
        heappush(waiting, (chain.seconds(grown), grown))
    left = np.flatnonzero(chain.there)
    return Runs(runs.first[left], np.array(chain.labels)[left], runs.island[left])


def _fit(
    label: int, decided: Floats, lengths: Floats, chain: _Chain, run: int, decoding: Decoding
) -> float:
    """How well a label fits a run: its mean score. Background is as good as the threshold: a label
    above it is better, one below is not."""
    if label == NOTHING:
        return decoding.threshold
    span = chain.cells(run)
    return float(np.average(decided[span, label], weights=lengths[span]))


class _Chain:
    """Runs that know their neighbours, so that joining some does not touch all others."""

    def __init__(self, runs: Runs, lengths: Floats) -> None:
        count = len(runs.first)
        self.labels: list[int] = runs.label.tolist()
        self.there = np.ones(count, dtype=bool)
        self._first, self._island = [*runs.first.tolist(), len(lengths)], runs.island.tolist()
        self._ends = _ends(lengths).tolist()
        self._before, self._after = list(range(-1, count - 1)), list(range(1, count + 1))

    def cells(self, run: int) -> slice:
        """The cells of a run."""
        return slice(self._first[run], self._first[self._after[run]])

    def seconds(self, run: int) -> float:
        """How long a run lasts; -1 when it is part of another by now."""
        if not self.there[run]:
            return -1.0
        span = self.cells(run)
        return float(round(self._ends[span.stop] - self._ends[span.start], 6))

    def near(self, run: int) -> list[int]:
        """The runs that touch it, the one before it first."""
        sides = (self._before[run], self._after[run])
        return [
            n for n in sides if 0 <= n < len(self.labels) and self._island[n] == self._island[run]
        ]

    def joined(self, run: int) -> int:
        """Join a run with those it touches that have its label; the first stands for all."""
        same = [n for n in self.near(run) if self.labels[n] == self.labels[run]]
        for other in same:
            gone = max(run, other)
            run = min(run, other)
            self.there[gone] = False
            self._after[run] = self._after[gone]
            if self._after[run] < len(self.labels):
                self._before[self._after[run]] = run
        return run


def _ends(lengths: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(lengths)])

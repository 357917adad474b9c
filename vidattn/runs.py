"""Cells of equal label in a row, and what joins them: closing gaps, giving up the short ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidattn.decoding import NOTHING, Decoding

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


def closed(runs: Runs, lengths: Floats, gap: float) -> Runs:
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


def absorbed(runs: Runs, decided: Floats, lengths: Floats, decoding: Decoding) -> Runs:
    """Give runs shorter than the least duration to a neighbour, the shortest first.

    decided: the scores [cells, K] that tell which neighbour fits better.
    """
    runs, ends = runs.joined(), _ends(lengths)
    while decoding.min_duration > 0:
        bounds = np.append(runs.first, len(lengths))
        seconds = runs.seconds(ends)
        touching = np.concatenate([[False], runs.island[1:] == runs.island[:-1], [False]])
        seconds[~(touching[1:] | touching[:-1])] = np.inf
        i = int(seconds.argmin())
        if seconds[i] >= decoding.min_duration - 1e-9:
            break
        span = slice(bounds[i], bounds[i + 1])
        means = np.average(decided[span], axis=0, weights=lengths[span])
        near = [j for j, touches in ((i - 1, touching[i]), (i + 1, touching[i + 1])) if touches]
        # Background is as good as the threshold: a label above it is better, one below is not.
        fit = [means[k] if (k := runs.label[j]) >= 0 else decoding.threshold for j in near]
        # Equal is equal, whatever the means are rounded to: the neighbour before it is taken.
        after = len(near) > 1 and fit[1] > fit[0] + 1e-12
        runs.label[i] = runs.label[near[int(after)]]
        runs = runs.joined()
    return runs


def _ends(lengths: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(lengths)])

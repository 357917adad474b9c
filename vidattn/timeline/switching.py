"""The most likely labels of a video, from all of its windows at once.

A window stands for the time around its center: its log-probabilities are spread over that time by a
triangle, as wide as the window and at least `REACH` strides to each side. Overlapping windows share
frames, so that each moment carries the evidence of about one window, however many see it. A hidden
Markov model then decides: a label lasts until changing to another pays for the cost of a switch,
which is the logarithm of how rare switches are, and for as long as a window at least: what is
shorter cannot be told from noise. The model learns the cost from the scores themselves, see
`vidattn.timeline.chain`. Where shot cuts are known, the nearest boundary between two cells moves to
each, and a switch there has a cost of its own, learned in the same way: videos whose labels change
at their cuts are divided there, and others are not. A label that begins at a cut may be short. A
window with a cut inside shows two things, and one of its own: of the windows around a moment, each
speaks the less for it the less it shows of the same shot. Each boundary elsewhere moves to the
moment at which the evidence turns, between two frames. Last, the same model says how probable each
label is at each moment, whatever the path: this is the confidence of segments; there windows of one
segment count for less the more of them there are, as they repeat each other's errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.chain import Bins, label_posteriors, learn_costs
from vidattn.timeline.decoding import LEAST, Labels, most_likely_path
from vidattn.timeline.segments import Indices, Segment, average_rows, edges_of
from vidattn.types import Window

Floats = NDArray[np.float64]

REACH = 1.25
"""Strides to each side that a window speaks for at least: between two windows side by side, the
evidence turns from one to the other by degrees."""
OTHER_SHOT = 1e-3
"""How much a window weighs in a shot of which it shows nothing, beside one that lies in it."""
REPEATED = 0.5
"""The correlation of the errors of two windows of one segment: what a model takes a shot for, it
takes most of its windows for."""
POSITIONS = 16
"""Places between two cells that a boundary may move to."""


@dataclass(frozen=True)
class LabelPath:
    """The most likely label of every cell, and the cells with their boundaries moved."""

    labels: Labels
    cells: tuple[Window, ...]
    """As given, but where the label changes the boundary lies where the evidence turns."""
    switch_cost: float
    """Nats, of a switch that is not at a shot cut."""
    cut_cost: float = math.nan
    """Nats, of a switch at a shot cut."""


class _Evidence:
    """What windows say about time. windows: sorted; scores: probabilities [N, K]."""

    def __init__(self, windows: Sequence[Window], scores: NDArray[np.floating]) -> None:
        self.scores, self.edges = scores, (edges := edges_of(windows))
        self.centers = edges.mean(axis=1)
        self.span = float(np.median(edges[:, 1] - edges[:, 0]))
        strides = np.diff(np.unique(edges[:, 0]))
        self.stride = min(float(np.median(strides)), self.span) if len(strides) else self.span
        self.reach = np.maximum((edges[:, 1] - edges[:, 0]) / 2, REACH * self.stride)

    def of_cells(self, cells: Sequence[Window], at_cut: NDArray[np.bool_]) -> Floats:
        """Log-evidence [cells, K], up to a constant in each row. at_cut: cells at a cut."""
        wide = np.stack([self.centers - self.reach, self.centers + self.reach], axis=1)
        logs = np.log(np.maximum(self.scores, LEAST), dtype=np.float64)
        shot = np.cumsum(at_cut)
        cuts = [cells[i].start for i in np.flatnonzero(at_cut).tolist()]
        begins, stops = np.array([-math.inf, *cuts]), np.array([*cuts, math.inf])

        def trust(window: Indices, cell: Indices) -> Floats:
            start, stop = self.edges[window].T
            seen = np.minimum(stop, stops[shot[cell]]) - np.maximum(start, begins[shot[cell]])
            return np.asarray((np.maximum(seen, 0) / (stop - start)) ** 3 + OTHER_SHOT)

        rows = average_rows(wide, logs, cells, trust if cuts else None)
        rows *= np.array([cell.duration / self.span for cell in cells])[:, None]
        return rows

    def turn(self, start: float, stop: float, times: Floats, before: int, after: int) -> float:
        """The one of some times inside [start, stop] at which the evidence turns to a label."""
        edges = np.concatenate([[start], times, [stop]])
        middles = (edges[1:] + edges[:-1]) / 2
        reach = self.reach.max()
        low, high = np.searchsorted(self.centers, (start - reach, stop + reach))
        weights = 1 - np.abs(middles[:, None] - self.centers[low:high]) / self.reach[low:high]
        weights = np.maximum(weights, 0)
        pair = np.log(np.maximum(self.scores[low:high, [before, after]], LEAST), dtype=np.float64)
        gain = weights @ (pair[:, 0] - pair[:, 1]) / np.maximum(weights.sum(axis=1), LEAST)
        total = np.cumsum(gain * np.diff(edges))[:-1]  # at every time: of what lies before it
        best = np.flatnonzero(total >= total.max() - 1e-9)
        return float(times[best[len(best) // 2]])


class PathModel:
    """A hidden Markov model of the labels of one video, given the scores of all windows.

    windows: sorted; scores: probabilities [N, K]. cells: sorted, each seen by a window; a label
    does not last beyond cells that do not touch. fps: where it is constant; boundaries then lie
    between frames. cuts: shot cuts in seconds, rising.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        scores: NDArray[np.floating],
        cells: Sequence[Window],
        fps: Fraction | None = None,
        cuts: Sequence[float] = (),
    ) -> None:
        self._windows, self._fps = _Evidence(windows, scores), fps
        self._cells, self._at_cut = _meet_cuts(cells, cuts)
        self._apart = [i for i, (a, b) in enumerate(pairwise(cells), 1) if a.stop != b.start]
        self._evidence = np.split(self._windows.of_cells(self._cells, self._at_cut), self._apart)
        self._lengths = np.array([cell.duration for cell in self._cells]) / self._windows.span
        blocks = np.split(np.arange(len(cells)), self._apart)
        self._ready = [self._ready_rows(int(rows[0]), int(rows[-1]) + 1) for rows in blocks]

    def path(self, switch_cost: float | None = None) -> LabelPath:
        """The most likely label of every cell. switch_cost: nats; None learns it. At a cut, it is
        so many nats lower as where it is learned, and 0 at least."""
        costs, labels = self._learned
        if switch_cost is not None:
            costs = np.maximum(costs + (switch_cost - costs[0]), 0.0)
            labels = self._likely(costs)
        cells = _move_boundaries(self._cells, labels, self._at_cut, self._windows, self._fps)
        return LabelPath(labels, cells, *costs.tolist())

    def posteriors(self, path: LabelPath) -> Floats:
        """The probability of every label in each cell at the costs of a path: [cells, K], rows sum
        to 1."""
        costs = np.where(self._at_cut, path.cut_cost, path.switch_cost)
        lengths = np.where(self._at_cut, 1.0, self._lengths)
        weight = self._independence(path)
        blocks = [block * weight for block in self._evidence]
        each = (blocks, np.split(costs, self._apart), np.split(lengths, self._apart))
        return np.concatenate(list(map(label_posteriors, *each)))

    def _independence(self, path: LabelPath) -> float:
        """How much each window counts among those behind one answer, whose errors repeat."""
        others = max(self._evidence[0].shape[1] - 1, 1)
        switches = int((np.diff(path.labels) != 0).sum())
        lasting = float(self._lengths.sum()) / (1 + switches)
        remembered = 1 + math.exp(min(path.switch_cost, 50.0)) / others
        windows = max(min(lasting, remembered), 1.0)
        return float(1 / (1 + (windows - 1) * REPEATED))

    @cached_property
    def _learned(self) -> tuple[Floats, Labels]:
        """The costs of a switch elsewhere and at a cut that follow from the evidence, and the most
        likely labels."""
        sure = float(self._windows.scores.max(axis=1).mean(dtype=np.float64))
        costs = learn_costs(self._bins(), sure)
        return costs, self._likely(costs)

    def _bins(self) -> Iterator[Bins]:
        """The cells of each block, joined until they are a window long: within that, what
        overlapping windows say is not independent."""
        rows = (np.split(each, self._apart) for each in (self._lengths, self._at_cut))
        for evidence, lengths, at_cut in zip(self._evidence, *rows, strict=True):
            starts = np.cumsum(lengths) - lengths
            since = starts - np.maximum.accumulate(np.where(at_cut, starts, 0.0))
            new = at_cut | (np.diff(np.floor(since + 1e-6), prepend=-1.0) != 0)
            first = np.flatnonzero(new)
            joined, longer = np.add.reduceat(evidence, first), np.add.reduceat(lengths, first)
            yield Bins(joined, longer, at_cut[first].astype(np.int64))

    def _likely(self, costs: Floats) -> Labels:
        """The most likely labels at the costs of a switch elsewhere and at a cut."""
        each = np.split(costs[self._at_cut.astype(np.int64)], self._apart)
        return np.concatenate(list(map(most_likely_path, self._evidence, each, self._ready)))

    def _ready_rows(self, first: int, after: int) -> NDArray[np.int64]:
        """For each cell of a block, that in which a label that begins there may end."""
        edges = edges_of(self._cells[first:after])
        least = self._windows.span - self._windows.stride / 2  # cells are about a stride long
        rows = np.searchsorted(edges[:, 1], edges[:, 0] + least)
        return np.where(self._at_cut[first:after], np.arange(after - first), rows)


def add_confidence(
    segments: Sequence[Segment], path: LabelPath, posteriors: Floats, windows: Sequence[Window]
) -> tuple[Segment, ...]:
    """Segments that tile the cells of a path, with the confidence in each and its windows.

    posteriors: [cells, K].
    """
    lengths = np.array([cell.duration for cell in path.cells])
    starts, stops = np.array([(s.window.start, s.window.stop) for s in segments]).T
    first = np.searchsorted([cell.start for cell in path.cells], starts)
    means = np.add.reduceat(posteriors * lengths[:, None], first)
    means /= np.add.reduceat(lengths, first)[:, None]
    centers = np.sort([window.center for window in windows])
    counts = np.searchsorted(centers, stops) - np.searchsorted(centers, starts)
    rows = zip(segments, means, counts.tolist(), strict=True)
    return tuple(
        replace(s, windows=count, confidence=None if s.label_id is None else float(row[s.label_id]))
        for s, row, count in rows
    )


def _meet_cuts(
    cells: Sequence[Window], cuts: Sequence[float]
) -> tuple[Sequence[Window], NDArray[np.bool_]]:
    """The cells with the nearest boundary moved to each cut, and whether each begins at one."""
    at_cut = np.zeros(len(cells), dtype=np.bool_)
    inner = [i for i, (a, b) in enumerate(pairwise(cells), 1) if a.stop == b.start]
    starts = np.array([cells[i].start for i in inner])
    nearest: dict[int, float] = {}
    known = cuts if inner else ()
    places = np.searchsorted((starts[1:] + starts[:-1]) / 2, known).tolist()
    for cut, place in zip(known, places, strict=True):
        i, own = inner[place], starts[place]
        if cells[i - 1].start < cut < cells[i].stop:
            nearest[i] = min(nearest.get(i, cut), cut, key=lambda time: abs(time - own))
    moved = list(cells)
    for i, cut in nearest.items():
        moved[i - 1 : i + 1] = Window(moved[i - 1].start, cut), Window(cut, moved[i].stop)
        at_cut[i] = True
    return tuple(moved), at_cut


def _move_boundaries(
    cells: Sequence[Window],
    labels: Labels,
    at_cut: NDArray[np.bool_],
    evidence: _Evidence,
    fps: Fraction | None,
) -> tuple[Window, ...]:
    moved = list(cells)
    for i in np.flatnonzero((np.diff(labels) != 0) & ~at_cut[1:]).tolist():
        first, second = cells[i], cells[i + 1]
        start, stop = (first.start + first.stop) / 2, (second.start + second.stop) / 2
        times = _between(start, stop, fps)
        if first.stop == second.start and len(times):
            edge = round(evidence.turn(start, stop, times, int(labels[i]), int(labels[i + 1])), 3)
            moved[i : i + 2] = Window(moved[i].start, edge), Window(edge, moved[i + 1].stop)
    return tuple(moved)


def _between(start: float, stop: float, fps: Fraction | None) -> Floats:
    """Places for a boundary inside (start, stop): the times of frames where these are known."""
    if fps is None:
        return np.linspace(start, stop, POSITIONS + 1)[1:-1]
    first, after = math.floor(start * fps) + 1, math.ceil(stop * fps)
    step = max((after - first) // POSITIONS, 1)
    return np.arange(first, after, step) / float(fps)

"""A hidden Markov model whose label lasts until a change pays for its cost.

Two numbers are learned of it, the costs of a switch at shot cuts and elsewhere, from the evidence
alone: expectation maximization sums the chances of a switch over a video until they stay the same.
(A count of the switches of the likeliest answer would, where scores say little, find few, make the
cost higher, and find fewer.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_COSTS = np.array([0.05, 0.0])
"""Nats, of a switch elsewhere and at a shot cut, where any label may follow."""
STARTS = (5.0, -1.0)
"""Where learning starts: log-odds of staying against going to any other label."""
ROUNDS = 6
"""Rounds from each start, at most; two or three are usual."""
PART, MOST_BINS = 500, 4000
"""From more bins, parts of equal distance are learned from."""
EACH = np.array([14.0, 15.0])
"""What learning takes for granted of shot cuts: so many switches at so many. Each shot speaks for
itself where scores say little."""
SURE, BESIDE_CUTS = np.array([4.0, 12.0]), np.array([2.0, 6.0])
"""The same of windows: in a video without cuts whose scores are sure (the less they are, the more
EACH counts), and in one with a cut in every OFTEN windows."""
OFTEN = 20
MOST_SWITCHES = np.array([0.9, 0.99])
"""Of all chances elsewhere and at cuts."""
BLIND = 0.75
"""Windows after a switch in which another one could hardly be seen: no chances of one."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Adjacent parts of a video that are about a window long."""

    evidence: Floats
    """[N, K], nats."""
    lengths: Floats
    """[N], in window lengths."""
    at_cut: NDArray[np.int64]
    """[N], 1 where a shot cut begins the part, else 0."""

    def cut_up(self) -> Iterator[Bins]:
        """Parts of at most PART bins."""
        for i in range(0, len(self.lengths), PART):
            own = slice(i, i + PART)
            yield Bins(self.evidence[own], self.lengths[own], self.at_cut[own])


def learn_costs(blocks: Iterable[Bins], sure: float) -> Floats:
    """The costs of a switch elsewhere and at a cut, in nats, [2]: the likelier ones of what is
    found from few switches and from many. sure: the mean probability of the likeliest labels."""
    parts = [part for block in blocks for part in block.cut_up()]
    some = parts[:: -(-sum(len(part.lengths) for part in parts) // MOST_BINS)]
    found = [_maximize(some, start, sure) for start in STARTS]
    return max(found, key=lambda one: one[1])[0]


def _maximize(parts: Sequence[Bins], start: float, sure: float) -> tuple[Floats, float]:
    """Costs, and the logarithm of how likely they are."""
    labels = parts[0].evidence.shape[1]
    total = sum(float(part.lengths.sum()) for part in parts)
    cuts = sum(int(part.at_cut.sum()) for part in parts)
    usual = _usual(total, cuts, sure)
    costs = np.full(2, start + math.log(max(labels - 1, 1)))
    for _ in range(ROUNDS):
        before, counts, likely = costs, np.zeros(2, np.float64), _log_prior(costs, labels, usual)
        for part in parts:
            within = np.where(part.at_cut, 1.0, part.lengths)
            expected, log = expect_switches(part.evidence, costs[part.at_cut], within)
            counts += np.bincount(part.at_cut, expected, minlength=2)
            likely += log
        chances = np.array([total - BLIND * counts[0], cuts])
        costs = _costs_of(np.stack([counts, chances], axis=1) + usual, labels)
        if np.abs(costs - before).max() < 0.01:
            break
    return costs, likely


def _usual(windows: float, cuts: int, sure: float) -> Floats:
    """Switches and chances that are taken for granted elsewhere and at cuts: [2, 2]."""
    both = sure**2  # how often two windows are right
    often = min(OFTEN * cuts / windows, 1.0)
    elsewhere = often * BESIDE_CUTS + (1 - often) * (both * SURE + (1 - both) * EACH)
    return np.stack([elsewhere, EACH])


def _log_prior(costs: Floats, labels: int, usual: Floats) -> float:
    """Of the costs of a switch elsewhere and at a cut, by what learning takes for granted."""
    share = 1 / (1 + np.exp(costs) / max(labels - 1, 1))
    switches, chances = usual.T
    return float((switches * np.log(share) + (chances - switches) * np.log(1 - share)).sum())


def _costs_of(counts: Floats, labels: int) -> Floats:
    """The log-odds of staying against going to one of the other labels. counts: switches and
    chances [2, 2]."""
    share = np.minimum(counts[:, 0] / counts[:, 1], MOST_SWITCHES)
    return np.asarray(np.maximum(np.log((1 - share) * max(labels - 1, 1) / share), LEAST_COSTS))


def label_posteriors(evidence: Floats, cost: float | Floats, lengths: Floats) -> Floats:
    """The probability of every label in each of some cells [N, K], by sums over all paths.

    evidence: [N, K], in nats; cost: of a switch within a window length, also one for each cell;
    lengths: of the cells, in window lengths. The forward and backward passes of a hidden Markov
    model (Rabiner 1989, III).
    """
    _, before, after, _ = _sum_paths(evidence, *_chances(evidence.shape[1], cost, lengths))
    before *= after
    return np.asarray(before / before.sum(axis=1, keepdims=True))


def expect_switches(
    evidence: Floats, cost: float | Floats, lengths: Floats
) -> tuple[Floats, float]:
    """The probability of a switch at the begin of each cell [N], 0.0 at the first, and the
    log-likelihood of the cost, up to a constant. Arguments as of `label_posteriors`."""
    stay, change = _chances(evidence.shape[1], cost, lengths)
    rows, before, after, likely = _sum_paths(evidence, stay, change)
    after = after[1:] * rows[1:]
    same = (before[:-1] * after).sum(axis=1)
    both = same * (stay - change)[1:] + after.sum(axis=1) * change[1:]
    return np.concatenate([[0.0], 1 - same * stay[1:] / both]), likely


def _chances(labels: int, cost: float | Floats, lengths: Floats) -> tuple[Floats, Floats]:
    """The probabilities to stay, and to change to any one other label, before each cell."""
    change = np.clip(np.exp(-np.asarray(cost)) * lengths, 1e-12, 1)  # above 0, so that no sum is
    stay = 1 / (1 + (labels - 1) * change)
    return stay, stay * change


def _sum_paths(
    evidence: Floats, stay: Floats, change: Floats
) -> tuple[Floats, Floats, Floats, float]:
    """exp(evidence) up to a factor for each cell, the sums over all paths up to each cell, with it,
    and from there on, without it: [N, K]; and the logarithm of the sum over whole paths."""
    rows = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    before, after = rows.copy(), np.ones_like(rows)
    totals = np.empty(len(rows))
    for i in range(len(rows)):
        if i:
            before[i] *= before[i - 1] * (stay[i] - change[i]) + change[i]
        totals[i] = before[i].sum()
        before[i] /= totals[i]
    for i in range(len(rows) - 2, -1, -1):
        own = after[i + 1] * rows[i + 1]
        after[i] = own * ((stay[i + 1] - change[i + 1]) / own.sum()) + change[i + 1]
    return rows, before, after, float(np.log(totals).sum())

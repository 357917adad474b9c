"""How far windows of one segment agree, beside what their scores promise.

A model that is right in 40 % of all windows, and whose scores say so, need not be wrong in others
than its neighbors: it may take all of a shot for something else, and so steadily that every change
of its answer is one of what is shown. Both can be seen without any truth, by how often two windows
of a segment that share no frame agree. The more they do, the more a change of answer counts, and
the less the answer of many windows counts for more than that of one.

Before there are segments, windows at several distances tell: they agree the less often the more
segments end between them, and by how much less tells how often those of one segment do.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.chain import USUAL_CHANCES, USUAL_SWITCHES
from vidattn.timeline.decoding import LEAST

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FEWEST, MOST = 5, 2000
"""Pairs from which anything is told, and of which it is told."""
DISTANCES = 4
"""Window lengths at most between windows that are compared before there are segments."""
USUAL_SHARE = 1 - USUAL_SWITCHES / USUAL_CHANCES
"""Of pairs of neighbors the least share that is taken to lie in one segment."""
LASTING = np.linspace(USUAL_SHARE, 0.98, 17)
"""Such shares, of which the likeliest is found."""
DOUBT = 0.5
"""Standard errors by which a share is taken to be smaller."""
POWERS = 1.25 ** np.arange(10)
"""Of the scores, that are tried; 7.5 at most."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pairs of windows of one segment."""

    logs: NDArray[np.floating]
    """Log-probabilities of the first and the second window of each pair [2, N, K]."""
    share: float
    """Of all pairs the share that has one likeliest label."""

    def expected(self, power: float = 1.0) -> float:
        """The share that scores, raised to a power, promise of windows that err independently."""
        rows = np.exp(power * (self.logs - self.logs.max(axis=2, keepdims=True)))
        one, other = 1 / rows.sum(axis=2)
        wrong = (1 - one) * (1 - other) / max(rows.shape[2] - 1, 1)
        return float((one * other + wrong).mean())

    @property
    def sharpness(self) -> float:
        """The power, 1 or more, at which scores promise as much agreement as there is."""
        place = bisect_left(POWERS[:-1].tolist(), self.share, key=self.expected)
        return float(POWERS[place])

    @property
    def dependence(self) -> float:
        """The correlation of the errors of two windows, 0 to 1: the share of the agreement that is
        more than promised."""
        promised = self.expected()
        return max(self.share - promised, 0.0) / max(1 - promised, LEAST)


def find_agreement(
    scores: NDArray[np.floating], edges: Floats, segments: NDArray[np.integer]
) -> Agreement | None:
    """How far windows agree, or None if too few can be compared.

    scores: probabilities [N, K]; edges: [N, 2], seconds, rising; segments: of each window.
    """
    first, other = _pairs(edges, segments)
    if len(first) < FEWEST:
        return None
    best = scores.argmax(axis=1)
    return Agreement(_logs(scores, first, other), float((best[first] == best[other]).mean()))


def expect_agreement(
    scores: NDArray[np.floating], edges: Floats, shots: NDArray[np.integer]
) -> Agreement | None:
    """As `find_agreement`, for segments that are not known yet. shots: of each window, which may
    have several segments.

    Of neighbors the share P lies in one segment, and fewer of windows that are farther apart, as
    segments last a window at least and any time longer. All others agree by chance.
    """
    best = scores.argmax(axis=1)
    chance = _agreement_by_chance(scores, best)
    pairs = [_pairs(edges, shots, distance) for distance in range(1, DISTANCES + 1)]
    if len(pairs[0][0]) < FEWEST:
        return None
    pairs = [pair for pair in pairs if len(pair[0])]
    shares = np.array([(best[first] == best[other]).mean() for first, other in pairs])
    counts = np.array([len(first) for first, _ in pairs]) / _windows_at_once(edges)
    spread = (shares * (1 - shares)).clip(0.02)
    lasting = _likeliest_share(shares - chance, counts / (2 * spread))
    within = chance + (shares[0] - chance) / lasting
    within = min(within, 1.0) - DOUBT * float(np.sqrt(spread[0] / counts[0]))
    return Agreement(_logs(scores, *pairs[0]), within)


def _agreement_by_chance(scores: NDArray[np.floating], best: Indices) -> float:
    """How often windows of two labels have one likeliest label, by what their scores say."""
    order = np.argsort(best)
    first = np.flatnonzero(np.diff(best[order], prepend=-1))
    together = np.add.reduceat(scores[order], first, dtype=np.float64) / scores.sum()
    likeliest, labels = together.sum(axis=1), together.sum(axis=0)
    both = np.square(likeliest).sum() - np.square(together).sum()
    return float(both / max(1 - np.square(labels).sum(), LEAST))


def _likeliest_share(more: Floats, weights: Floats) -> float:
    """The one of LASTING that explains by how much more than chance windows at rising distances
    agree. weights: of the squares of what is not explained, in nats."""
    # A label lasts a window at least, then any time longer, with no memory.
    falling = LASTING[:, None] * np.exp(np.outer(1 - 1 / LASTING, np.arange(len(more))))
    within = (weights * falling * more).sum(axis=1) / (weights * np.square(falling)).sum(axis=1)
    rest = more - np.clip(within, 0, 1)[:, None] * falling
    stays = USUAL_CHANCES - USUAL_SWITCHES
    usual = USUAL_SWITCHES * np.log(1 - LASTING) + stays * np.log(LASTING)
    return float(LASTING[np.argmax(usual - (weights * np.square(rest)).sum(axis=1))])


def _pairs(
    edges: Floats, groups: NDArray[np.integer], distance: int = 1
) -> tuple[Indices, Indices]:
    """Pairs of windows of one group that are so many windows without a common frame apart."""
    following = np.append(np.searchsorted(edges[:, 0], edges[:, 1] - 1e-6), len(edges))
    other = np.arange(len(edges))
    for _ in range(distance):
        other = following[other]
    first = np.flatnonzero(other < len(edges))
    first = first[groups[first] == groups[other[first]]]
    return first, other[first]


def _windows_at_once(edges: Floats) -> float:
    """Windows that share frames with one of them, which tell less than so many others."""
    later = np.searchsorted(edges[:, 0], edges[:, 1] - 1e-6)
    return max(float(np.median(later - np.arange(len(edges)))), 1.0)


def _logs(scores: NDArray[np.floating], first: Indices, other: Indices) -> NDArray[np.floating]:
    some = slice(None, None, -(-len(first) // MOST))
    return np.log(np.maximum(np.stack([scores[first[some]], scores[other[some]]]), LEAST))

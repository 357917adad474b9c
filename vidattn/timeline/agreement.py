"""How far windows of one segment agree, beside what their scores promise.

A model that is right in 40 % of all windows, and whose scores say so, need not be wrong in others
than its neighbors: it may take all of a shot for something else, and so steadily that every change
of its answer is one of what is shown. Both can be seen without any truth, by how often two windows
of a segment that share no frame agree. The more they do, the more a change of answer counts, and
the less the answer of many windows counts for more than that of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import LEAST

Floats = NDArray[np.float64]

FEWEST, MOST = 5, 2000
"""Pairs from which anything is told, and of which it is told."""
POWERS = 1.25 ** np.arange(10)
"""Of the scores, that are tried; 7.5 at most."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pairs of windows of one segment."""

    logs: NDArray[np.floating]
    """Log-probabilities of the first and the second window of each pair [2, N, K]."""
    share: float
    """Of all pairs the share that has one likeliest label."""
    error: float
    """Its standard error."""

    def expected(self, power: float = 1.0) -> float:
        """The share that scores, raised to a power, promise of windows that err independently."""
        rows = np.exp(power * (self.logs - self.logs.max(axis=2, keepdims=True)))
        one, other = 1 / rows.sum(axis=2)
        wrong = (1 - one) * (1 - other) / max(rows.shape[2] - 1, 1)
        return float((one * other + wrong).mean())

    @property
    def sharpness(self) -> float:
        """The power, 1 or more, at which scores promise as much agreement as there is."""
        sure = self.share - self.error
        found = (power for power in POWERS.tolist() if self.expected(power) >= sure)
        return next(found, float(POWERS[-1]))

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
    later = np.searchsorted(edges[:, 0], edges[:, 1] - 1e-6)  # the first that shares no frame
    first = np.flatnonzero(later < len(edges))
    first = first[segments[first] == segments[later[first]]]
    if len(first) < FEWEST:
        return None
    first = first[:: -(-len(first) // MOST)]
    best = scores.argmax(axis=1)
    share = float((best[first] == best[later[first]]).mean())
    overlap = max(float(np.median(later[first] - first)), 1.0)
    error = np.sqrt(share * (1 - share) * overlap / len(first))
    pairs = np.stack([scores[first], scores[later[first]]])
    return Agreement(np.log(np.maximum(pairs, LEAST)), share, float(error))

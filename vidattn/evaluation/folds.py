"""Cross-validation in whole groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidattn.io.digest import sha256

MOST_FOLDS = 5
FEW_GROUPS = 8
"""Up to so many groups are a fold each."""


def fold_groups(groups: Sequence[str], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The fold of each sample, [N], from 0 on: samples of a group share one.

    truth: [N, K], their labels. One group after another, the largest first, goes where the counts
    of its labels are lowest. Depends on names and labels alone, not on the order of the samples.
    """
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    folds = len(names) if len(names) <= FEW_GROUPS else MOST_FOLDS
    counts = np.zeros((len(names), truth.shape[1]))
    np.add.at(counts, number, truth)
    shares = counts / np.maximum(counts.sum(0), 1)
    order = sorted(range(len(names)), key=lambda n: (-counts[n].sum(), sha256(str(names[n]))))
    filled, place = np.zeros((folds, truth.shape[1])), np.zeros(len(names), np.int64)
    for n in order:
        cost = ((filled + shares[n]) ** 2 - filled**2).sum(1) + 1e-6 * filled.sum(1)
        place[n] = int(cost.argmin())
        filled[place[n]] += shares[n]
    found: NDArray[np.int64] = place[number]
    return found

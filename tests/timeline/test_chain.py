from itertools import pairwise, product
from math import exp

import numpy as np
import pytest

from vidattn.timeline.chain import Bins, expect_switches, label_posteriors, learn_costs


@pytest.mark.parametrize("cost", [0.0, 1.5, 1e9])
def test_posteriors_are_sums_over_all_paths(cost: float) -> None:
    evidence = np.random.default_rng(0).normal(0, 2, (5, 3))
    lengths = np.array([1.0, 0.5, 0.25, 0.25, 2.0])
    sums = np.zeros((5, 3))
    for path in product(range(3), repeat=5):
        weight = exp(evidence[np.arange(5), path].sum())
        for length, (a, b) in zip(lengths[1:], pairwise(path), strict=True):
            change = min(exp(-cost) * length, 1)
            weight *= (1 if a == b else change) / (1 + 2 * change)
        sums[np.arange(5), path] += weight
    posteriors = label_posteriors(evidence, cost, lengths)
    assert posteriors == pytest.approx(sums / sums.sum(axis=1, keepdims=True), abs=1e-9)


def test_expect_switches_are_sums_over_all_paths() -> None:
    evidence = np.random.default_rng(1).normal(0, 2, (5, 3))
    lengths = np.array([1.0, 0.5, 0.25, 0.25, 2.0])
    sums, total = np.zeros(5), 0.0
    for path in product(range(3), repeat=5):
        weight = exp(evidence[np.arange(5), path].sum())
        for length, (a, b) in zip(lengths[1:], pairwise(path), strict=True):
            change = min(exp(-1.5) * length, 1)
            weight *= (1 if a == b else change) / (1 + 2 * change)
        sums += weight * np.array([False, *(a != b for a, b in pairwise(path))])
        total += weight
    assert expect_switches(evidence, 1.5, lengths)[0] == pytest.approx(sums / total, abs=1e-9)


def test_costs_are_learned_from_parts_of_a_long_video_as_from_all_of_it() -> None:
    labels = np.arange(12_000) // 10 % 3
    evidence = np.log(np.where(np.eye(3, dtype=bool)[labels], 0.9, 0.05))
    part, whole = (
        learn_costs([Bins(evidence[:n], np.ones(n), np.zeros(n, np.int64))], 0.9)[0]
        for n in (3000, 12_000)
    )
    assert whole == pytest.approx(part, rel=0.01)


def test_costs_are_learned_from_all_of_a_video_of_many_short_parts() -> None:
    """As where a recorder pauses: none of these is so long that any would be left out."""
    labels = np.arange(10) // 5  # a switch in each
    evidence = np.log(np.where(np.eye(2, dtype=bool)[labels], 0.999, 0.001))
    parts = [Bins(evidence, np.ones(10), np.zeros(10, np.int64))] * 100
    share = (4 + 100) / (12 + 1000 - 0.75 * 100)
    assert learn_costs(parts, 1.0)[0] == pytest.approx(np.log((1 - share) / share), rel=0.02)

"""What is doubtful about labels: leaks between groups, repeats, likely mistakes, rare classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.data.check.dataset import FEW_ITEMS
from vidattn.io.text import count_noun
from vidattn.types import Item

ALIKE = 0.98
"""The cosine of two samples from which they may be one."""
MOST_COMPARED = 5000
"""Samples whose likeness is computed."""
SURE, ABSURD = 0.8, 0.1
"""A label is doubtful where heads that have not seen it give another one at least the first
probability, and this one at most the second."""
MOST_LISTED = 20


@dataclass(frozen=True)
class Doubt:
    """One finding, in words."""

    kind: Literal["leak", "repeat", "mistake", "rare"]
    text: str


def describe_item(item: Item) -> str:
    """The path of a sample, and its times."""
    span = item.window
    return item.path if span is None else f"{item.path} {span.start:.2f}-{span.stop:.2f} s"


def find_rare(labels: Sequence[str], counts: NDArray[np.integer | np.floating]) -> Iterator[Doubt]:
    """Classes of fewer than FEW_ITEMS."""
    rare = [
        f"{label} ({count})"
        for label, count in zip(labels, counts.tolist(), strict=True)
        if count < FEW_ITEMS
    ]
    if rare:
        text = f"fewer than {FEW_ITEMS} samples, so their metrics say little: {', '.join(rare)}"
        yield Doubt("rare", text)


def find_alike(vectors: NDArray[np.floating], items: Sequence[Item]) -> Iterator[Doubt]:
    """Samples that look like one another, in different groups or in one. vectors: [N, F]."""
    if not 2 < len(items) <= MOST_COMPARED:
        return
    scaled = vectors - vectors.mean(0)
    scaled /= np.maximum(scaled.std(0), 1e-6)
    scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)
    alike = np.triu(scaled @ scaled.T, 1)
    rows, columns = np.nonzero(alike >= ALIKE)
    for i, j in sorted(zip(rows.tolist(), columns.tolist(), strict=True))[:MOST_LISTED]:
        one, other = items[i], items[j]
        pair = f"{describe_item(one)} and {describe_item(other)}"
        if (one.group or one.path) != (other.group or other.path):
            yield Doubt("leak", f"look the same in two groups, which flatters metrics: {pair}")
        elif one.path != other.path:
            yield Doubt("repeat", f"look the same: {pair}")


def find_mistakes(
    labels: Sequence[str],
    probabilities: NDArray[np.floating],
    truth: NDArray[np.bool_],
    items: Sequence[Item],
) -> Iterator[Doubt]:
    """Samples whose label disagrees with what all others teach, the surest first.

    probabilities: [N, K] by heads that have not seen the sample; truth: [N, K].
    """
    own = np.where(truth, probabilities, 0).max(1)
    others = np.where(truth, 0, probabilities)
    sure = np.flatnonzero((others.max(1) >= SURE) & (own <= ABSURD) & truth.any(1))
    for i in sure[np.argsort(-others[sure].max(1), kind="stable")][:MOST_LISTED].tolist():
        named = " and ".join(labels[k] for k in np.flatnonzero(truth[i]).tolist())
        guess = labels[int(others[i].argmax())]
        text = f"labeled {named}, looks like {guess} ({100 * others[i].max():.0f} %)"
        yield Doubt("mistake", f"{describe_item(items[i])}: {text}")


def summarize(doubts: Sequence[Doubt]) -> str:
    """The number of findings of each kind, in a few words; empty without any."""
    names = {
        "leak": "pair in two groups",
        "repeat": "repeated sample",
        "mistake": "likely mistake",
    }
    counts = {kind: sum(doubt.kind == kind for doubt in doubts) for kind in names}
    return ", ".join(count_noun(n, names[kind]) for kind, n in counts.items() if n)

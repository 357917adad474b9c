"""What is doubtful about labels: leaks between groups, repeats, likely mistakes, rare classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
NEIGHBORS = 5
"""Samples of other groups, most alike a doubtful one, whose labels are told."""


@dataclass(frozen=True)
class Doubt:
    """One finding, in words."""

    kind: Literal["leak", "repeat", "mistake", "rare"]
    text: str
    about: Mapping[str, Any] = field(default_factory=dict)
    """Of a mistake: path, roi where it has one, start and end in seconds (null: all of it), label,
    looks_like, probability, and neighbors, the labels of the samples most alike, nearest first."""


def group_of(item: Item) -> str:
    """What a sample has in common with others that are not to be compared with it."""
    return item.group or item.path


def describe_item(item: Item) -> str:
    """The path of a sample, its area where it has one, and its times."""
    span, place = item.window, f"{item.path} ({item.roi})" if item.roi else item.path
    return place if span is None else f"{place} {span.start:.2f}-{span.stop:.2f} s"


def find_rare(labels: Sequence[str], items: Iterable[Item]) -> Iterator[Doubt]:
    """Classes of fewer than FEW_ITEMS."""
    spans = {(item.path, item.roi, item.window, k) for item in items for k in item.all_labels}
    counts = Counter(labels[k] for *_, k in spans)
    rare = [f"{label} ({counts[label]})" for label in labels if counts[label] < FEW_ITEMS]
    if rare:
        text = f"fewer than {FEW_ITEMS} samples, so their metrics say little: {', '.join(rare)}"
        yield Doubt("rare", text)


def compare_samples(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """How alike samples are, [N, N]: the cosine of their standardized embeddings [N, F]."""
    scaled = vectors - vectors.mean(0)
    scaled /= np.maximum(scaled.std(0), 1e-6)
    scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)
    return np.asarray(scaled @ scaled.T)


def find_alike(vectors: NDArray[np.floating], items: Sequence[Item]) -> Iterator[Doubt]:
    """Samples that look like one another, in different groups or in one. vectors: [N, F]."""
    if not 2 < len(items) <= MOST_COMPARED:
        return
    alike = np.triu(compare_samples(vectors), 1)
    rows, columns = np.nonzero(alike >= ALIKE)
    for i, j in sorted(zip(rows.tolist(), columns.tolist(), strict=True))[:MOST_LISTED]:
        one, other = items[i], items[j]
        pair = f"{describe_item(one)} and {describe_item(other)}"
        if group_of(one) != group_of(other):
            yield Doubt("leak", f"look the same in two groups, which flatters metrics: {pair}")
        elif one.path != other.path:
            yield Doubt("repeat", f"look the same: {pair}")


def find_mistakes(
    labels: Sequence[str],
    probabilities: NDArray[np.floating],
    truth: NDArray[np.bool_],
    items: Sequence[Item],
    vectors: NDArray[np.floating],
) -> Iterator[Doubt]:
    """Samples whose label disagrees with what all others teach, the surest first.

    probabilities: [N, K] by heads that have not seen the sample; truth: [N, K]; vectors: [N, F].
    """
    own = np.where(truth, probabilities, 0).max(1)
    others = np.where(truth, 0, probabilities)
    sure = np.flatnonzero((others.max(1) >= SURE) & (own <= ABSURD) & truth.any(1))
    alike = compare_samples(vectors) if len(sure) > 0 and len(items) <= MOST_COMPARED else None
    names = [" and ".join(labels[k] for k in np.flatnonzero(row).tolist()) for row in truth]
    groups = np.array([group_of(item) for item in items])
    for i in sure[np.argsort(-others[sure].max(1), kind="stable")][:MOST_LISTED].tolist():
        near = list[str]()
        if alike is not None:
            order = np.argsort(np.where(groups == groups[i], np.inf, -alike[i]), kind="stable")
            near = [names[n] for n in order[:NEIGHBORS] if groups[n] != groups[i]]
        yield _describe_mistake(
            items[i], names[i], labels[others[i].argmax()], others[i].max(), near
        )


def _describe_mistake(
    item: Item, label: str, guess: str, probability: float, near: Sequence[str]
) -> Doubt:
    text = f"labeled {label}, looks like {guess} ({100 * probability:.0f} %)"
    if near:
        text += f"; {near.count(guess)} of its {len(near)} nearest neighbors are {guess}"
    span = item.window
    about = {
        "path": item.path,
        **({"roi": item.roi} if item.roi else {}),
        "start": None if span is None else round(span.start, 3),
        "end": None if span is None else round(span.stop, 3),
        "label": label,
        "looks_like": guess,
        "probability": round(probability, 4),
        "neighbors": list(near),
    }
    return Doubt("mistake", f"{describe_item(item)}: {text}", about)


def summarize(doubts: Sequence[Doubt]) -> str:
    """The number of findings of each kind, in a few words; empty without any."""
    names = {
        "leak": ("pair", " in two groups"),
        "repeat": ("repeated sample", ""),
        "mistake": ("likely mistake", ""),
    }
    counts = {kind: sum(doubt.kind == kind for doubt in doubts) for kind in names}
    parts = ((count_noun(n, names[kind][0]), names[kind][1]) for kind, n in counts.items() if n)
    return ", ".join(noun + rest for noun, rest in parts)

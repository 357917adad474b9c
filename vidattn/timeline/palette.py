"""Colors of labels, the same in every file, terminal and video.

The color of a label follows from its name. Where two of the ten main labels of a timeline would
have one color, the second takes the next of its choices; with up to ten labels in a model, they are
those of the model, so that its colors are the same in all timelines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.values import TimelineValues

Color = tuple[int, int, int]
"""Red, green, blue: 0 to 255."""
LabelColors = Mapping[int | None, Color]
"""The color of every label id; None is background."""

COLORS: tuple[Color, ...] = (
    *((0x8D, 0xD2, 0xFF), (0xCF, 0x6A, 0x9D), (0xCA, 0x58, 0x05), (0x77, 0x69, 0xCA)),
    *((0xFE, 0xA7, 0xC2), (0x14, 0xC9, 0x85), (0x30, 0x8F, 0x5E), (0xB1, 0x94, 0xFE)),
    *((0xC6, 0xA3, 0x1A), (0xE2, 0xE3, 0x8A)),
)
"""On dark ground; those of the report in dark mode."""
NONE: Color = (0x4B, 0x4E, 0x53)
"""Of background."""


def label_colors(timeline: TimelineValues) -> LabelColors:
    """The colors of the labels of a timeline, whatever its post-processing."""
    return colors_of(timeline.labels, label_weights(timeline))


def colors_of(labels: Sequence[str], weights: NDArray[np.float64]) -> LabelColors:
    """As `color_slots`, as colors."""
    slots = color_slots(labels, weights)
    return {None: NONE, **{label: COLORS[slot] for label, slot in enumerate(slots)}}


def label_weights(timeline: TimelineValues) -> NDArray[np.float64]:
    """Seconds in which each label has the highest score: float64 [K]."""
    seconds = [window.duration for window in timeline.windows]
    weights = np.zeros(len(timeline.labels))
    if seconds:
        np.add.at(weights, timeline.scores.argmax(axis=1), seconds)
    return weights


def color_slots(labels: Sequence[str], weights: NDArray[np.float64]) -> list[int]:
    """A number in COLORS for every label: different ones for the ten with the largest weights."""
    main: Sequence[int] = range(len(labels))
    if len(labels) > len(COLORS):
        order = np.argsort(-weights, kind="stable")[: len(COLORS)]
        main = order[weights[order] > 0].tolist()
    choices = [_choices(label) for label in labels]
    slots, free = [choice[0] for choice in choices], set(range(len(COLORS)))
    for label in sorted(main, key=lambda k: (_digest(labels[k]), k)):
        slots[label] = next(slot for slot in choices[label] if slot in free)
        free.remove(slots[label])
    return slots


@lru_cache(maxsize=1 << 15)
def _choices(label: str) -> list[int]:
    """All numbers in COLORS, in the order in which a label would have them."""
    digest = _digest(label)
    return sorted(range(len(COLORS)), key=lambda slot: digest[slot])


def _digest(label: str) -> bytes:
    return hashlib.sha256(label.encode("utf-8", "surrogatepass")).digest()

"""Colors of labels, the same in the report, the terminal and the annotated video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from vidattn.timeline.segments import Segment

Color = tuple[int, int, int]
"""Red, green, blue: 0 to 255."""

COLORS: tuple[Color, ...] = (
    *((0x6F, 0x9D, 0xF0), (0xF0, 0xA9, 0x4A), (0x55, 0xC4, 0x92), (0xF0, 0x7A, 0x86)),
    *((0xB4, 0x8C, 0xF0), (0x4F, 0xC6, 0xD6), (0xD5, 0x9A, 0x5A), (0xF0, 0x92, 0xC6)),
    *((0xA8, 0xC8, 0x4A), (0x97, 0xAB, 0xC6)),
)
"""Of the labels with most time; those of the report in dark mode."""
REST: Color = (0x7D, 0x80, 0x86)
"""Of all other labels."""
NONE: Color = (0x4B, 0x4E, 0x53)
"""Of background."""


def label_colors(segments: Iterable[Segment]) -> dict[int | None, Color]:
    """The color of every label id in segments; None is background."""
    seconds: dict[int, float] = defaultdict(float)
    for segment in segments:
        if segment.label_id is not None:
            seconds[segment.label_id] += segment.window.duration
    order = sorted(seconds, key=lambda label: (-round(seconds[label], 3), label))
    ranked = zip(order, COLORS, strict=False)
    return {**dict.fromkeys(order, REST), **dict(ranked), None: NONE}

"""The colours of labels, one language for the report, the terminal and the annotated film."""

from __future__ import annotations

from collections.abc import Iterable

from vidattn.timeline.segments import Segment

COLOURS = (
    *((0x6F, 0x9D, 0xF0), (0xF0, 0xA9, 0x4A), (0x55, 0xC4, 0x92), (0xF0, 0x7A, 0x86)),
    *((0xB4, 0x8C, 0xF0), (0x4F, 0xC6, 0xD6), (0xD5, 0x9A, 0x5A), (0xF0, 0x92, 0xC6)),
    *((0xA8, 0xC8, 0x4A), (0x97, 0xAB, 0xC6)),
)
"""Red, green, blue: those of the report on a dark ground. They go to the labels seen longest."""
REST = (0x7D, 0x80, 0x86)
"""All further labels."""
NONE = (0x4B, 0x4E, 0x53)
"""Background."""

Color = tuple[int, int, int]


def label_colors(segments: Iterable[Segment]) -> dict[int | None, Color]:
    """The colour of every label id in segments; None is background."""
    seconds: dict[int, float] = {}
    for segment in segments:
        if segment.label_id is not None:
            before = seconds.get(segment.label_id, 0.0)
            seconds[segment.label_id] = before + segment.window.duration
    order = sorted(seconds, key=lambda label: (-round(seconds[label], 3), label))
    found: dict[int | None, Color] = dict.fromkeys(order, REST)
    found |= dict(zip(order, COLOURS, strict=False))
    return {**found, None: NONE}

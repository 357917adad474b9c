"""Numbers, times and what an answer rests on, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.timeline import Timeline

BRIEF = 0.1
"""Seconds; shorter segments are told with a digit more, or they would begin where they end."""


def round_ticks(seconds: float, decimals: int) -> int:
    """A time in units of its last digit, halves up: one rule for terminal, report and script."""
    return math.floor(seconds * 10.0**decimals + 0.5)


def decimals_for(seconds: float) -> int:
    """The decimals that the edges of a segment of so many seconds are told with."""
    return 1 if seconds > BRIEF - 1e-9 else 2


def describe_coverage(timeline: Timeline) -> str:
    """What of a film an answer rests on: "96 frames in 12 clips, one every 2 s, whole file"."""
    settings, share = timeline.settings, timeline.coverage
    part = "whole file" if share > 0.9995 else f"{100 * share:.3g} % of the file"
    if timeline.task == "classify" and settings.pool is not None and settings.clips is None:
        count = len(timeline.seen or timeline.windows)
        return f"{count_noun(count, 'window')} pooled by {settings.pool}, {part}"
    frames, step = settings.frames, settings.step_seconds
    if frames is None or step is None:
        return part  # a document of another origin need not have them
    if timeline.task == "segment":
        window, stride = settings.window_seconds, settings.stride_seconds
        if window is None or stride is None:
            return part
        return (
            f"{count_noun(len(timeline.windows), 'window')}{_spent(timeline)} of {window:.3g} s, "
            f"one every {stride:.3g} s, {count_noun(frames, 'frame')} each, {part}"
        )
    clips, crops, different = settings.clips, settings.crops, settings.different_frames
    if clips is None or crops is None or different is None:
        return part
    each = f", {crops} crops" if crops > 1 else ""
    total = frames * clips
    shown = count_noun(total, "frame") + (f" ({different} different)" if different < total else "")
    if clips > 1:
        shown += f" in {clips} clips"
    return f"{shown}, one every {step:.3g} s{each}, {part}"


def _spent(timeline: Timeline) -> str:
    """The number of windows that were not computed."""
    return "" if timeline.reused is None else f" ({timeline.reused} reused)"

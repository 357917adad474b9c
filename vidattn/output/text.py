"""Numbers, times and the coverage of a timeline as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.timeline import Timeline
    from vidattn.types import ModelInfo, Settings

SHORT = 0.1
"""Seconds; shorter segments get a second decimal, or they would end where they begin."""


def round_ticks(seconds: float, decimals: int) -> int:
    """A time in units of its last digit, halves up: one rule for terminal, report and script."""
    return math.floor(seconds * 10.0**decimals + 0.5)


def decimals_for(seconds: float) -> int:
    """The decimals of the edges of a segment of this length."""
    return 1 if seconds > SHORT - 1e-9 else 2


def format_time(seconds: float, hours: bool, decimals: int = 1) -> str:
    """M:SS.s, or H:MM:SS.s, as the script of the report writes it."""
    whole, rest = divmod(round_ticks(seconds, decimals), 10**decimals)
    minutes, whole = divmod(whole, 60)
    end = f"{whole:02d}" + (f".{rest:0{decimals}d}" if decimals else "")
    return f"{minutes // 60}:{minutes % 60:02d}:{end}" if hours else f"{minutes}:{end}"


def format_clock(seconds: float, *, decimals: int = 0) -> str:
    """Seconds as HH:MM:SS, with a fraction if asked for."""
    units = round_ticks(seconds, decimals)
    whole, fraction = divmod(units, 10**decimals)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{fraction:0{decimals}d}" if decimals else text


def model_title(model: ModelInfo) -> str:
    """The name of a model and its license: "motion-tiny (Apache-2.0)"."""
    if not (model.name or model.license):
        return "unnamed model"
    return f"{model.name or 'unnamed model'} ({model.license or 'license unknown'})"


def describe_coverage(timeline: Timeline) -> str:
    """The frames behind a timeline: "96 frames in 12 clips, one every 2 s, whole file"."""
    settings, share = timeline.settings, timeline.coverage
    pause = sum(span.duration for span in timeline.pauses)
    if share + pause / timeline.rounded_duration > 0.9995:
        part = "whole file" + (f" (a pause for {pause:.1f} s)" if pause else "")
    else:
        part = f"{100 * share:.1f} % of the file"
    part += _describe_area(settings)
    if timeline.task == "segment":
        return _describe_windows(timeline) + part
    if settings.pool is not None and settings.clips is None:
        count = count_noun(len(timeline.seen or timeline.windows), "window")
        return f"{count} pooled by {settings.pool}, {part}"
    pooled = "" if settings.pool is None else f"pooled by {settings.pool}, "
    return _describe_clips(timeline) + pooled + part


def _describe_area(settings: Settings) -> str:
    """Where the model looked: ", area left (0,0,99,99), masked 0,0,99,9"; empty for all of it."""
    where = settings.area or ""
    if settings.roi:
        where = f"{settings.roi} ({where})"
    text = f", area {where}" if where else ""
    return text + (f", masked {settings.mask.replace(';', ' and ')}" if settings.mask else "")


def _describe_windows(timeline: Timeline) -> str:
    settings = timeline.settings
    frames, window, stride = settings.frames, settings.window_seconds, settings.stride_seconds
    if frames is None or window is None or stride is None:
        return ""  # a document of another origin need not have them
    chosen = "" if settings.chosen_overlap is None else " by default"
    count = settings.different_frames
    different = "" if count is None else f" ({count} different)"
    reused = "" if timeline.reused is None else f" ({timeline.reused} reused)"
    return (
        f"{count_noun(len(timeline.windows), 'window')}{reused} of {window:.3g} s, one every "
        f"{stride:.3g} s{chosen}, {count_noun(frames, 'frame')} each{different}, "
    )


def _describe_clips(timeline: Timeline) -> str:
    settings = timeline.settings
    frames, step, clips = settings.frames, settings.step_seconds, settings.clips
    crops, different = settings.crops, settings.different_frames
    if frames is None or step is None or clips is None or crops is None or different is None:
        return ""
    total = frames * clips
    text = count_noun(total, "frame") + (f" ({different} different)" if different < total else "")
    text += f" in {clips} clips" if clips > 1 else ""
    return f"{text}, one every {step:.3g} s" + (f", {crops} crops, " if crops > 1 else ", ")

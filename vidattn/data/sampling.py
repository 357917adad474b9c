"""Arithmetic of frames, clips, windows and views: numbers in, indices out.

A frame is named by its number among `total`, or by its time: `times` holds the PTS seconds of every
frame (float64 [total], never falling), also of files whose rate varies. Frame i is on screen from
times[i] until times[i + 1], the last one for ever: a clip that reaches beyond the end of its file
repeats the last frame, and one that begins before the first frame begins with it.

The functions named `official_` reproduce the index arithmetic of the published code, quirks
included, for comparison with published scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.config import ViewConfig
from vidattn.errors import RecipeError, UsageError
from vidattn.io.text import count_noun
from vidattn.types import Crop, View, Window

Indices = NDArray[np.int64]
Times = NDArray[np.float64]

SAME_INSTANT = 1e-6
"""Seconds. A frame that little after a time counts as on screen, so that k / fps finds frame k
however the division was rounded."""
MAX_WINDOWS = 10_000_000
TSM_SPAN = 64
"""Frames that a dense clip of TSM covers."""
CROPS: dict[int, tuple[Crop, ...]] = {1: ("center",), 3: ("start", "center", "stop")}
"""Number of spatial crops -> their places, in the order of the published code."""


def clip_starts(slack: float, clips: int) -> NDArray[np.float64]:
    """Starts of clips that can be moved by `slack`: the centers of `clips` equal parts of it.

    In the unit of `slack`: float64 [clips]. A single clip is centered.
    """
    if clips < 1:
        raise UsageError(f"at least 1 clip is needed, got {clips}")
    return (np.arange(clips, dtype=np.float64) + 0.5) * (max(slack, 0.0) / clips)


def official_dense(
    frames: int, rate: float, total: int, fps: float, *, view: int = 0, views: int = 1
) -> Indices:
    """The test clip of the official Kinetics loader: int64 [frames].

    The clip spans frames * rate / 30 seconds whatever the rate of the file, its frames are spread
    over all of that span (8x32 steps by 36.4 frames, not 32), the first view starts with the file,
    and a short file repeats its last frame. One tick of the file's clock is one frame here; with a
    finer clock the official loader may start one frame later when views > 1.

    Raises UsageError. Source: official code, decoder.py.
    """
    _check(frames, total)
    _check_positive(fps, "a frame rate")
    if not 0 <= view < views:
        raise UsageError(f"view {view} is not one of {views}")
    length = rate * frames / 30 * fps
    begin = max(total - length, 0.0) * view / views
    first, last = int(begin), min(int(begin + length - 1), total - 1)
    spread = _linspace32(length - 1, frames)
    return first + np.clip(spread, 0, max(last - first, 0)).astype(np.int64)


def official_bins(frames: int, total: int) -> Indices:
    """The frames of the official Something-Something loader: int64 [frames].

    The middle of each bin; bins share their ends, which are rounded half to even. All views have
    the same frames. Source: official code, ssv2.py.
    """
    _check(frames, total)
    edges = np.round((total - 1) / frames * np.arange(frames + 1)).astype(np.int64)
    return (edges[:-1] + edges[1:]) // 2


def tsm_bins(frames: int, total: int, clip: int = 0) -> Indices:
    """The frames of TSM's test on frames spread over a video: int64 [frames].

    clip 0 takes the middle of each of `frames` equal parts, clip 1 its start; others are the same
    again. Source: code of arXiv:1811.08383, dataset.py.
    """
    _check(frames, total)
    part = total / frames
    return (part / 2 * (clip % 2 == 0) + part * np.arange(frames)).astype(np.int64)


def tsm_dense(frames: int, total: int, clip: int = 0, clips: int = 10) -> Indices:
    """The frames of TSM's test on dense clips: int64 [frames].

    Every clip has one frame in TSM_SPAN // frames, whatever the rate of the file, and goes on at
    the start of a video that ends before it. Source: code of arXiv:1811.08383, dataset.py.
    """
    _check(frames, total)
    starts = np.linspace(0, max(1, 1 + total - TSM_SPAN) - 1, clips).astype(np.int64)
    steps = np.arange(frames, dtype=np.int64) * (TSM_SPAN // frames)
    found: Indices = (starts[clip] + steps) % total
    return found


def parse_views(text: str) -> ViewConfig:
    """Read "SxT": S spatial crops (1 or 3) of T temporal clips.

    Raises UsageError; for "10x3" its hint is "did you mean 3x10?".
    """
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX\u00d7]\s*(\d{1,5})\s*", text)
    if match is None:
        raise UsageError(
            f"views {text!r}: expected SxT, spatial crops x temporal clips",
            hint="for example 3x1, the protocol of the paper: 3 spatial crops of 1 clip",
        )
    try:
        return ViewConfig(spatial=int(match[1]), clips=int(match[2]))
    except RecipeError as error:
        raise UsageError(error.message, hint=error.hint) from error


def as_views(views: ViewConfig | str | None) -> ViewConfig | None:
    """Views that may be given as text, as of `parse_views`, which raises UsageError."""
    return views if views is None or isinstance(views, ViewConfig) else parse_views(str(views))


def describe_views(config: ViewConfig) -> str:
    """The views in words: "3 spatial crops of 1 clip"."""
    return f"{count_noun(config.spatial, 'spatial crop')} of {count_noun(config.clips, 'clip')}"


def views(config: ViewConfig, clips: Sequence[Sequence[int] | Indices]) -> list[View]:
    """Every crop of every clip, all crops of the first clip first: config.spatial * config.clips.

    clips: the frame indices of each clip. Raises UsageError unless they are `config.clips`.
    """
    if len(clips) != config.clips:
        raise UsageError(f"{describe_views(config)} asked for, {len(clips)} clips given")
    return [View(tuple(map(int, c)), crop) for c in clips for crop in CROPS[config.spatial]]


def windows(duration: float, span: float, hop: float) -> tuple[Window, ...]:
    """Windows of `span` seconds every `hop` seconds whose union is exactly [0, duration).

    The last one is moved back to end at `duration`, so every window is `span` long; a file shorter
    than that is one window, [0, duration). With hop > span there are gaps between the windows, and
    the last one still ends at `duration`.

    Raises UsageError when a number is not finite and > 0, or for more than ten million windows.
    """
    count = window_count(duration, span, hop)
    if count == 1:
        return (Window(0.0, float(duration)),)
    if count > MAX_WINDOWS:
        raise UsageError(
            f"a stride of {hop:g} s makes {count:,} windows in {duration:g} s",
            hint="choose a longer stride",
        )
    starts = [i * hop for i in range(count - 1)] + [duration - span]
    stops = [start + span for start in starts[:-1]]
    if hop <= span:
        # start + span may fall short of the next start by its last bit, which would be a gap.
        stops = [max(stop, start) for stop, start in zip(stops, starts[1:], strict=True)]
    return tuple(map(Window, starts, [*stops, float(duration)]))


def window_count(duration: float, span: float, hop: float) -> int:
    """The number of windows of `windows`. Raises UsageError unless all are finite and > 0."""
    _check_positive(duration, "a duration")
    _check_positive(span, "a window")
    _check_positive(hop, "a stride")
    return 1 + math.ceil(min(max(duration - span - SAME_INSTANT, 0.0) / hop, 1e18))


def frame_at(times: Times, seconds: ArrayLike) -> Indices:
    """The frame on screen at each of `seconds`: the last with PTS <= t; int64, shaped as `seconds`.

    Before the first frame that is the first one. A PTS up to a microsecond after t counts as t.
    Raises UsageError when there are no frames or a time is not a number.
    """
    _check(1, len(times))
    wanted = np.asarray(seconds, dtype=np.float64)
    if np.isnan(wanted).any():
        raise UsageError("a time in seconds is not a number")
    found = np.searchsorted(times, wanted + SAME_INSTANT, side="right") - 1
    return np.maximum(found, 0).astype(np.int64)


def _linspace32(stop: float, count: int) -> NDArray[np.float32]:
    """`count` points from 0 to `stop` in single precision, as the official code computes them.

    The second half is counted back from `stop`; the truncation that follows makes it matter.
    """
    if count == 1:
        return np.zeros(1, np.float32)
    end = np.float32(stop)
    steps = end / np.float32(count - 1) * np.arange(count, dtype=np.float32)
    half = count // 2
    return np.concatenate([steps[:half], end - steps[: count - half][::-1]])


def _check(frames: int, total: int) -> None:
    if frames < 1:
        raise UsageError(f"a clip has at least 1 frame, got {frames}")
    if total < 1:
        raise UsageError(f"a video has at least 1 frame, got {total}")


def _check_positive(value: float, name: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a number > 0, got {value:g}")

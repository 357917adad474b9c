"""Which frames of a file a model is shown: the request, the clip config and the file in, views out.

Pure arithmetic over the times of the frames. A plan also says in words what it decided, because
what share of a film an answer rests on is part of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.config import ClipConfig, ViewConfig
from vidattn.data import sampling
from vidattn.errors import UsageError, VideoError
from vidattn.types import Settings, View, Window

Sampling = Literal["auto", "uniform", "dense"]
Times = NDArray[np.float64]

MOST_FRAMES = 65_536
SAME = 1e-6
"""Seconds by which a stride may fall short of the finest one: rounding, not intent."""
MOST_OF_A_FRAME = 1_000
"""So many windows may begin from one frame to the next, as in a time-lapse; any more are idle."""
MOST_IDLE = 10_000
"""So many idle windows a film may have, or as many as it has frames."""
DENSE_FRAMES = 96
"""Frames a dense classifier is shown of a file when nobody says how many."""


@dataclass(frozen=True)
class WindowPlan:
    """Windows over a region and the frames of each."""

    windows: tuple[Window, ...]
    """What each score stands for; they cover the region."""
    views: tuple[View, ...]
    """One for each window."""
    seen: tuple[Window, ...]
    """The stretch that each view shows: its window, or less where the stride is wider than that."""
    settings: Settings
    notes: tuple[str, ...]
    """What the user should know about how their request was read, one sentence each."""


@dataclass(frozen=True)
class ViewPlan:
    """The views that one answer is averaged over."""

    views: tuple[View, ...]
    seen: tuple[Window, ...]
    """The stretches of the file the clips stand for."""
    settings: Settings
    notes: tuple[str, ...]


def select_region(
    path: str, duration: float, start: float = 0.0, end: float | None = None
) -> Window:
    """The part [start, end) of a file, in seconds; an `end` beyond the file means its end.

    Raises UsageError when it is empty whatever the file, VideoError when the file ends before it.
    """
    if start < 0 or (end is not None and end <= start):
        until = "the end" if end is None else f"{end:g}"
        raise UsageError(f"seconds {start:g} to {until}: a part begins at 0 or later and then ends")
    require_moment(path, duration, start)
    stop = duration if end is None else min(end, duration)
    return Window(start, stop)


def require_moment(path: str, duration: float, moment: float) -> None:
    """Raise VideoError E_SHORT when a file is over by `moment`; both in seconds."""
    if moment >= duration:
        raise VideoError(
            f"{path}: ends at {duration:.2f} s, before {moment:g} s",
            code="E_SHORT",
            hint="name an earlier moment, in seconds or as HH:MM:SS",
        )


def plan_windows(
    times: Times,
    region: Window,
    clip: ClipConfig,
    *,
    frames: int | None = None,
    window: float | None = None,
    stride: float | None = None,
    overlap: float = 0.0,
    path: str = "the film",
) -> WindowPlan:
    """Windows that cover `region`, the last one moved back to end with it.

    frames: clip length, that of `clip` by default. window: seconds, by default frames x the step of
    `clip`. stride: seconds between windows, by default window x (1 - overlap); where it is wider
    than a window, each score stands for the time up to halfway to its neighbors. path: of the
    film, for messages. Raises UsageError for numbers that make no sense of any film, VideoError
    E_TOO_LARGE when there are more windows than memory for them, or out of all proportion to the
    frames.
    """
    count = _frame_count(frames, clip)
    span = count * clip.step_seconds if window is None else window
    if not 0 <= overlap < 1:
        raise UsageError(f"an overlap lies in [0, 1), got {overlap:g}")
    hop = span * (1 - overlap) if stride is None else stride
    if not (span > 0 and hop > 0):
        raise UsageError(f"windows and strides are longer than 0 s, got {span:g} and {hop:g}")
    _require_few(path, times, region, span, hop)
    step = span / count
    seen = tuple(
        Window(region.start + w.start, region.start + w.stop)
        for w in sampling.windows(region.duration, span, hop)
    )
    settings = Settings(
        frames=count,
        step_seconds=round(step, 6),
        window_seconds=round(span, 6),
        stride_seconds=round(hop, 6),
        views="1x1",
    )
    notes = [*_stretch_note(count, clip)]
    if window is not None and not math.isclose(step, clip.step_seconds, rel_tol=0.25):
        notes.append(
            f"windows of {window:g} s show a frame every {step:.3g} s; the weights were trained at "
            f"one every {clip.step_seconds:.3g} s"
        )
    if hop > span:
        notes.append(f"a stride of {hop:g} s leaves {hop - span:g} s between windows unlooked at")
    if region.duration < span:
        notes.append(
            f"the file is shorter than one window of {span:.2f} s: its last frame is repeated"
        )
    views = tuple(View(_spaced(times, region, w.start, step, count)) for w in seen)
    windows = _widened(seen, region) if hop > span else seen
    return WindowPlan(windows, views, seen, settings, tuple(notes))


def _require_few(path: str, times: Times, region: Window, span: float, hop: float) -> None:
    """Raise VideoError E_TOO_LARGE for windows that are too many, before they are made.

    A pause of days between two frames, be it a fault of the file or its purpose, is cut into as
    many windows as a film of days; all of them show the one frame.
    """
    count = sampling.window_count(region.duration, span, hop)
    if count <= MOST_IDLE:
        return
    inside = times[(times > region.start) & (times < region.stop)]
    gaps = np.diff(inside, prepend=region.start, append=region.stop)
    idle = float(np.maximum(gaps / max(hop, 1e-9) - MOST_OF_A_FRAME, 0).sum())
    if idle > max(MOST_IDLE, len(inside)):
        why = f", most of them in pauses of up to {gaps.max():,.0f} s between frames"
    elif count > sampling.MOST_WINDOWS:
        why = ""
    else:
        return
    raise VideoError(
        f"{path}: {region.duration / 86400:,.2f} days with {len(inside) + 1:,} frames make "
        f"{count:,} windows{why}",
        code="E_TOO_LARGE",
        hint="choose a longer --stride, or name the part that is meant with --start and --end",
    )


def _widened(seen: Sequence[Window], region: Window) -> tuple[Window, ...]:
    """Windows that meet halfway between those given and cover the region."""
    halfway = [(a.stop + b.start) / 2 for a, b in pairwise(seen)]
    return tuple(map(Window, [region.start, *halfway], [*halfway, region.stop]))


def plan_views(
    times: Times,
    region: Window,
    clip: ClipConfig,
    *,
    frames: int | None = None,
    mode: Sampling = "auto",
    views: ViewConfig | None = None,
) -> ViewPlan:
    """The views for one answer about `region`.

    "uniform": each clip has `frames` frames spread over the whole region. "dense": clips keep the
    length and the step of `clip` and are spread evenly; `frames` in all, rounded up to whole clips,
    or as many clips as `views` names. "auto" is `clip.sampling`.
    """
    wanted = views or ViewConfig(spatial=1, clips=1)
    dense = (clip.sampling if mode == "auto" else mode) == "dense"
    if dense:
        count, clips, seen, step = _dense_clips(region, clip, frames, views)
        starts = [w.start for w in seen]
        notes: tuple[str, ...] = ()
    else:
        count, clips = _frame_count(frames, clip), wanted.clips
        step = region.duration / count
        # Several uniform clips interleave: clip i is shifted by i/clips of a step.
        starts = [region.start + step * (i + 0.5) / clips - step / 2 for i in range(clips)]
        seen = (region,)
        notes = _stretch_note(count, clip)
    indices = [_spaced(times, region, start, step, count) for start in starts]
    planned = sampling.views(ViewConfig(wanted.spatial, clips), indices)
    settings = Settings(
        sampling="dense" if dense else "uniform",
        frames=count,
        clips=clips,
        crops=wanted.spatial,
        different_frames=len({index for clip_ in indices for index in clip_}),
        step_seconds=round(step, 6),
        views=f"{wanted.spatial}x{clips}",
    )
    return ViewPlan(tuple(planned), seen, settings, notes)


def _dense_clips(
    region: Window, clip: ClipConfig, frames: int | None, views: ViewConfig | None
) -> tuple[int, int, tuple[Window, ...], float]:
    """Clip length, number of clips, what they cover and their step."""
    span = clip.span_seconds
    if frames is not None and frames < clip.frames:
        raise UsageError(
            f"{frames} frames are fewer than the {clip.frames} of one clip of these weights",
            hint="ask for more frames, or for --sampling uniform",
        )
    if views is not None and (frames is None or views.clips > 1):
        clips = views.clips
    else:
        clips = math.ceil((frames or DENSE_FRAMES) / clip.frames)
    # No more than tile the region: a further clip would only show the same frames again.
    clips = max(1, min(clips, math.ceil(region.duration / span)))
    room = max(region.duration - span, 0.0)
    tiled = clips * span >= region.duration
    offsets = np.linspace(0, room, clips) if tiled else sampling.clip_starts(room, clips)
    starts = region.start + offsets
    seen = tuple(Window(float(s), min(float(s) + span, region.stop)) for s in starts)
    return clip.frames, clips, seen, clip.step_seconds


def _spaced(times: Times, region: Window, start: float, step: float, count: int) -> tuple[int, ...]:
    """The frames on screen in the middle of `count` steps; the ends of the region repeat."""
    seconds = start + step * (np.arange(count) + 0.5)
    seconds = np.clip(seconds, region.start, region.stop - 2 * sampling.SAME_INSTANT)
    return tuple(int(i) for i in sampling.frame_at(times, seconds))


def _frame_count(frames: int | None, clip: ClipConfig) -> int:
    if frames is not None and frames < 1:
        raise UsageError(f"a clip has at least 1 frame, got {frames}")
    if frames is not None and frames > MOST_FRAMES:
        raise UsageError(f"a clip has at most {MOST_FRAMES:,} frames, got {frames:,}")
    return frames or clip.frames


def _stretch_note(count: int, clip: ClipConfig) -> tuple[str, ...]:
    if count == clip.frames:
        return ()
    return (f"time embedding stretched from {clip.frames} to {count} frames (nearest)",)

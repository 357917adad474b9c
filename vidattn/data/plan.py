"""Plans of the frames that a model sees: a request, a clip config and the times of frames in,
views out.

A plan states its decisions in words, too: the share of a video that was seen is part of a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from vidattn.config import ClipConfig, ViewConfig
from vidattn.config.serialization import check_fields
from vidattn.data import sampling
from vidattn.data.sampling import Times
from vidattn.errors import UsageError, VideoError
from vidattn.io.text import count_noun, parse_seconds
from vidattn.types import Settings, View, Window

Sampling = Literal["auto", "uniform", "dense"]

MAX_FRAMES = 65_536
MAX_PER_FRAME = 1_000
"""Windows that may begin from one frame to the next, as in a time-lapse; any more are idle."""
MAX_IDLE = 10_000
"""Idle windows that a video may have, or as many as it has frames."""
SLOW = 1.1
"""A frame of a video that lasts so many steps of a clip makes the steps longer."""
DENSE_FRAMES = 96
"""Frames that a dense classifier sees of a file by default."""


def as_seconds(time: float | str) -> float:
    """The seconds of a time, which may be text: "90.5", "1:30.5", "00:01:30". Raises UsageError."""
    if not isinstance(time, str) and time >= 0:
        return time
    try:
        return parse_seconds(f"{time}")
    except ValueError as error:
        raise UsageError(str(error)) from None


def read_times(options: Any, *names: str) -> None:
    """Turn times of frozen options that are given as text into seconds. Raises UsageError."""
    for name in names:
        if (time := getattr(options, name)) is not None:
            object.__setattr__(options, name, as_seconds(time))


@dataclass(frozen=True)
class Windowing:
    """Settings of a sliding window. Raises UsageError for numbers that make no sense."""

    frames: int | None = None
    """Frames of a clip; None for the number that the classifier was trained with."""
    window: float | None = None
    """Seconds of a window; None for frames x the frame step the classifier was trained with."""
    stride: float | None = None
    """Seconds between the starts of windows; None for window x (1 - overlap)."""
    overlap: float | None = None
    """Fraction of a window, in [0, 1), that the next one shares; excludes stride. None: as much as
    costs little (`vidattn.inference.window_scoring`), or none with a stride."""
    start: float = 0.0
    end: float | None = None
    """Seconds as players count them, from the start of the file, or text such as "1:30"; the region
    of the video that is covered, all of it by default."""
    skip_static: float | None = None
    """Levels, in [0, 255]. A window reuses the scores of the last one computed if each of its
    frames, at the model's size, differs from that window's by at most this on average over pixels
    and colors; None computes every window."""

    def __post_init__(self) -> None:
        read_times(self, "start", "end")
        check_fields(self)
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"a clip has at least 1 frame, got {self.frames}")
        if self.stride is not None and self.overlap:
            raise UsageError("--stride and --overlap exclude each other", hint="give one of them")
        if self.skip_static is not None and not 0 <= self.skip_static <= 255:
            raise UsageError(f"levels go from 0 to 255, got {self.skip_static:g}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, without `skip_static` where it is off."""
        values = asdict(self)
        if self.skip_static is None:
            del values["skip_static"]
        return values


@dataclass(frozen=True)
class WindowPlan:
    """Windows over a region and the frames of each."""

    windows: tuple[Window, ...]
    """The time that each score stands for; they cover the region."""
    views: tuple[View, ...]
    """One for each window."""
    seen: tuple[Window, ...]
    """The span of each view: its window, or less where the stride is longer."""
    settings: Settings
    notes: tuple[str, ...]
    """Sentences for the user on how the request was read."""


@dataclass(frozen=True)
class ViewPlan:
    """The views that one result is averaged over."""

    views: tuple[View, ...]
    seen: tuple[Window, ...]
    """The spans of the clips."""
    settings: Settings
    notes: tuple[str, ...]


def select_region(
    path: str, duration: float, start: float = 0.0, end: float | None = None
) -> Window:
    """The part [start, end) of a file, in seconds; an `end` beyond the file means its end.

    Raises UsageError when it is empty for any file, VideoError when the file ends before it.
    """
    if start < 0 or (end is not None and end <= start):
        until = "the end" if end is None else f"{end:g} s"
        raise UsageError(
            f"no part from {start:g} s to {until}: it must start at 0 or later and end after that"
        )
    require_moment(path, duration, start)
    stop = duration if end is None else min(end, duration)
    return Window(start, stop)


def require_moment(path: str, duration: float, moment: float) -> None:
    """Raise VideoError E_SHORT when a file ends before `moment`; both in seconds."""
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
    asked: Windowing = Windowing(),
    path: str = "the video",
) -> WindowPlan:
    """Windows that cover `region`, the last one moved back to end with it.

    asked: of which start and end are not looked at, and no overlap is none. A window has frames x
    the step of `clip` by default, or of the video where it has fewer frames a second. Where the
    stride is longer than a window, each score stands for the time up to halfway to its neighbors.
    path: of the video, for messages.

    Raises UsageError for numbers that fit no video, VideoError E_TOO_LARGE for windows beyond
    memory, or out of all proportion to the frames.
    """
    window, stride, overlap = asked.window, asked.stride, asked.overlap or 0.0
    count = _check_frames(asked.frames, clip)
    clip, slow = _slow_down(clip, times, region) if window is None else (clip, ())
    span = count * clip.step_seconds if window is None else window
    if not 0 <= overlap < 1:
        raise UsageError(f"an overlap lies in [0, 1), got {overlap:g}")
    hop = span * (1 - overlap) if stride is None else stride
    if not (span > 0 and hop > 0):
        raise UsageError(f"windows and strides are longer than 0 s, got {span:g} and {hop:g}")
    _limit_windows(path, times, region, span, hop)
    step = span / count
    seen = tuple(w.shift(region.start) for w in sampling.windows(region.duration, span, hop))
    rows = _space_frames(times, region, np.array([w.start for w in seen]), step, count)
    views = tuple(View(tuple(row)) for row in rows)
    different = int(np.median([len(set(indices)) for indices in {view.indices for view in views}]))
    settings = Settings(
        frames=count,
        different_frames=different if different < count else None,
        step_seconds=round(step, 6),
        window_seconds=round(span, 6),
        stride_seconds=round(hop, 6),
        views="1x1",
        skip_static=asked.skip_static,
    )
    notes = list(_note_stretch(count, clip))
    if window is not None and not math.isclose(step, clip.step_seconds, rel_tol=0.25):
        notes.append(
            f"windows of {window:g} s show a frame every {step:.3g} s; the weights were trained at "
            f"one every {clip.step_seconds:.3g} s"
        )
    notes += [*slow, *_note_windows(region, span, hop, different, count)]
    windows = _widen(seen, region) if hop > span else seen
    return WindowPlan(windows, views, seen, settings, tuple(notes))


def _note_windows(
    region: Window, span: float, hop: float, different: int, count: int
) -> Iterator[str]:
    """Sentences on windows that show less than they seem to."""
    if hop > span:
        yield f"a stride of {hop:g} s leaves {hop - span:g} s between windows unseen"
    if region.duration < span:
        yield f"the part is shorter than one window of {span:.2f} s: its last frame is repeated"
    elif 2 * different <= count:
        yield (
            f"a window shows {count} frames, {different} of them different, since the video has no "
            "more: choose a longer --window"
        )


def _slow_down(
    clip: ClipConfig, times: Times, region: Window
) -> tuple[ClipConfig, tuple[str, ...]]:
    """A clip whose frames are all different in a video with fewer frames a second, and a note."""
    inside = times[(times >= region.start) & (times < region.stop)]
    gap = float(np.median(np.diff(inside))) if len(inside) > 1 else 0.0
    if gap <= SLOW * clip.step_seconds:
        return clip, ()
    note = (
        f"the video has a frame every {gap:.3g} s, and the weights were trained at one every "
        f"{clip.step_seconds:.3g} s: windows are {gap / clip.step_seconds:.3g} times as long"
    )
    return replace(clip, step_seconds=gap), (note,)


def _limit_windows(path: str, times: Times, region: Window, span: float, hop: float) -> None:
    """Raise VideoError E_TOO_LARGE for too many windows, before they are made.

    A pause of days between two frames, a fault of the file or not, would be cut into as many
    windows as a video of days, all of the same frame.
    """
    count = sampling.window_count(region.duration, span, hop)
    if count <= MAX_IDLE:
        return
    inside = times[(times > region.start) & (times < region.stop)]
    gaps = np.diff(inside, prepend=region.start, append=region.stop)
    idle = float(np.maximum(gaps / max(hop, 1e-9) - MAX_PER_FRAME, 0).sum())
    if idle > max(MAX_IDLE, len(inside)):
        why = f", most of them in pauses of up to {gaps.max():,.0f} s between frames"
    elif count > sampling.MAX_WINDOWS:
        why = ""
    else:
        return
    raise VideoError(
        f"{path}: {region.duration / 86400:,.2f} days with {len(inside) + 1:,} frames make "
        f"{count:,} windows{why}",
        code="E_TOO_LARGE",
        hint="choose a longer --stride, or a part with --start and --end",
    )


def _widen(seen: Sequence[Window], region: Window) -> tuple[Window, ...]:
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
    """The views for one result for `region`.

    "uniform": each clip has `frames` frames spread over the whole region. "dense": clips keep the
    length and the step of `clip` and are spread evenly; `frames` in all, rounded up to whole clips,
    or as many clips as `views` names. "auto" is `clip.sampling`.
    """
    wanted = views or ViewConfig(spatial=1, clips=1)
    dense = (clip.sampling if mode == "auto" else mode) == "dense"
    if dense:
        count, clips, seen, step = _place_dense_clips(region, clip, frames, views)
        starts = [w.start for w in seen]
        notes = _note_clips(frames, count, clips, wanted.clips)
    else:
        count, clips = _check_frames(frames, clip), wanted.clips
        step = region.duration / count
        # Several uniform clips interleave: clip i is shifted by i/clips of a step.
        starts = [region.start + step * (i + 0.5) / clips - step / 2 for i in range(clips)]
        seen = (region,)
        notes = _note_stretch(count, clip)
    indices = _space_frames(times, region, np.asarray(starts), step, count)
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


def count_clips(frames: int, clip: ClipConfig) -> int:
    """How many whole dense clips have `frames` in all. Raises UsageError for fewer than one has,
    and for more than MAX_FRAMES."""
    if frames < clip.frames:
        raise UsageError(
            f"{frames} frames are fewer than the {clip.frames} of one clip of these weights",
            hint="ask for more frames, or for --sampling uniform",
        )
    return math.ceil(_check_frames(frames, clip) / clip.frames)


def _place_dense_clips(
    region: Window, clip: ClipConfig, frames: int | None, views: ViewConfig | None
) -> tuple[int, int, tuple[Window, ...], float]:
    """Clip length, number of clips, their spans and their step."""
    span = clip.span_seconds
    clips = math.ceil(DENSE_FRAMES / clip.frames) if frames is None else count_clips(frames, clip)
    if views is not None and (frames is None or views.clips > 1):
        clips = views.clips
    if clips >= sampling.window_count(region.duration, span, span):
        # Another clip would repeat frames: the windows of `segment` are all there is.
        starts = [window.start for window in sampling.windows(region.duration, span, span)]
    else:
        starts = sampling.clip_starts(region.duration - span, clips).tolist()
    places = [region.start + start for start in starts]
    seen = tuple(Window(start, min(start + span, region.stop)) for start in places)
    return clip.frames, len(seen), seen, clip.step_seconds


def _space_frames(
    times: Times, region: Window, starts: Times, step: float, count: int
) -> list[list[int]]:
    """For each start the frames in the middles of `count` steps; the ends of the region repeat."""
    seconds = starts[:, None] + step * (np.arange(count) + 0.5)
    seconds = np.clip(seconds, region.start, region.stop - 2 * sampling.SAME_INSTANT)
    rows: list[list[int]] = sampling.frame_at(times, seconds).tolist()
    return rows


def _check_frames(frames: int | None, clip: ClipConfig) -> int:
    if frames is not None and frames < 1:
        raise UsageError(f"a clip has at least 1 frame, got {frames}")
    if frames is not None and frames > MAX_FRAMES:
        raise UsageError(f"at most {MAX_FRAMES:,} frames are seen, got {frames:,}")
    return frames or clip.frames


def _note_clips(frames: int | None, count: int, clips: int, asked: int) -> tuple[str, ...]:
    """A sentence where there are other clips, or in all of them other frames, than asked for."""
    if clips < asked:
        return (f"{count_noun(clips, 'clip')} instead of {asked}: more would repeat frames",)
    if frames is None or clips * count == frames:
        return ()
    whole = count_noun(clips, "whole clip")
    return (f"{clips * count} frames instead of {frames}: {whole} of {count}",)


def _note_stretch(count: int, clip: ClipConfig) -> tuple[str, ...]:
    if count == clip.frames:
        return ()
    return (
        f"the model learned clips of {clip.frames} frames: its time embedding is stretched to"
        f" {count} (nearest)",
    )

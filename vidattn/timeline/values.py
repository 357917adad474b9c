"""What a timeline is made of, before segments are found, and what its values must be."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vidattn.timeline.decoding import Decoding
from vidattn.timeline.quantize import Scores
from vidattn.types import BlankVerdict, ModelInfo, Settings, VideoInfo, Window

Unreadable = tuple[Window, str]
INTERRUPTED = "E_INTERRUPTED"
"""The reason code of time that is left to see, as the run was interrupted."""


@dataclass(frozen=True, eq=False)
class TimelineValues:
    """Windows of a video and the probabilities of the labels in each, as they were found.

    Raises ValueError if the values do not fit together or scores are not probabilities.
    """

    source: str
    """The path of the video as the user gave it."""
    labels: tuple[str, ...]
    windows: tuple[Window, ...]
    """Sorted; they may overlap. Seconds."""
    scores: Scores
    """float32 [N, K], probabilities: rows sum to 1, or to more where a pool of the highest scores
    made them (`vidattn.timeline.pooling`)."""
    task: Literal["segment", "classify"] = "segment"
    """A classification has one window and one segment, whatever `decoding` says."""
    duration: float | None = None
    """Seconds of the video; by default the end of the last window."""
    input: VideoInfo = field(default_factory=VideoInfo)
    model: ModelInfo = field(default_factory=ModelInfo)
    settings: Settings = field(default_factory=Settings)
    decoding: Decoding = Decoding(smooth="none")
    """Post-processing; by default scores are taken as they are."""
    warnings: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    """Spans that could not be read and the reason code of each."""
    seen: tuple[Window, ...] | None = None
    """The spans behind the scores if these are less than the windows: clips of a classification."""
    pauses: tuple[Window, ...] = ()
    """Spans in which the video shows one frame far longer than usual: nothing was recorded."""
    reused: int | None = None
    """Number of windows that reused earlier scores; None if that was not asked for."""
    cuts: tuple[float, ...] | None = None
    """Seconds of the shot cuts, rising; None if nothing has searched for them.
    `smooth` auto finds the labels with them."""
    blank: BlankVerdict | None = None
    """Whether anything happens at all, of a classification that asked for it."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Times and memory of this run, which differ from those of the next; none in files."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # numbers too large become inf, which is refused below
            scores = np.array(self.scores, dtype=np.float32)
        scores.setflags(write=False)
        duration = self.duration
        if duration is None:
            duration = max((w.stop for w in self.windows), default=math.nan)
        values = {
            "source": os.fspath(self.source),
            "labels": tuple(self.labels),
            "windows": tuple(self.windows),
            "scores": scores,
            "duration": float(duration),
            "warnings": tuple(self.warnings),
            "cuts": None if self.cuts is None else tuple(round(float(t), 3) for t in self.cuts),
            "unreadable": tuple((w, str(code)) for w, code in self.unreadable),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check_values(self)
        _check_scores(self)

    @property
    def several(self) -> bool:
        """Whether several labels may hold at once, so that segments may overlap."""
        return self.model.activation == "sigmoid"

    @property
    def rounded_duration(self) -> float:
        """The duration in whole milliseconds, at least one."""
        assert self.duration is not None
        return max(round(float(self.duration), 3), 0.001)

    def round_spans(self, windows: Iterable[Window]) -> tuple[Window, ...]:
        """Windows in whole milliseconds, each at least one, none beyond the duration."""
        stop = self.rounded_duration
        latest = round(stop - 0.001, 3)
        return tuple(
            Window(
                min(round(float(w.start), 3), latest),
                min(round(max(float(w.stop), round(w.start, 3) + 0.001), 3), stop),
            )
            for w in windows
        )


def _check_values(timeline: TimelineValues) -> None:
    """Raise ValueError for values of a timeline other than scores that no timeline can have."""
    duration, windows, cuts = timeline.duration, timeline.windows, timeline.cuts or ()
    if not timeline.labels:
        raise ValueError("a timeline needs labels")
    if duration is None or not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"a timeline needs a duration > 0, got {duration}")
    offset = timeline.input.start_offset
    if offset is not None and not 0 <= offset < 1e9:
        raise ValueError(f"a start offset is at least 0 s, got {offset:g}")
    if list(windows) != sorted(windows):
        raise ValueError("windows must be sorted")
    if windows and not (windows[0].start >= 0 and windows[-1].start < duration):
        raise ValueError(f"windows must start in [0, {duration:g}), the duration of the video")
    if list(cuts) != sorted(set(cuts)) or not all(0 <= t < math.inf for t in cuts):
        raise ValueError("shot cuts must be times in seconds, rising")
    thresholds = (timeline.model.thresholds or {}).values()
    if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in thresholds):
        raise ValueError("thresholds of labels must lie in [0, 1]")
    if timeline.task not in ("segment", "classify"):
        raise ValueError(f"task {timeline.task!r}: expected segment or classify")
    if timeline.task == "classify" and len(windows) > 1:
        raise ValueError(f"a classification has one window, got {len(windows)}")


def _check_scores(timeline: TimelineValues) -> None:
    """Raise ValueError for scores that are no probabilities.

    Sums may exceed 1 where the labels were pooled each for itself, and are free where each has a
    probability of its own.
    """
    scores, windows, labels = timeline.scores, len(timeline.windows), len(timeline.labels)
    if scores.shape != (windows, labels):
        raise ValueError(f"scores must be [{windows} windows, {labels} labels], got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    tolerance = 1e-3 + 1e-5 * labels  # scores are saved with 5 digits each
    sums = scores.sum(axis=1, dtype=np.float64)
    above = scores.max(axis=1, initial=0) - 1
    apart = timeline.task == "classify" and str(timeline.settings.pool).startswith(("max", "top"))
    off = np.maximum(1 - sums, above) if apart else np.abs(sums - 1)
    off = above if timeline.several else off
    if (scores < 0).any() or (off > tolerance).any():
        raise ValueError("scores must be probabilities: at least 0, and every row sums to 1")

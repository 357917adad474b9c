"""What happens in a video and when: the one result type, and its JSON document.

The document `vidattn/timeline/1` holds the scores of the windows beside the segments, so that a
saved timeline can be decoded again with another threshold, without the model and without the video.
For that to give the same segments, segments are always derived from the scores as they are saved:
times in whole milliseconds, probabilities with 5 digits, and of more than 64 classes the strongest
16 of each window (`vidattn.timeline.quantize`).

The same input and settings give the same bytes. What differs between two runs (seconds, memory)
is in `run`, which is part of the document only when asked for; files never hold it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.io.json import dumps, dumps_pretty, to_json_value
from vidattn.timeline.decoding import Decoding
from vidattn.timeline.document import SCHEMA, parse_document
from vidattn.timeline.frame_rate import first_frame
from vidattn.timeline.pooling import Pool
from vidattn.timeline.quantize import Scores, pack_scores, quantize_scores
from vidattn.timeline.segments import (
    Segment,
    covered_spans,
    cut_cells,
    fuse_scores,
    merge_cells,
    span_around,
    subtract_spans,
)
from vidattn.timeline.shot_cuts import snap_to_cuts
from vidattn.types import ModelInfo, Settings, VideoInfo, Window

Unreadable = tuple[Window, str]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Windows of a video, the probabilities of the labels in each, and the segments they make.

    Raises ValueError when the values do not fit one another or scores are not probabilities.
    """

    source: str
    """The path of the video as the user gave it."""
    labels: tuple[str, ...]
    windows: tuple[Window, ...]
    """Sorted; they may overlap. Seconds."""
    scores: Scores
    """float32 [N, K], probabilities: rows sum to 1."""
    task: Literal["segment", "classify"] = "segment"
    """A classification has one window, and one segment whatever the settings."""
    duration: float | None = None
    """Seconds of the video; by default the end of the last window."""
    input: VideoInfo = field(default_factory=VideoInfo)
    model: ModelInfo = field(default_factory=ModelInfo)
    settings: Settings = field(default_factory=Settings)
    decoding: Decoding = field(default_factory=Decoding)
    warnings: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    """Spans that could not be read and the reason code of each."""
    seen: tuple[Window, ...] | None = None
    """What the scores rest on if that is less than the windows: the clips of a classification."""
    reused: int | None = None
    """How many of the windows took over the scores of an earlier one; None as above."""
    cuts: tuple[float, ...] | None = None
    """Seconds at which a new shot begins, rising; None when nobody has looked for cuts."""
    run: Mapping[str, Any] = field(default_factory=dict)
    cell_frames: tuple[tuple[int, int], ...] | None = None
    """First frame and frame after the last of every cell; made from `frame_times`."""
    frame_times: InitVar[NDArray[np.float64] | None] = None
    """PTS seconds of all frames, float64 [frames]; turns times into frame numbers."""

    def __post_init__(self, frame_times: NDArray[np.float64] | None) -> None:
        with np.errstate(over="ignore"):  # what is too large becomes inf and is refused below
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
        _check(self)
        if frame_times is not None:
            object.__setattr__(self, "cell_frames", _frames_of(self.cells, frame_times))
        if self.cell_frames is not None and len(self.cell_frames) != len(self.cells):
            raise ValueError(f"{len(self.cell_frames)} cell frames for {len(self.cells)} cells")

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """What happens when: segments that tile all that was seen and could be read, in order."""
        if not self.cells:
            return ()
        decoding = Decoding() if self.task == "classify" else self.decoding
        found = merge_cells(self.cells, self.fused, self.labels, decoding, self.cell_frames)
        if not (decoding.snap and self.cuts):
            return found
        return snap_to_cuts(found, self.cuts, self.reach, self._frame_at)

    @cached_property
    def cells(self) -> tuple[Window, ...]:
        """What segments are made of: spans seen by the same windows, without what was not read."""
        return tuple(part for parts in self._parts for part in parts)

    @cached_property
    def fused(self) -> NDArray[np.float64]:
        """The scores of overlapping windows in one: probabilities [cells, K], rows sum to 1."""
        scores = quantize_scores(self.scores)
        if self.task == "classify" or not self.windows:
            return scores
        rows = fuse_scores(self._spans, scores, self._grid)
        counts = [len(parts) for parts in self._parts]
        return rows if set(counts) == {1} else rows.repeat(counts, axis=0)

    @property
    def reach(self) -> float:
        """Seconds that a boundary moves at most to meet a shot cut: half a window."""
        return float(np.median([w.duration for w in self._spans])) / 2 if self.windows else 0.0

    @cached_property
    def part(self) -> Window:
        """The part of the video that was asked for: all windows, and what could not be read
        between and beside them. Shares of labels are shares of it."""
        return span_around(self._spans, self._lost) or Window(0.0, self._stop)

    @property
    def is_whole(self) -> bool:
        """Whether that part is all of the video, to half a hundredth of a second."""
        return self.part.start < 0.005 and self.part.stop > self._stop - 0.005

    @property
    def coverage(self) -> float:
        """The share of the video, 0 to 1, that the scores rest on."""
        seen = covered_spans(_snapped(self.windows if self.seen is None else self.seen, self._stop))
        left = [part.duration for parts in subtract_spans(seen, self._lost) for part in parts]
        return min(sum(left) / self._stop, 1.0)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The strongest labels and their mean probability over all windows, falling."""
        if not self.windows:
            return []
        means = self.scores.mean(axis=0, dtype=np.float64)
        return [
            (self.labels[k], float(means[k])) for k in np.argsort(-means, kind="stable")[:count]
        ]

    def decoded(self, **changes: Any) -> Timeline:
        """The same scores with other settings, named as in `Decoding`: threshold, smooth, ..."""
        return replace(self, decoding=replace(self.decoding, **changes))

    def pooled(self, pool: Pool) -> Timeline:
        """One answer for all windows together, as a classification has it."""
        if not self.windows:
            return replace(self, task="classify", cell_frames=None)
        whole = Window(self._spans[0].start, max(w.stop for w in self._spans))
        frames = self.cell_frames
        return replace(
            self,
            task="classify",
            windows=(whole,),
            scores=pool(self.scores)[None].astype(np.float32),
            settings=replace(self.settings, pool=str(pool)),
            seen=self.windows if self.seen is None else self.seen,
            cell_frames=frames and ((frames[0][0], frames[-1][1]),),
        )

    def to_dict(self, *, run: bool = False, scores: bool = True) -> dict[str, Any]:
        """The document `vidattn/timeline/1` as plain values; scores: whether with those."""
        decoding = {} if self.task == "classify" else asdict(self.decoding)
        source = {"path": self.source, "duration": self._stop}
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "task": self.task,
            "input": source | to_json_value(self.input.to_dict()),
            "model": to_json_value(self.model.to_dict()) | {"classes": len(self.labels)},
            "settings": to_json_value(self.settings.to_dict()) | decoding,
            "coverage": self._coverage_dict(),
            "segments": [_segment_dict(s) for s in self.segments],
            "labels": self.totals(),
            **({} if self.cuts is None else {"cuts": list(self.cuts)}),
            "warnings": list(self.warnings),
            **({"scores": self._scores_dict()} if scores else {}),
        }
        return {**document, "run": to_json_value(self.run)} if run else document

    def to_json(self, *, indent: int | None = 2, run: bool = False) -> str:
        """The document as text: a line per segment and window; with indent=None one line in all.

        Always valid UTF-8, without bare control characters, NaN or Infinity. run: with the figures
        of this run, which differ from those of the next.
        """
        document = self.to_dict(run=run)
        return dumps(document) if indent is None else dumps_pretty(document, indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Timeline:
        """Read a document that `to_json` wrote; its segments come out the same.

        Raises InputError when it is not one, naming what is wrong.
        """
        return parse_document(cls, text)

    @property
    def _stop(self) -> float:
        """The duration in whole milliseconds, at least one."""
        assert self.duration is not None
        return max(round(float(self.duration), 3), 0.001)

    @cached_property
    def _spans(self) -> tuple[Window, ...]:
        return _snapped(self.windows, self._stop)

    def _frame_at(self, time: float) -> int | None:
        """The first frame at or after a time; None where the rate varies, for nobody knows then."""
        if self.input.vfr is not False or self.input.fps is None:
            return None
        return first_frame(time, self.input.fps)

    @cached_property
    def _lost(self) -> list[Window]:
        return covered_spans(_snapped((w for w, _ in self.unreadable), self._stop))

    @cached_property
    def _parts(self) -> list[list[Window]]:
        """Of each cell of the grid, the parts that could be read; a classification is one cell."""
        if self.task == "classify":
            return [[w] for w in self._spans]
        return subtract_spans(self._grid, self._lost)

    @cached_property
    def _grid(self) -> tuple[Window, ...]:
        return cut_cells(self._spans)

    def _coverage_dict(self) -> dict[str, Any]:
        coverage: dict[str, Any] = {
            "windows": len(self.windows),
            **({} if self.reused is None else {"reused": self.reused}),
            "fraction": round(self.coverage, 5),
            "part": _pair(self.part),
            "unreadable": [_pair(w) for w in _snapped((w for w, _ in self.unreadable), self._stop)],
            "reasons": [code for _, code in self.unreadable],
        }
        if self.seen is not None:
            coverage["seen"] = [_pair(w) for w in _snapped(self.seen, self._stop)]
        return coverage

    def totals(self) -> list[dict[str, Any]]:
        """Seconds, share of `part` and number of segments of each label, the longest first."""
        of: dict[str, list[float]] = {}
        for segment in self.segments:
            of.setdefault(segment.label, []).append(segment.window.duration)
        rows = [(label, round(sum(d), 3), len(d)) for label, d in of.items()]
        return [
            {
                "label": label,
                "seconds": s,
                "share": round(s / self.part.duration, 5),
                "count": count,
            }
            for label, s, count in sorted(rows, key=lambda row: (-row[1], row[0]))
        ]

    def _scores_dict(self) -> dict[str, Any]:
        saved: dict[str, Any] = {
            "labels": list(self.labels),
            "windows": [_pair(w) for w in self._spans],
        }
        if self.cell_frames is not None:
            saved["frames"] = [list(pair) for pair in self.cell_frames]
        return {**saved, **pack_scores(self.scores)}


def _check(timeline: Timeline) -> None:
    scores, count = timeline.scores, len(timeline.labels)
    shape = (len(timeline.windows), count)
    duration = timeline.duration
    if not count:
        raise ValueError("a timeline needs labels")
    if duration is None or not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"a timeline needs a duration > 0, got {duration}")
    if scores.shape != shape:
        raise ValueError(f"scores [windows, labels] must be {shape}, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    # Rows that were saved with 5 digits each add up to 1 only so well.
    off = 1e-3 + 1e-5 * count
    if (scores < 0).any() or (np.abs(scores.sum(axis=1, dtype=np.float64) - 1) > off).any():
        raise ValueError("scores must be probabilities: not below 0, and every row adds up to 1")
    windows = timeline.windows
    if list(windows) != sorted(windows):
        raise ValueError("windows must be sorted")
    if windows and not (windows[0].start >= 0 and windows[-1].start < duration):
        raise ValueError(f"windows must begin in [0, {duration:g}), the duration of the video")
    cuts = timeline.cuts or ()
    if list(cuts) != sorted(set(cuts)) or not all(0 <= t < math.inf for t in cuts):
        raise ValueError("cuts are times in seconds, rising")
    if timeline.task not in ("segment", "classify"):
        raise ValueError(f"task {timeline.task!r}: expected segment or classify")
    if timeline.task == "classify" and len(windows) > 1:
        raise ValueError(f"a classification has one window, got {len(windows)}")


def _snapped(windows: Iterable[Window], stop: float) -> tuple[Window, ...]:
    """Windows in whole milliseconds, each at least one, none beyond `stop`."""
    return tuple(
        Window(
            min(round(float(w.start), 3), round(stop - 0.001, 3)),
            min(round(max(float(w.stop), round(w.start, 3) + 0.001), 3), stop),
        )
        for w in windows
    )


def _frames_of(cells: Sequence[Window], times: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """First frame and frame after the last of each cell: those that begin in it.

    Cells are in whole milliseconds and frames are not, so half of one is allowed for.
    """
    half = 0.0005 + 1e-9
    starts = np.searchsorted(times, np.array([c.start for c in cells]) - half)
    stops = np.searchsorted(times, np.array([c.stop for c in cells]) - half)
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))


def _segment_dict(segment: Segment) -> dict[str, Any]:
    return {
        "start": segment.window.start,
        "end": segment.window.stop,
        "start_frame": segment.start_frame,
        "end_frame": segment.end_frame,
        "label": segment.label,
        "label_id": segment.label_id,
        "score": round(segment.score, 5),
        "alternatives": [{"label": k, "score": round(s, 5)} for k, s in segment.alternatives],
    }


def _pair(window: Window) -> list[float]:
    return [window.start, window.stop]

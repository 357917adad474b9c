"""The segments of a timeline, which follow from its scores and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidattn.timeline.decoding import Decoding
from vidattn.timeline.pooling import Pool
from vidattn.timeline.quantize import round_scores
from vidattn.timeline.segments import (
    Segment,
    covered_spans,
    cut_cells,
    first_frame,
    fuse_scores,
    merge_cells,
    span_around,
    subtract_spans,
)
from vidattn.timeline.several import (
    EVEN_ODDS,
    add_background,
    hold_by_rule,
    merge_track,
    pair_with_absence,
    split_cells,
    strongest,
)
from vidattn.timeline.shot_cuts import snap_to_cuts
from vidattn.timeline.switching import LabelPath, PathModel, add_confidence
from vidattn.timeline.values import INTERRUPTED, TimelineValues
from vidattn.types import Window


@dataclass(frozen=True, eq=False)
class LabeledTimeline(TimelineValues):
    """The scores of windows, and the labels of the time between its cuts that follow from them."""

    cell_frames: tuple[tuple[int, int], ...] | None = None
    """First frame and frame after the last of every cell; made from `frame_times`."""
    frame_times: InitVar[NDArray[np.float64] | None] = None
    """PTS seconds of all frames, float64 [frames]; turns times into frame numbers."""

    def __post_init__(self, frame_times: NDArray[np.float64] | None) -> None:
        super().__post_init__()
        if frame_times is not None:
            object.__setattr__(self, "cell_frames", _frame_ranges(self.cells, frame_times))
        if self.cell_frames is not None and len(self.cell_frames) != len(self.cells):
            raise ValueError(f"{len(self.cell_frames)} cell frames for {len(self.cells)} cells")

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Labeled segments that tile everything that was covered and could be read, in order.

        Where several labels may hold at once, segments of different labels overlap.
        """
        if not self.cells:
            return ()
        decoding = Decoding(smooth="none") if self.task == "classify" else self.decoding
        if self.several:
            return self._find_tracks(decoding)
        cells, frames, path = self.cells, self.cell_frames, None
        if self.path is not None:
            cells, path = self.path.cells, self.path.labels
            frames = self._move_frames(cells)
        segments = merge_cells(cells, self.cell_scores, self.labels, decoding, frames, path)
        if self.path is not None:
            posteriors = self._path_model.posteriors(self.path)
            return add_confidence(segments, self.path, posteriors, self._spans)
        if not (decoding.snap and self.cuts):
            return segments
        return snap_to_cuts(segments, self.cuts, self.snap_distance, self._frame_at)

    @cached_property
    def single_track(self) -> tuple[Segment, ...]:
        """As `segments`, but never overlapping: of labels that hold at once, the strongest."""
        if not self.several or not self.cells:
            return self.segments
        cells, frames, origin = split_cells(self.cells, self.cell_frames, self.segments)
        path = strongest(cells, self.segments, self._thresholds)
        rule = Decoding(smooth="none", min_duration=self.decoding.min_duration)
        return merge_cells(cells, self.cell_scores[origin], self.labels, rule, frames, path)

    @property
    def _thresholds(self) -> list[float]:
        """Of labels that may hold at once; one of `decoding` above 0 takes the place of all."""
        known = self.model.thresholds or {}
        return [self.decoding.threshold or known.get(one, EVEN_ODDS) for one in self.labels]

    def _find_tracks(self, decoding: Decoding) -> tuple[Segment, ...]:
        """The segments of labels that may hold at once."""
        tracks = [self._find_track(k, one, decoding) for k, one in enumerate(self._thresholds)]
        pairs = ((k, one) for k, track in enumerate(tracks) for one in track)
        found = [replace(one, label_id=k) for k, one in pairs if one.label_id is not None]
        given = self.cells, self.cell_scores, self.labels, self.cell_frames
        return add_background(found, *given)

    def _find_track(self, k: int, least: float, decoding: Decoding) -> tuple[Segment, ...]:
        """The segments of one of several labels, background included. least: its threshold."""
        if decoding.uses_all_windows:
            return self._likely_track(k, least)
        cells, scores = self.cells, self.cell_scores[:, k]
        holds = hold_by_rule(scores, least, cells, decoding)
        given = scores, self.labels[k], least, decoding, self.cell_frames, holds
        return merge_track(cells, *given)

    def _likely_track(self, k: int, least: float) -> tuple[Segment, ...]:
        """The segments of one of several labels, from all windows at once."""
        scores, (fps, cuts) = self._rounded_scores[:, k], (self._constant_fps, self.cuts or ())
        if scores.max() < least:
            return ()
        model = PathModel(self._spans, pair_with_absence(scores, least), self.cells, fps, cuts)
        path = self._place_path(model.path(self.decoding.switch_cost))
        frames, holds = self._move_frames(path.cells), path.labels == 0
        given = self.cell_scores[:, k], self.labels[k], least, self.decoding, frames, holds
        segments = merge_track(path.cells, *given)
        return add_confidence(segments, path, model.posteriors(path)[:, :1], self._spans)

    @cached_property
    def path(self) -> LabelPath | None:
        """The most likely label of every cell, for `smooth` auto; None for the other rules."""
        if not self._has_path:
            return None
        return self._place_path(self._path_model.path(self.decoding.switch_cost))

    @property
    def _has_path(self) -> bool:
        if self.task == "classify" or self.several:
            return False
        return self.decoding.uses_all_windows and bool(self.cells)

    def paths_at(self, switch_costs: Iterable[float]) -> list[LabelPath]:
        """As `path`, for each of some costs of a switch, in nats."""
        return [self._place_path(self._path_model.path(cost)) for cost in switch_costs]

    def _place_path(self, path: LabelPath) -> LabelPath:
        """Leaves edges where they are, if frames are known at the edges of cells only."""
        known = self.cell_frames is not None and self._constant_fps is None
        return replace(path, cells=self.cells) if known else path

    @cached_property
    def _path_model(self) -> PathModel:
        fps, cuts = self._constant_fps, self.cuts or ()
        return PathModel(self._spans, self._rounded_scores, self.cells, fps, cuts)

    @cached_property
    def cells(self) -> tuple[Window, ...]:
        """The units of segments: readable spans that are each covered by the same windows."""
        return tuple(cell for cells in self._readable_cells for cell in cells)

    @cached_property
    def cell_scores(self) -> NDArray[np.float64]:
        """The fused scores of overlapping windows: probabilities [cells, K], rows sum to 1."""
        if self.task == "classify" or not self.windows:
            return self._rounded_scores
        rows = fuse_scores(self._spans, self._rounded_scores, self._grid, apart=self.several)
        return rows.repeat([len(cells) for cells in self._readable_cells], axis=0)

    @property
    def snap_distance(self) -> float:
        """Seconds that a boundary moves at most to meet a shot cut: half a window."""
        return float(np.median([w.duration for w in self._spans])) / 2 if self.windows else 0.0

    @cached_property
    def part(self) -> Window:
        """The requested part of the video: all windows, and unreadable spans between and beside
        them. Shares of labels are shares of it."""
        return span_around(self._spans, self._unreadable) or Window(0.0, self.rounded_duration)

    @cached_property
    def seen_part(self) -> Window:
        """`part` without what an interrupted run has left to see."""
        known = self.round_spans(w for w, code in self.unreadable if code != INTERRUPTED)
        return span_around(self._spans, covered_spans(known)) or self.part

    @cached_property
    def is_whole(self) -> bool:
        """Whether that part is all of the video, to half a hundredth of a second."""
        return self.part.start < 0.005 and self.part.stop > self.rounded_duration - 0.005

    @cached_property
    def coverage(self) -> float:
        """The share of the video, 0 to 1, behind the scores; a pause is nothing to be seen."""
        seen = covered_spans(self.round_spans(self.windows if self.seen is None else self.seen))
        readable = subtract_spans(seen, [*self._unreadable, *self.round_spans(self.pauses)])
        seconds = sum(w.duration for spans in readable for w in spans)
        return min(seconds / self.rounded_duration, 1.0)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The labels with the highest mean probability over all windows, falling."""
        if not self.windows:
            return []
        means = self._recorded_scores.mean(axis=0, dtype=np.float64)
        order = np.argsort(-means, kind="stable")[:count]
        return [(self.labels[k], float(means[k])) for k in order]

    def totals(self) -> list[dict[str, Any]]:
        """Seconds, share of `part` and number of segments of each label, the longest first."""
        durations: dict[str, list[float]] = {}
        for segment in self.segments:
            durations.setdefault(segment.label, []).append(segment.window.duration)
        rows = [(label, round(sum(times), 3), len(times)) for label, times in durations.items()]
        return [
            {
                "label": label,
                "seconds": seconds,
                "share": round(seconds / self.part.duration, 5),
                "count": count,
            }
            for label, seconds, count in sorted(rows, key=lambda row: (-row[1], row[0]))
        ]

    def with_decoding(self, **changes: Any) -> Self:
        """The same scores with other settings of `Decoding`: threshold, smooth, ..."""
        changed = replace(self, decoding=replace(self.decoding, **changes))
        if changes.keys() & {"kernel", "switch_cost"}:
            changed.decoding.require_effect()
        if changed._has_path:  # the costs follow from the scores alone: they are learned once
            vars(changed)["_path_model"] = self._path_model
        return changed

    def from_file_start(self) -> Self:
        """The same with times as players count them, from the start of the file.

        They differ by `input.start_offset`, which is 0.0 in the result, where the pictures begin
        later than the file; otherwise the timeline itself. Frame numbers stay.
        """
        offset = round(self.input.start_offset or 0.0, 3)
        if not offset:
            return self
        moved = replace(
            self,
            windows=tuple(w.shift(offset) for w in self._spans),
            duration=self.rounded_duration + offset,
            input=replace(self.input, start_offset=0.0),
            unreadable=tuple((w.shift(offset), code) for w, code in self.unreadable),
            pauses=tuple(w.shift(offset) for w in self.pauses),
            seen=None if self.seen is None else tuple(w.shift(offset) for w in self.seen),
            cuts=None if self.cuts is None else tuple(time + offset for time in self.cuts),
        )
        # Values that would be others if they were computed again.
        moved.__dict__["segments"] = tuple(
            replace(s, window=s.window.shift(offset)) for s in self.segments
        )
        moved.__dict__.update(is_whole=self.is_whole, coverage=self.coverage)
        return moved

    def pool_windows(self, pool: Pool) -> Self:
        """A classification: the scores of all windows pooled into one."""
        if not self.windows:
            return replace(self, task="classify", cell_frames=None)
        whole = Window(self._spans[0].start, max(w.stop for w in self._spans))
        frames = self.cell_frames
        return replace(
            self,
            task="classify",
            windows=(whole,),
            scores=pool(self._recorded_scores)[None].astype(np.float32),
            settings=replace(self.settings, pool=str(pool)),
            seen=self.windows if self.seen is None else self.seen,
            cuts=None,
            cell_frames=frames and ((frames[0][0], frames[-1][1]),),
        )

    @cached_property
    def _recorded_scores(self) -> NDArray[np.float32]:
        """The scores of windows that show more than time that was not recorded; else of all."""
        if not (self.input.parts and self.pauses):
            return self.scores
        spans = [(gap.start, gap.stop) for gap in self.gaps]
        shown = [not any(a <= w.start and w.stop <= b for a, b in spans) for w in self._spans]
        return self.scores[shown] if any(shown) else self.scores

    @cached_property
    def _rounded_scores(self) -> NDArray[np.float64]:
        return round_scores(self.scores)

    @cached_property
    def _spans(self) -> tuple[Window, ...]:
        return self.round_spans(self.windows)

    @cached_property
    def _unreadable(self) -> list[Window]:
        return covered_spans(self.round_spans(w for w, _ in self.unreadable))

    @cached_property
    def _grid(self) -> tuple[Window, ...]:
        return cut_cells(self._spans)

    @cached_property
    def _readable_cells(self) -> list[list[Window]]:
        """The readable spans of each cell of the grid; a classification is one cell."""
        if self.task == "classify":
            return [[w] for w in self._spans]
        return subtract_spans(self._grid, self.gaps)

    def _frame_at(self, time: float) -> int | None:
        """The first frame at or after a time; None if the rate is variable or unknown."""
        fps = self._constant_fps
        return None if fps is None else first_frame(time, fps)

    @cached_property
    def gaps(self) -> list[Window]:
        """What of the part no segment holds: what could not be read or was not recorded."""
        return covered_spans([*self._unreadable, *self.unrecorded])

    @cached_property
    def unrecorded(self) -> list[Window]:
        """What of the part lies between the files of a recording, see `--join`."""
        first, last = self.part.start, self.part.stop
        pauses = self.round_spans(self.pauses if self.input.parts else ())
        edges = ((max(w.start, first), min(w.stop, last)) for w in pauses)
        return [Window(a, b) for a, b in edges if a < b]

    @property
    def _constant_fps(self) -> Fraction | None:
        return self.input.fps if self.input.vfr is False else None

    def _move_frames(self, cells: Sequence[Window]) -> tuple[tuple[int, int], ...] | None:
        """The frames of cells whose edges have moved."""
        if self.cell_frames is None or (fps := self._constant_fps) is None:
            return self.cell_frames
        rows = zip(self.cells, cells, self.cell_frames, strict=True)
        return tuple(
            (
                start if moved.start == cell.start else first_frame(moved.start, fps),
                stop if moved.stop == cell.stop else first_frame(moved.stop, fps),
            )
            for cell, moved, (start, stop) in rows
        )


def _frame_ranges(
    cells: Sequence[Window], times: NDArray[np.float64]
) -> tuple[tuple[int, int], ...]:
    """The first frame that begins in each cell and the first after it, to half a millisecond."""
    half = 0.0005 + 1e-9  # cells are whole milliseconds and frames are not
    starts = np.searchsorted(times, np.array([c.start for c in cells]) - half)
    stops = np.searchsorted(times, np.array([c.stop for c in cells]) - half)
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))

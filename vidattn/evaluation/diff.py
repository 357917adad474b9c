"""Where a timeline and what happened differ: moment by moment, boundary by boundary.

Needs neither model nor video. Names are compared as `classes.canonical` has them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from vidattn.config.labels import normalize_label
from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.errors import DataError
from vidattn.evaluation import metrics
from vidattn.timeline import Timeline
from vidattn.timeline.frame_rate import first_frame
from vidattn.timeline.segments import BACKGROUND
from vidattn.types import Window

NOT_SEEN = "not seen"
"""What a timeline says of time that it has no segment for."""
LEAST = 0.0015
"""Seconds; timelines are in whole milliseconds, so shorter differences are rounding."""

Spans = list[tuple[Window, str]]


@dataclass(frozen=True)
class Disagreement:
    """A stretch of time that timeline and truth name differently."""

    window: Window
    said: str
    """A label, "background" or "not seen"."""
    true: tuple[str, ...]
    """The labels of the truth; several where its spans overlap, none where nothing happens."""


@dataclass(frozen=True)
class Match:
    """A segment and the span of the truth that it stands for: same label, most overlap."""

    label: str
    said: Window
    true: Window

    @property
    def shifts(self) -> tuple[float, float]:
        """Seconds by which the segment begins and ends too late; below 0: too early."""
        return self.said.start - self.true.start, self.said.stop - self.true.stop


@dataclass
class LabelDifference:
    """What became of one label."""

    label: str
    both: float = 0.0
    """Seconds that timeline and truth give it; then those that only one of them does."""
    only_said: float = 0.0
    only_true: float = 0.0
    said_spans: int = 0
    true_spans: int = 0
    matches: list[Match] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; shifts are medians of their sizes, None without a match."""
        shifts = np.abs([match.shifts for match in self.matches])
        medians = np.median(shifts, axis=0).tolist() if self.matches else [None, None]
        union = self.both + self.only_said + self.only_true
        return {
            "label": self.label,
            "agreed": round(self.both, 3),
            "only_timeline": round(self.only_said, 3),
            "only_truth": round(self.only_true, 3),
            "iou": round(self.both / union, 5) if union else None,
            "segments": self.said_spans,
            "spans": self.true_spans,
            "matched": len(self.matches),
            "start_off": None if medians[0] is None else round(medians[0], 3),
            "end_off": None if medians[1] is None else round(medians[1], 3),
        }


@dataclass(frozen=True)
class Difference:
    """A timeline beside the truth."""

    source: str
    truth: str
    duration: float
    """Seconds of the film."""
    part: Window
    """The part that both speak of; nothing else counts."""
    agreed: float
    labels: tuple[LabelDifference, ...]
    """By the seconds that they disagree about, falling."""
    disagreements: tuple[Disagreement, ...]

    @property
    def share(self) -> float:
        """What of the part agrees, 0 to 1."""
        return self.agreed / self.part.duration

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, schema vidattn/difference/1."""
        return {
            "schema": "vidattn/difference/1",
            "input": {"path": self.source, "duration": self.duration},
            "truth": self.truth,
            "part": [self.part.start, self.part.stop],
            "agreed": round(self.agreed, 3),
            "share": round(self.share, 5),
            "labels": [tally.to_dict() for tally in self.labels],
            "disagreements": [
                {
                    "start": round(d.window.start, 3),
                    "end": round(d.window.stop, 3),
                    "timeline": d.said,
                    "truth": list(d.true) or [BACKGROUND],
                }
                for d in self.disagreements
            ],
            "boundaries": [_boundary(m) for tally in self.labels for m in tally.matches],
        }


def diff(timeline: Timeline, truth: AnnotatedVideo) -> Difference:
    """Lay a timeline over the truth about the same film, where both speak of it.

    A moment agrees when the timeline names a label that the truth has there, or background where
    the truth has none; and so does a difference so short that no frame of the film lies in it, as
    annotators who count frames make them. Raises DataError when they have no moment in common.
    """
    assert timeline.duration is not None
    part = _common(timeline, truth)
    true = _clipped(_spans_of(truth, timeline.duration), part)
    said = _clipped([(s.window, s.label) for s in timeline.segments], part)
    names: dict[str, str] = {normalize_label(BACKGROUND): BACKGROUND}
    for _, label in [*true, *said]:
        names.setdefault(normalize_label(label), label)
    true = [
        (w, names[normalize_label(label)])
        for w, label in true
        if names[normalize_label(label)] != BACKGROUND
    ]
    true = _joined(true)
    said = [(w, names[normalize_label(label)]) for w, label in said]
    tallies = {label: LabelDifference(label) for label in names.values() if label != BACKGROUND}
    agreed, differing = 0.0, []
    fps = timeline.input.fps
    for window, own, others in _moments(said, true, part):
        frames = fps is None or first_frame(window.stop, fps) > first_frame(window.start, fps)
        if window.duration < LEAST or not frames:
            others = () if own in (BACKGROUND, NOT_SEEN) else (own,)
            own = BACKGROUND if own == NOT_SEEN else own
        agreed += window.duration * _count(tallies, own, others, window.duration)
        if own not in others and not (own == BACKGROUND and not others):
            differing.append(Disagreement(window, own, others))
    _match(tallies, said, true)
    ranked = sorted(tallies.values(), key=lambda t: (-(t.only_said + t.only_true), t.label))
    seen = tuple(t for t in ranked if t.said_spans or t.true_spans)
    agreed = min(agreed, part.duration)
    return Difference(
        timeline.source, truth.name, timeline.duration, part, agreed, seen, tuple(differing)
    )


def as_ground_truth(timeline: Timeline) -> AnnotatedVideo:
    """Another timeline, taken for the truth."""
    spans = [(s.window, s.label) for s in timeline.segments if s.label_id is not None]
    return AnnotatedVideo(
        timeline.source, spans=tuple(spans), duration=timeline.duration, part=timeline.part
    )


def _common(timeline: Timeline, truth: AnnotatedVideo) -> Window:
    """The part that both speak of."""
    ours, theirs = timeline.part, truth.part or timeline.part
    start, stop = max(ours.start, theirs.start), min(ours.stop, theirs.stop)
    if start >= stop:
        raise DataError(
            f"{timeline.source}: speaks of {ours.start:g} to {ours.stop:g} s, and {truth.name} of "
            f"{theirs.start:g} to {theirs.stop:g} s"
        )
    return Window(start, stop)


def _spans_of(truth: AnnotatedVideo, end: float) -> Spans:
    """Labels of frames as spans: spread over the film, as they say no times."""
    if not truth.frames:
        return list(truth.spans)
    edges = [i for i, (a, b) in enumerate(pairwise(truth.frames), start=1) if a != b]
    step = end / len(truth.frames)
    bounds = pairwise([0, *edges, len(truth.frames)])
    return [(Window(a * step, b * step), truth.frames[a]) for a, b in bounds]


def _clipped(spans: Spans, part: Window) -> Spans:
    return [
        (Window(max(w.start, part.start), min(w.stop, part.stop)), label)
        for w, label in spans
        if w.start < part.stop and w.stop > part.start
    ]


def _joined(spans: Spans) -> Spans:
    """Spans of a label that touch become one: whoever renames a segment leaves two."""
    of: dict[str, list[Window]] = defaultdict(list)
    for window, label in sorted(spans):
        own = of[label]
        if own and window.start <= own[-1].stop + LEAST:
            own[-1] = Window(own[-1].start, max(own[-1].stop, window.stop))
        else:
            own.append(window)
    return sorted((window, label) for label, own in of.items() for window in own)


def _moments(
    said: Spans, true: Spans, part: Window
) -> Iterator[tuple[Window, str, tuple[str, ...]]]:
    """The longest stretches in which neither side changes: what each says there."""
    changes: dict[float, list[tuple[int, str, int]]] = defaultdict(list)
    for side, spans in enumerate((said, true)):
        for window, label in spans:
            changes[window.start].append((side, label, 1))
            changes[window.stop].append((side, label, -1))
    active: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    begun = part.start
    held: tuple[str, tuple[str, ...]] = (NOT_SEEN, ())
    for time in sorted({part.start, *changes}):
        for side, label, step in changes[time]:
            active[side][label] += step
        current = next(iter(+active[0]), NOT_SEEN), tuple(sorted(+active[1]))
        if current != held and begun < time:
            yield Window(begun, time), *held
        if current != held:
            begun, held = time, current
    if begun < part.stop:
        yield Window(begun, part.stop), *held


def _count(
    tallies: dict[str, LabelDifference], said: str, true: Sequence[str], seconds: float
) -> bool:
    """Add a stretch to what became of its labels; whether it agrees."""
    for label in true:
        if label == said:
            tallies[label].both += seconds
        else:
            tallies[label].only_true += seconds
    if said in tallies and said not in true:
        tallies[said].only_said += seconds
    return said in true or (said == BACKGROUND and not true)


def _match(tallies: dict[str, LabelDifference], said: Spans, true: Spans) -> None:
    """Pair segments and spans of a label, those that overlap most first."""
    for label, tally in tallies.items():
        ours = [w for w, name in said if name == label]
        theirs = [w for w, name in true if name == label]
        tally.said_spans, tally.true_spans = len(ours), len(theirs)
        if not (ours and theirs):
            continue
        bounds = (np.array([(w.start, w.stop) for w in side]) for side in (ours, theirs))
        ious = metrics.overlaps(*bounds)
        rows, columns = set(range(len(ours))), set(range(len(theirs)))
        for place in np.argsort(-ious, axis=None, kind="stable").tolist():
            i, j = divmod(place, len(theirs))
            if not ious[i, j]:
                break
            if i in rows and j in columns:
                rows.remove(i)
                columns.remove(j)
                tally.matches.append(Match(label, ours[i], theirs[j]))
        tally.matches.sort(key=lambda match: match.true)


def _boundary(match: Match) -> dict[str, Any]:
    start, stop = match.shifts
    return {
        "label": match.label,
        "timeline": [match.said.start, match.said.stop],
        "truth": [round(match.true.start, 3), round(match.true.stop, 3)],
        "start_off": round(start, 3),
        "end_off": round(stop, 3),
    }

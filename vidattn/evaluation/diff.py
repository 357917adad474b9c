"""Differences between a timeline and ground truth, by moment and by boundary.

Needs neither model nor video. Labels are compared as `normalize_label` returns them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from vidattn.config.labels import normalize_label
from vidattn.data.annotations.annotation import AnnotatedVideo, annotate_areas
from vidattn.evaluation import metrics
from vidattn.evaluation.pairing import clip_spans, common_part, name_limit
from vidattn.timeline import Timeline
from vidattn.timeline.segments import BACKGROUND, first_frame
from vidattn.types import Window

NOT_SEEN = "not seen"
"""The label of time without a segment."""
LEAST = 0.0015
"""Seconds; timelines are in whole milliseconds, so shorter differences are rounding."""

Spans = list[tuple[Window, str]]


@dataclass(frozen=True)
class Disagreement:
    """A span that timeline and ground truth label differently."""

    window: Window
    said: str
    """A label, "background" or "not seen"."""
    true: tuple[str, ...]
    """The true labels; several where spans overlap, none for background."""


@dataclass(frozen=True)
class Match:
    """A segment and its true span: the one of the same label with the most overlap."""

    label: str
    said: Window
    true: Window

    @property
    def shifts(self) -> tuple[float, float]:
        """Seconds by which the segment starts and ends too late; negative: too early."""
        return self.said.start - self.true.start, self.said.stop - self.true.stop


@dataclass
class LabelDifference:
    """The difference for one label."""

    label: str
    both: float = 0.0
    """Seconds in both, then in only one of them."""
    only_said: float = 0.0
    only_true: float = 0.0
    said_spans: int = 0
    true_spans: int = 0
    matches: list[Match] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; shifts are median absolute values, None without a match."""
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
    """The difference of a timeline from ground truth."""

    source: str
    truth: str
    duration: float
    """Seconds of the video."""
    part: Window
    """The part that was seen and annotated; nothing else counts."""
    recorded: float
    """Seconds of the part without those between the files of a recording."""
    agreed: float
    labels: tuple[LabelDifference, ...]
    """By falling seconds of disagreement."""
    disagreements: tuple[Disagreement, ...]
    limit: str
    """What the part is limited to, as of `name_limit`."""
    roi: str
    """The area of the picture that the labels are of."""

    @property
    def share(self) -> float:
        """Fraction of the region that agrees, 0 to 1."""
        return self.agreed / self.recorded

    def to_dict(self) -> dict[str, Any]:
        """JSON values, schema vidattn/difference/1."""
        return {
            "schema": "vidattn/difference/1",
            "input": {"path": self.source, "duration": self.duration},
            "truth": self.truth,
            **({"roi": self.roi} if self.roi else {}),
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
    """Compare a timeline with the ground truth of the same video, where it was seen and annotated.

    Times are those of players, from the start of the file, unless the truth labels frames.
    A moment agrees if the predicted label is among the true ones, or is background where there are
    none. Differences without a frame in them do not count: annotation tools round to frames. Raises
    DataError when timeline and ground truth do not overlap.
    """
    timeline = timeline if truth.frames else timeline.from_file_start()
    assert timeline.duration is not None
    part = common_part(timeline, truth) or timeline.part
    true = clip_spans(_spans_of(truth, timeline.duration), part)
    said = clip_spans([(s.window, s.label) for s in timeline.segments], part)
    names: dict[str, str] = {normalize_label(BACKGROUND): BACKGROUND}
    for _, label in [*true, *said]:
        names.setdefault(normalize_label(label), label)
    said, true = ([(w, names[normalize_label(label)]) for w, label in own] for own in (said, true))
    true = _merge_touching([(w, label) for w, label in true if label != BACKGROUND])
    tallies = {label: LabelDifference(label) for label in names.values() if label != BACKGROUND}
    agreed, differing = 0.0, []
    fps = timeline.input.fps
    pauses = timeline.unrecorded
    for window, own, others in _moments(said, true, part):
        if any(w.start <= window.start and window.stop <= w.stop for w in pauses):
            continue
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
    between = clip_spans([(pause, None) for pause in pauses], part)
    recorded = part.duration - sum(pause.duration for pause, _ in between)
    agreed = min(agreed, recorded)
    found = part, recorded, agreed, seen, tuple(differing), name_limit(timeline, part), truth.roi
    return Difference(timeline.source, truth.name, timeline.duration, *found)


def as_ground_truth(timeline: Timeline) -> AnnotatedVideo:
    """A timeline as ground truth."""
    timeline = timeline.from_file_start()
    spans = [(s.window, s.label) for s in timeline.segments if s.label_id is not None]
    video = annotate_areas(
        timeline.source, {timeline.settings.roi or "": tuple(spans)}, timeline.duration
    )
    return replace(video, part=timeline.part)


def _spans_of(truth: AnnotatedVideo, end: float) -> Spans:
    """True spans; frame labels are spread over the video."""
    if not truth.frames:
        return list(truth.spans)
    edges = [i for i, (a, b) in enumerate(pairwise(truth.frames), start=1) if a != b]
    step = end / len(truth.frames)
    bounds = pairwise([0, *edges, len(truth.frames)])
    return [(Window(a * step, b * step), truth.frames[a]) for a, b in bounds]


def _merge_touching(spans: Spans) -> Spans:
    """Merge touching spans of a label: renaming a segment in an editor leaves two."""
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
    """The longest spans in which neither side changes, with the labels of both."""
    changes: dict[float, list[tuple[int, str, int]]] = defaultdict(list)
    for side, spans in enumerate((said, true)):
        for window, label in spans:
            changes[window.start].append((side, label, 1))
            changes[window.stop].append((side, label, -1))
    active: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    since = part.start
    held: tuple[str, tuple[str, ...]] = (NOT_SEEN, ())
    for time in sorted({part.start, *changes}):
        for side, label, step in changes[time]:
            active[side][label] += step
        current = next(iter(+active[0]), NOT_SEEN), tuple(sorted(+active[1]))
        if current != held and since < time:
            yield Window(since, time), *held
        if current != held:
            since, held = time, current
    if since < part.stop:
        yield Window(since, part.stop), *held


def _count(
    tallies: dict[str, LabelDifference], said: str, true: Sequence[str], seconds: float
) -> bool:
    """Add a span to the counts of its labels; returns whether it agrees."""
    for label in true:
        if label == said:
            tallies[label].both += seconds
        else:
            tallies[label].only_true += seconds
    if said in tallies and said not in true:
        tallies[said].only_said += seconds
    return said in true or (said == BACKGROUND and not true)


def _match(tallies: dict[str, LabelDifference], said: Spans, true: Spans) -> None:
    """Match segments and true spans of each label, by falling overlap."""
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

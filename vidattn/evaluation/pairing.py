"""Which timeline is about which annotated video, and the part of it that both cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.errors import DataError
from vidattn.io.search import VideoNames
from vidattn.io.text import name_area
from vidattn.timeline import Timeline
from vidattn.types import Window

T = TypeVar("T")


@dataclass(frozen=True)
class Pairing:
    """Ground truth and predictions by video, and those without a partner."""

    pairs: tuple[tuple[AnnotatedVideo, Timeline | None], ...]
    missing: tuple[str, ...]
    """Videos of the ground truth without a prediction: their segments count as missed."""
    unused: tuple[str, ...]
    """Predictions that are left out: for videos outside of the ground truth, or for the whole
    picture where others are for its areas."""


def pair_videos(truths: Sequence[AnnotatedVideo], timelines: Iterable[Timeline]) -> Pairing:
    """Match predictions to annotations by the names of their videos, as of `VideoNames`.

    Timelines of areas (`--roi`) are matched to the labels of areas with these names. Raises
    DataError when a match is ambiguous, when an area has no labels though others of its video do,
    when two predictions are for the same video, or when nothing matches.
    """
    timelines = list(timelines)
    rois = {timeline.settings.roi for timeline in timelines}
    names = VideoNames(truth.name for truth in truths)
    numbers = {truth.name: number for number, truth in enumerate(truths)}
    areas = {
        (number, area): truth.of_area(area)
        for number, truth in enumerate(truths)
        for area in [area for area in truth.areas if area in rois] or [""]
    }
    matched: dict[tuple[int, str], Timeline] = {}
    unused = []
    for timeline in timelines:
        name = names.find(timeline.source)
        number = -1 if name is None else numbers[name]
        place = number, "" if name is None else take_area(truths[number], timeline).roi
        if place not in areas:
            whole = name is not None and not timeline.settings.roi
            unused.append(timeline.source + " (whole picture)" * bool(whole))
            continue
        if place in matched:
            titles = (name_area(t.source, t.settings.roi or "") for t in (matched[place], timeline))
            both = " and ".join(titles)
            raise DataError(f"{both} are both predictions for {areas[place].title}")
        matched[place] = timeline
    if not matched:
        raise DataError(
            f"none of the predictions ({', '.join(unused[:3]) or 'there are none'}) is for a "
            f"video of the ground truth ({', '.join(truth.name for truth in truths[:3])} ...)",
            hint="they match by file name, and by the folder right above where both have one; a "
            "name without folder fits any",
        )
    pairs = tuple((truth, matched.get(place)) for place, truth in areas.items())
    missing = tuple(truth.title for truth, timeline in pairs if timeline is None)
    return Pairing(pairs, missing, tuple(unused))


def take_area(truth: AnnotatedVideo, timeline: Timeline) -> AnnotatedVideo:
    """The labels of the area of a timeline; all for one of the whole picture, or where the ground
    truth names no area. Raises DataError where it names only others."""
    roi = timeline.settings.roi
    if roi and (named := [area for area in truth.areas if area]) and roi not in named:
        raise DataError(
            f"{timeline.source}: area {roi!r}: the ground truth has {', '.join(named)}",
            hint="areas are matched by name, as `segment --roi NAME=AREA` gives it",
        )
    return truth.of_area(roi)


def list_unused_areas(
    truths: Sequence[AnnotatedVideo], used: Iterable[AnnotatedVideo]
) -> list[str]:
    """Areas whose labels are not used, though those of another area of the same video are."""
    taken = {(truth.name, truth.roi) for truth in used}
    split = {name for name, roi in taken if roi}
    return [
        name_area(truth.name, area or "none")
        for truth in truths
        if truth.name in split
        for area, own in truth.areas.items()
        if own and (truth.name, area) not in taken
    ]


def common_part(timeline: Timeline, truth: AnnotatedVideo) -> Window | None:
    """The part of the video that was both seen and annotated; None for all of it.

    Raises DataError where that is nothing.
    """
    ours = timeline.seen_part
    begins = ours.start < 0.005  # pictures may begin later than the file
    if truth.part is None and timeline.is_whole and ours == timeline.part and begins:
        return None
    theirs = truth.part or ours
    start, stop = max(ours.start, theirs.start), min(ours.stop, theirs.stop)
    if start >= stop:
        raise DataError(
            f"{timeline.source}: covers {ours.start:g} to {ours.stop:g} s, and {truth.name} "
            f"{theirs.start:g} to {theirs.stop:g} s"
        )
    return Window(start, stop)


def name_limit(timeline: Timeline | None, part: Window) -> str:
    """What a part is limited to: where the video was seen, annotated, or both."""
    if timeline is None:
        return "annotated"
    return "seen" if part == timeline.seen_part else "seen and annotated"


def clip_spans(spans: Iterable[tuple[Window, T]], part: Window | None) -> list[tuple[Window, T]]:
    """What of the spans lies in a part; None for all of it."""
    return [
        (Window(max(w.start, part.start), min(w.stop, part.stop)) if part else w, value)
        for w, value in spans
        if part is None or (w.start < part.stop and w.stop > part.start)
    ]

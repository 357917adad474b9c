"""Timelines for Final Cut Pro and those who read its XML: a project with a clip each segment.

Times are fractions of a second, whole numbers of frames at the film's rate. Each clip carries a
marker with the label and a note with score and alternatives; background is a gap.
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree.ElementTree import Element

from vidattn.output.timecode import (
    PlacedSegment,
    TimecodeClock,
    frame_count,
    place_segments,
    timecode_clock,
)
from vidattn.output.xml import add_child, file_url, serialize, video_title
from vidattn.timeline import Segment, Timeline

VERSION = "1.10"
FORMAT, FILM = "r1", "r2"
"""Ids of the resources."""


def fcpxml(timeline: Timeline) -> str:
    """A Final Cut Pro XML document, version 1.10.

    Raises UsageError when the setting `start_timecode` of the timeline is none at the film's rate.
    """
    clock = timecode_clock(timeline)
    name = video_title(timeline.source)
    count = frame_count(timeline, clock.fps)
    root = Element("fcpxml", version=VERSION)
    _resources(root, timeline, clock, count)
    project = add_child(
        add_child(add_child(root, "library"), "event", name="vidattn"), "project", name=name
    )
    sequence = add_child(
        project,
        "sequence",
        format=FORMAT,
        duration=_time(count, clock.fps),
        tcStart=_time(clock.start, clock.fps),
        tcFormat="DF" if clock.drop else "NDF",
    )
    spine, at = add_child(sequence, "spine"), 0
    for event in place_segments(timeline, clock.fps):
        _gap(spine, clock, at, event.first)
        _clip(spine, clock, event)
        at = event.after
    _gap(spine, clock, at, count)
    return serialize(root, "fcpxml")


def _resources(root: Element, timeline: Timeline, clock: TimecodeClock, count: int) -> None:
    resources = add_child(root, "resources")
    add_child(
        resources,
        "format",
        id=FORMAT,
        frameDuration=_time(1, clock.fps),
        width=timeline.input.width,
        height=timeline.input.height,
    )
    film = add_child(
        resources,
        "asset",
        id=FILM,
        name=video_title(timeline.source),
        start=_time(clock.start, clock.fps),
        duration=_time(count, clock.fps),
        hasVideo=1,
        format=FORMAT,
        hasAudio=1 if timeline.input.audio else None,
        audioSources=1 if timeline.input.audio else None,
    )
    add_child(film, "media-rep", kind="original-media", src=file_url(timeline.source))


def _clip(spine: Element, clock: TimecodeClock, event: PlacedSegment) -> None:
    start = _time(clock.start + event.first, clock.fps)
    segment = event.segment
    clip = add_child(
        spine,
        "asset-clip",
        ref=FILM,
        name=segment.label,
        offset=start,
        start=start,
        duration=_time(event.after - event.first, clock.fps),
        tcFormat="DF" if clock.drop else "NDF",
    )
    add_child(
        clip,
        "marker",
        start=start,
        duration=_time(1, clock.fps),
        value=segment.label,
        note=_note(segment),
    )


def _gap(spine: Element, clock: TimecodeClock, first: int, after: int) -> None:
    if after > first:
        start, length = clock.start + first, after - first
        add_child(
            spine,
            "gap",
            name="Gap",
            offset=_time(start, clock.fps),
            start="0s",
            duration=_time(length, clock.fps),
        )


def _note(segment: Segment) -> str:
    ranked = [(segment.label, segment.score), *segment.alternatives]
    return ", ".join(f"{label} {100 * score:.1f} %" for label, score in ranked)


def _time(frames: int, fps: Fraction) -> str:
    """Seconds as Final Cut writes them: 1001/24000s, or 5s."""
    if frames * fps.denominator % fps.numerator == 0:
        return f"{frames * fps.denominator // fps.numerator}s"
    return f"{frames * fps.denominator}/{fps.numerator}s"

"""Timelines for Final Cut Pro and readers of its XML: a project with a clip per segment.

Times are fractions of a second, whole numbers of frames at the rate of the video. Each clip carries
a marker with the label and a note with scores; background is a gap.
"""

from __future__ import annotations

import os
from fractions import Fraction
from xml.etree.ElementTree import Element

from vidattn.output.timecode import TimecodeClock, frame_count, place_segments, timecode_clock
from vidattn.output.xml import add_child, document_url, serialize, video_title
from vidattn.timeline import Segment, Timeline

VERSION = "1.10"
FORMAT, VIDEO = "r1", "r2"
"""Ids of the resources."""


def fcpxml(timeline: Timeline, folder: str | os.PathLike[str] | None = None) -> str:
    """A Final Cut Pro XML document, version 1.10.

    folder: the folder of the document, to refer to the video from there; None: that of the video.
    Raises UsageError if the start timecode of the timeline is impossible at the rate of the video.
    """
    clock = timecode_clock(timeline)
    name, count = video_title(timeline.source), frame_count(timeline, clock.fps)
    root = Element("fcpxml", version=VERSION)
    _add_resources(root, timeline, clock, count, document_url(timeline.source, folder))
    event = add_child(add_child(root, "library"), "event", name="vidattn")
    sequence = add_child(
        add_child(event, "project", name=name),
        "sequence",
        format=FORMAT,
        duration=_time(count, clock.fps),
        tcStart=_time(clock.start, clock.fps),
        tcFormat="DF" if clock.drop else "NDF",
    )
    spine, at = add_child(sequence, "spine"), 0
    for placed in place_segments(timeline, clock.fps):
        _add_gap(spine, clock, at, placed.first)
        _add_clip(spine, clock, placed.segment, placed.first, placed.after)
        at = placed.after
    _add_gap(spine, clock, at, count)
    return serialize(root, "fcpxml")


def _add_resources(
    root: Element, timeline: Timeline, clock: TimecodeClock, count: int, source: str
) -> None:
    resources, video = add_child(root, "resources"), timeline.input
    size = {"width": video.width, "height": video.height}
    frame = _time(1, clock.fps)
    add_child(resources, "format", None, id=FORMAT, frameDuration=frame, **size)
    asset = add_child(
        resources,
        "asset",
        id=VIDEO,
        name=video_title(timeline.source),
        start=_time(clock.start, clock.fps),
        duration=_time(count, clock.fps),
        hasVideo=1,
        format=FORMAT,
        hasAudio=1 if video.audio else None,
        audioSources=1 if video.audio else None,
    )
    add_child(asset, "media-rep", kind="original-media", src=source)


def _add_clip(
    spine: Element, clock: TimecodeClock, segment: Segment, first: int, after: int
) -> None:
    start = _time(clock.start + first, clock.fps)
    clip = add_child(
        spine,
        "asset-clip",
        ref=VIDEO,
        name=segment.label,
        offset=start,
        start=start,
        duration=_time(after - first, clock.fps),
        tcFormat="DF" if clock.drop else "NDF",
    )
    ranked = [(segment.label, segment.score), *segment.alternatives]
    note = ", ".join(f"{label} {100 * score:.1f} %" for label, score in ranked)
    frame = _time(1, clock.fps)
    add_child(clip, "marker", start=start, duration=frame, value=segment.label, note=note)


def _add_gap(spine: Element, clock: TimecodeClock, first: int, after: int) -> None:
    if after > first:
        offset, length = (_time(n, clock.fps) for n in (clock.start + first, after - first))
        add_child(spine, "gap", name="Gap", offset=offset, start="0s", duration=length)


def _time(frames: int, fps: Fraction) -> str:
    """Seconds as Final Cut writes them: 1001/24000s, or 5s."""
    if frames * fps.denominator % fps.numerator == 0:
        return f"{frames * fps.denominator // fps.numerator}s"
    return f"{frames * fps.denominator}/{fps.numerator}s"

"""Timelines as OpenTimelineIO JSON, which editors read or convert: a clip per segment.

Background and time without segments are gaps. Clips carry a marker with the label, and score and
alternatives in their metadata under "vidattn". Audio has a track of its own with the same cuts.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

from vidattn.io.json import dumps_pretty
from vidattn.output.timecode import (
    PlacedSegment,
    TimecodeClock,
    frame_count,
    place_segments,
    timecode_clock,
)
from vidattn.output.xml import document_url, video_title
from vidattn.timeline import Timeline

COLORS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW", "ORANGE", "PINK", "PURPLE")
"""Of markers, by label."""


def otio(timeline: Timeline, folder: str | os.PathLike[str] | None = None) -> str:
    """An OpenTimelineIO document (Timeline.1, Clip.1) at the rate of the video.

    folder: the folder of the document, to refer to the video from there; None: that of the video.
    Raises UsageError if the start timecode of the timeline is impossible at the rate of the video.
    """
    clock, title = timecode_clock(timeline), video_title(timeline.source)
    media = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "name": title,
        "target_url": document_url(timeline.source, folder),
        "available_range": _range(clock.start, frame_count(timeline, clock.fps), clock.fps),
        "metadata": {},
    }
    children, at = [], 0
    for placed in place_segments(timeline, clock.fps):
        if placed.first > at:
            gap = {"source_range": _range(0, placed.first - at, clock.fps)}
            children.append(_item("Gap.1", "") | gap)
        children.append(_clip(placed, clock, media))
        at = placed.after
    tracks = [_container("Track.1", "labels", children) | {"kind": "Video"}]
    if timeline.input.audio:
        sound = [child | {"markers": []} for child in children]
        tracks.append(_container("Track.1", "sound", sound) | {"kind": "Audio"})
    document = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": title,
        "global_start_time": _time(clock.start, clock.fps),
        "metadata": {"vidattn": {"model": timeline.model.name or ""}},
        "tracks": _container("Stack.1", "tracks", tracks),
    }
    return dumps_pretty(document, 2) + "\n"


def _clip(placed: PlacedSegment, clock: TimecodeClock, media: dict[str, Any]) -> dict[str, Any]:
    segment = placed.segment
    span = _range(clock.start + placed.first, placed.after - placed.first, clock.fps)
    marker = {
        "OTIO_SCHEMA": "Marker.2",
        "name": segment.label,
        "color": COLORS[(segment.label_id or 0) % len(COLORS)],
        "marked_range": span,
        "metadata": {},
    }
    metadata = {
        "label": segment.label,
        "score": round(segment.score, 5),
        "start": segment.window.start,
        "end": segment.window.stop,
        "alternatives": {label: round(score, 5) for label, score in segment.alternatives},
    }
    item = _item("Clip.1", segment.label) | {"source_range": span}
    return item | {"media_reference": media, "markers": [marker], "metadata": {"vidattn": metadata}}


def _container(schema: str, name: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    return _item(schema, name) | {"children": children}


def _item(schema: str, name: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"metadata": {}, "source_range": None, "effects": [], "markers": []}
    return {"OTIO_SCHEMA": schema, "name": name, "enabled": True, **empty}


def _range(start: int, length: int, fps: Fraction) -> dict[str, Any]:
    times = {"start_time": _time(start, fps), "duration": _time(length, fps)}
    return {"OTIO_SCHEMA": "TimeRange.1", **times}


def _time(frames: int, fps: Fraction) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "value": float(frames), "rate": float(fps)}

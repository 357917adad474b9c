"""Timelines for OpenTimelineIO, as its JSON, which editors read or convert: a clip each segment.

What is background, or was not seen, is a gap. Clips carry a marker with the label, and score and
alternatives in their metadata under "vidattn". The sound of a film has a track of its own, cut
alike.
"""

from __future__ import annotations

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
from vidattn.output.xml import file_url, video_title
from vidattn.timeline import Timeline

COLOURS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW", "ORANGE", "PINK", "PURPLE")


def otio(timeline: Timeline) -> str:
    """An OpenTimelineIO document (Timeline.1, Clip.1) at the film's rate.

    Raises UsageError when the setting `start_timecode` of the timeline is none at this rate.
    """
    clock = timecode_clock(timeline)
    media = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "name": video_title(timeline.source),
        "target_url": file_url(timeline.source),
        "available_range": _range(clock.start, frame_count(timeline, clock.fps), clock.fps),
        "metadata": {},
    }
    children, at = [], 0
    for event in place_segments(timeline, clock.fps):
        if event.first > at:
            children.append(_gap(event.first - at, clock.fps))
        children.append(_clip(event, clock, media))
        at = event.after
    tracks = [_container("Track.1", "labels", children) | {"kind": "Video"}]
    if timeline.input.audio:
        sound = [child | {"markers": []} for child in children]
        tracks.append(_container("Track.1", "sound", sound) | {"kind": "Audio"})
    document = {
        "OTIO_SCHEMA": "Timeline.1",
        "name": video_title(timeline.source),
        "global_start_time": _time(clock.start, clock.fps),
        "metadata": {"vidattn": {"model": timeline.model.name or ""}},
        "tracks": _container("Stack.1", "tracks", tracks),
    }
    return dumps_pretty(document, 2) + "\n"


def _clip(event: PlacedSegment, clock: TimecodeClock, media: dict[str, Any]) -> dict[str, Any]:
    segment, source = event.segment, clock.start + event.first
    length = event.after - event.first
    marker = {
        "OTIO_SCHEMA": "Marker.2",
        "name": segment.label,
        "color": COLOURS[(segment.label_id or 0) % len(COLOURS)],
        "marked_range": _range(source, length, clock.fps),
        "metadata": {},
    }
    about = {
        "label": segment.label,
        "score": round(segment.score, 5),
        "start": segment.window.start,
        "end": segment.window.stop,
        "alternatives": {label: round(score, 5) for label, score in segment.alternatives},
    }
    item = _item("Clip.1", segment.label) | {"source_range": _range(source, length, clock.fps)}
    return item | {"media_reference": media, "markers": [marker], "metadata": {"vidattn": about}}


def _gap(length: int, fps: Fraction) -> dict[str, Any]:
    return _item("Gap.1", "") | {"source_range": _range(0, length, fps)}


def _container(schema: str, name: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    return _item(schema, name) | {"children": children}


def _item(schema: str, name: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"metadata": {}, "source_range": None, "effects": [], "markers": []}
    return {"OTIO_SCHEMA": schema, "name": name, "enabled": True, **empty}


def _range(start: int, length: int, fps: Fraction) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(start, fps),
        "duration": _time(length, fps),
    }


def _time(frames: int, fps: Fraction) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "value": float(frames), "rate": float(fps)}

"""Timelines for BORIS: a project with one observation, whose events are the segments.

A label such as "groom [face|long]" is a behavior with two modifiers, as `vidattn.data.annotations`
reads them. Background has no event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from vidattn.io.json import dumps_pretty
from vidattn.output.timecode import UNKNOWN
from vidattn.output.xml import relative_path
from vidattn.timeline import Segment, Timeline

VERSION = "7.0"
"""Of the format of projects; BORIS 7 and 8 open it."""
DATE = "1970-01-01T00:00:00"
"""The format requires a date; the same timeline gives the same bytes."""
STATE, POINT = "State event", "Point event"
PLAYERS = 8
WITH_MODIFIERS = re.compile(r"(.+) \[(.+)\]")


def boris(timeline: Timeline, folder: str | os.PathLike[str] | None = None) -> str:
    """A project: behaviors, and an observation with two events for each segment, start and stop.

    A behavior whose segments all last one frame at most has point events. The area of a timeline
    that is one of several (`--roi`) is the subject. folder: as of `eaf`.
    """
    segments = [segment for segment in timeline.segments if segment.label_id is not None]
    subject = timeline.settings.roi or ""
    points = _point_behaviors(timeline, segments)
    name = PurePath(timeline.source).stem or "video"
    project = {
        "time_format": "hh:mm:ss",
        "project_date": DATE,
        "project_name": name,
        "project_description": "",
        "project_format_version": VERSION,
        "subjects_conf": {"0": {"key": "", "name": subject, "description": ""}} if subject else {},
        "behaviors_conf": _behaviors(segments, points),
        "observations": {name: _observation(timeline, segments, points, folder)},
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return dumps_pretty(project, 2) + "\n"


def split_label(label: str) -> tuple[str, str]:
    """The behavior and the modifiers of a label, these as BORIS has them: "face|long"."""
    match = WITH_MODIFIERS.fullmatch(label)
    return (match[1], match[2]) if match else (label, "")


def _point_behaviors(timeline: Timeline, segments: Sequence[Segment]) -> set[str]:
    """The behaviors whose segments all last one frame at most."""
    frame = 1.001 / float(timeline.input.fps or UNKNOWN)
    longer = {split_label(s.label)[0] for s in segments if s.window.duration > frame}
    return {split_label(s.label)[0] for s in segments} - longer


def _behaviors(segments: Sequence[Segment], points: set[str]) -> dict[str, Any]:
    """The ethogram, in the order in which behaviors come."""
    modifiers: dict[str, list[dict[str, None]]] = {}
    for code, words in map(split_label, dict.fromkeys(s.label for s in segments)):
        lists = modifiers.setdefault(code, [])
        for place, word in enumerate(words.split("|") if words else ()):
            if place == len(lists):
                lists.append({})
            lists[place][word] = None
    return {
        str(number): {
            "type": POINT if code in points else STATE,
            "key": "",
            "code": code,
            "description": "",
            "color": "",
            "category": "",
            "modifiers": {
                str(place): {
                    "name": "",
                    "description": "",
                    "type": 0,
                    "ask at stop": False,
                    "values": list(words),
                }
                for place, words in enumerate(lists)
            },
            "excluded": "",
            "coding map": "",
        }
        for number, (code, lists) in enumerate(modifiers.items())
    }


def _observation(
    timeline: Timeline,
    segments: Sequence[Segment],
    points: set[str],
    folder: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    video, fps = relative_path(timeline.source, folder), timeline.input.fps or UNKNOWN
    subject = timeline.settings.roi or ""
    events: list[list[Any]] = []
    for segment in segments:
        code, words = split_label(segment.label)
        comment = f"score {segment.score:.5f}"
        first, after = segment.start_frame, segment.end_frame
        start, stop = round(segment.window.start, 3), round(segment.window.stop, 3)
        frame = "NA" if first is None else first
        events.append([start, subject, code, words, comment, frame])
        if code not in points:
            frame = "NA" if after is None else after
            events.append([stop, subject, code, words, "", frame])
    # Where one segment ends and the next of its label begins, the end comes first.
    return {
        "file": {str(player + 1): [video] if player == 0 else [] for player in range(PLAYERS)},
        "type": "MEDIA",
        "date": DATE,
        "description": "",
        "time offset": 0.0,
        "events": sorted(events, key=lambda event: event[0]),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {video: round(timeline.duration or 0.0, 3)},
            "fps": {video: float(fps)},
            "hasVideo": {video: True},
            "hasAudio": {video: bool(timeline.input.audio)},
            "offset": {"1": 0.0},
        },
    }

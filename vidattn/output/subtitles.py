"""Timelines as subtitles: SRT and WebVTT. Background has no subtitle."""

from __future__ import annotations

import re

from vidattn.output.text import format_clock
from vidattn.timeline import Segment, Timeline


def srt(timeline: Timeline) -> str:
    """SubRip: numbered cues such as "dive (90%)" with a comma before the milliseconds."""
    cues = (
        f"{number}\n{_span(segment, ',')}\n{_caption(segment)}\n"
        for number, segment in enumerate(_captioned(timeline), start=1)
    )
    return "\n".join(cues)


def vtt(timeline: Timeline) -> str:
    """WebVTT: a note with the model and the file, then the cues."""
    note = _line(f"{timeline.model.name or 'vidattn'}: {timeline.source}")
    cues = (
        f"{_span(segment, '.')}\n{_escape(_caption(segment))}\n" for segment in _captioned(timeline)
    )
    return "\n".join(["WEBVTT\n", f"NOTE {_escape(note)}\n", *cues])


def _captioned(timeline: Timeline) -> list[Segment]:
    return [segment for segment in timeline.segments if segment.label_id is not None]


def _caption(segment: Segment) -> str:
    return f"{_line(segment.label)} ({segment.score * 100:.0f}%)"


def _span(segment: Segment, point: str) -> str:
    ends = (segment.window.start, segment.window.stop)
    start, stop = (format_clock(time, decimals=3).replace(".", point) for time in ends)
    return f"{start} --> {stop}"


def _line(text: str) -> str:
    """Text on one line that cannot be read as the times of a cue."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip()
    return line.replace("-->", "->")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Timelines as subtitles: SRT and WebVTT. Background has no subtitle."""

from __future__ import annotations

import re

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
    start, stop = segment.window.start, segment.window.stop
    return f"{_clock(start, point)} --> {_clock(stop, point)}"


def _clock(seconds: float, point: str) -> str:
    """HH:MM:SS, `point` and milliseconds; hours have more digits if needed."""
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, whole = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{milliseconds:03d}"


def _line(text: str) -> str:
    """Text on one line that cannot be read as the times of a cue."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip()
    return line.replace("-->", "->")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

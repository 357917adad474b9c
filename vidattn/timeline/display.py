"""A timeline at a glance: two lines of text, a ribbon in a notebook, a table of pandas."""

from __future__ import annotations

from html import escape
from typing import Any

from vidattn.errors import UsageError
from vidattn.timeline.labeled import LabeledTimeline
from vidattn.timeline.palette import NONE, colors_of, label_weights

MOST_NAMED = 4
"""Segments in the second line."""
COLUMNS = ("start", "stop", "label", "score", "confidence", "start_frame", "end_frame")


def describe(timeline: LabeledTimeline) -> str:
    """Two lines: what was seen of which video, and the first segments."""
    source = timeline.source.encode("utf-8", "backslashreplace").decode()
    segments, model = timeline.segments, timeline.model.name or "unnamed model"
    first = ", ".join(f"{s.start:.1f}-{s.stop:.1f} s {s.label}" for s in segments[:MOST_NAMED])
    more = len(segments) - MOST_NAMED
    return (
        f"<Timeline of {source!r}: {timeline.rounded_duration:.1f} s, {len(timeline.windows)} "
        f"windows, {100 * timeline.coverage:.1f} % seen, {model}\n"
        f"  {len(segments)} segments: {first or 'none'}{f', {more} more' if more > 0 else ''}>"
    )


def draw_ribbon(timeline: LabeledTimeline) -> str:
    """HTML: the segments as a strip of colors, with the name and share of each label below."""
    colors = colors_of(timeline.labels, label_weights(timeline))
    part, scale = timeline.part, 100 / timeline.part.duration
    ids = {label: k for k, label in enumerate(timeline.labels)}
    spans = "".join(
        f'<span title="{escape(s.label)} {s.start:.1f}-{s.stop:.1f} s, {100 * s.score:.1f} %" '
        f'style="position:absolute;top:0;bottom:0;left:{scale * (s.start - part.start):.3f}%;'
        f'width:{scale * s.window.duration:.3f}%;background:{_css(colors[s.label_id])}"></span>'
        for s in timeline.single_track
    )
    legend = " ".join(
        f'<span style="color:{_css(colors.get(ids.get(row["label"]), NONE))}">&#9632;</span> '
        f"{escape(row['label'])} {100 * row['share']:.1f} %"
        for row in timeline.totals()
    )
    title = escape(timeline.source.encode("utf-8", "backslashreplace").decode())
    return (
        f"<div><b>{title}</b> {timeline.rounded_duration:.1f} s"
        f'<div style="position:relative;height:18px">{spans}</div><small>{legend}</small></div>'
    )


def build_frame(timeline: LabeledTimeline) -> Any:
    """The segments as a DataFrame of pandas. Raises UsageError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UsageError("to_frame needs pandas", hint="pip install pandas") from None
    rows = [[getattr(segment, name) for name in COLUMNS] for segment in timeline.segments]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)

"""Rasters: rows of colored spans on one scale, a row for each video or for each day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from markupsafe import escape

from vidattn.output.report.assets import reveal
from vidattn.timeline.actogram import split_days

Span = tuple[datetime, datetime, str]
"""Local times of start and stop, and a CSS class."""
Row = tuple[str, Sequence[tuple[float, float, str]]]
"""A name, and the seconds of start and stop of each span with its CSS class."""

MOST_ROWS = 100
WIDTH, ROW, DATE = 1040, 16, 100
"""Of a drawing in pixels, the height of a row, and the place of dates."""
SECONDS = 86400.0
LEAST = 1.5 * SECONDS / (WIDTH - DATE)
"""Seconds of the shortest span in an actogram, so that it can be seen."""


def draw_actogram(spans: Iterable[Span]) -> tuple[str, int]:
    """Labels over the time of day, empty without spans; and the number of days."""
    days: dict[str, list[tuple[float, float, str]]] = {}
    for start, stop, color in spans:
        for date, low, high in split_days(start, stop):
            days.setdefault(date, []).append((low, max(high, low + LEAST), color))
    hours = [f"{hour:02d}:00" for hour in range(0, 25, 3)]
    shown = sorted(days.items())[:MOST_ROWS]
    return draw_rows(shown, SECONDS, hours, DATE, "days over the time of day"), len(days)


def draw_rows(
    rows: Sequence[Row], longest: float, marks: Sequence[str], left: int, title: str
) -> str:
    """SVG of rows; empty without rows or length.

    longest: seconds of the whole scale. marks: texts below it, evenly spaced. left: the place of
    the scale in pixels, behind the names. title: what rows are, and over what.
    """
    if not rows or not longest:
        return ""
    scale, bottom = (WIDTH - left) / longest, ROW * len(rows)
    words, bars = [], []
    for top, (name, spans) in zip(range(0, bottom, ROW), rows, strict=True):
        place = f'x="{left - 8}" y="{top + ROW - 4}" text-anchor="end"'
        words.append(f"<text {place}>{escape(reveal(name))}</text>")
        for low, high, color in spans:
            ends = left + scale * low, left + scale * high
            bars.append((*ends, top + 2, top + ROW - 2, color))
    last = len(marks) - 1
    for k, mark in enumerate(marks):
        anchor = {0: "start", last: "end"}.get(k, "middle")
        place = f'x="{left + (WIDTH - left) * k / last:.0f}" y="{bottom + 16}"'
        words.append(f'<text class="soft" {place} text-anchor="{anchor}">{mark}</text>')
    return (
        f'<svg class="raster" viewBox="0 0 {WIDTH} {bottom + 20}" width="{WIDTH}" '
        f'height="{bottom + 20}" role="img" aria-label="Labels of {len(rows)} {title}">'
        f"{draw_bars(bars)}{''.join(words)}</svg>"
    )


def draw_bars(bars: Iterable[tuple[float, float, int, int, str]]) -> str:
    """One path for each CSS class. bars: left, right, top, bottom, and the class."""
    paths: dict[str, list[str]] = {}
    for left, right, top, bottom, color in bars:
        paths.setdefault(color, []).append(f"M{left:.1f} {top}H{right:.1f}V{bottom}H{left:.1f}Z")
    return "".join(f'<path class="{color}" d="{"".join(d)}"/>' for color, d in paths.items())

"""The actogram of a batch run: labels over the time of day, a row for each day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

Span = tuple[datetime, datetime, str]
"""Local times of start and stop, and a CSS class."""

MOST_DAYS = 100
WIDTH, LEFT, ROW, LEAST = 1040, 100, 16, 1.5
"""Of the drawing in pixels, the place of dates, the height of a row, the least width of a span."""
SECONDS = 86400.0


def draw_actogram(spans: Iterable[Span]) -> tuple[str, int]:
    """The drawing, one path for each color and empty without spans; and the number of days."""
    days: dict[str, list[tuple[float, float, str]]] = {}
    for start, stop, color in spans:
        for date, low, high in _split(start, stop):
            days.setdefault(date, []).append((low, high, color))
    if not days:
        return "", 0
    shown = sorted(days)[:MOST_DAYS]
    return _draw({date: days[date] for date in shown}), len(days)


def _draw(days: Mapping[str, list[tuple[float, float, str]]]) -> str:
    scale, bottom = (WIDTH - LEFT) / SECONDS, ROW * len(days)
    paths: dict[str, list[str]] = {}
    words = []
    for i, (date, spans) in enumerate(days.items()):
        top = ROW * i
        words.append(f'<text x="{LEFT - 8}" y="{top + ROW - 4}" text-anchor="end">{date}</text>')
        for low, high, color in spans:
            left = LEFT + scale * low
            right = max(LEFT + scale * high, left + LEAST)
            path = f"M{left:.1f} {top + 2}H{right:.1f}V{top + ROW - 2}H{left:.1f}Z"
            paths.setdefault(color, []).append(path)
    for hour in range(0, 25, 3):
        x = LEFT + scale * 3600 * hour
        anchor = {0: "start", 24: "end"}.get(hour, "middle")
        place = f'x="{x:.0f}" y="{bottom + 16}" text-anchor="{anchor}"'
        words.append(f'<text class="soft" {place}>{hour:02d}:00</text>')
    body = "".join(f'<path class="{color}" d="{"".join(d)}"/>' for color, d in paths.items())
    return (
        f'<svg class="raster" viewBox="0 0 {WIDTH} {bottom + 20}" width="{WIDTH}" '
        f'height="{bottom + 20}" role="img" aria-label="Labels of {len(days)} days over the time '
        f'of day">{body}{"".join(words)}</svg>'
    )


def _split(start: datetime, stop: datetime) -> Iterator[tuple[str, float, float]]:
    """The days that a span lies in, and the seconds of each from midnight."""
    while start < stop:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = min(stop, midnight + timedelta(days=1))
        low, high = ((t - midnight).total_seconds() for t in (start, end))
        yield start.date().isoformat(), low, high
        start = end

"""Means and their intervals as an SVG: dots by name, or curves where there is a horizontal axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

Point = tuple[str, str, float, float, float]
"""Panel, name, place on the horizontal axis, mean, half of its interval (or NaN)."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, KEY = 330, 250, 46, 44, 56, 130
COLORS = ("#2f6db3", "#c2571a", "#3a8a4d", "#8a4fa3", "#a3303a", "#6b6b6b", "#b08a00", "#178f8f")
STYLE = "text{font:11px system-ui,sans-serif;fill:#222}.t{font-weight:bold}.g{stroke:#ddd}"


def draw_plot(title: str, points: Sequence[Point], unit: str, measured: str) -> str:
    """One panel beside another. unit: of the horizontal axis, which is logarithmic; empty: none.
    measured: the vertical axis, from 0 to 100 if it is in percent, else logarithmic."""
    panels = list(dict.fromkeys(point[0] for point in points))
    names = list(dict.fromkeys(point[1] for point in points))
    body = "".join(
        f'<g transform="translate({i * WIDTH} 0)">'
        + _panel(panel, [p for p in points if p[0] == panel], names, unit, measured)
        + "</g>\n"
        for i, panel in enumerate(panels)
    )
    width = len(panels) * WIDTH + KEY
    for i, name in enumerate(names):
        x, y = len(panels) * WIDTH + 6, TOP + 8 + 16 * i
        body += f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{_color(i)}"/>'
        body += f'<text x="{x + 9}" y="{y}">{escape(name)}</text>\n'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}">\n<style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text class="t" x="8" y="16">{escape(title)}</text>\n{body}</svg>\n'
    )


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _panel(panel: str, points: list[Point], names: list[str], unit: str, measured: str) -> str:
    percent = measured.endswith("%")
    values = [p[3] for p in points]
    low, high = (0.0, 100.0) if percent else (min(values) / 1.5, max(values) * 1.5)
    places = sorted({p[2] for p in points}) if unit else list(range(len(names)))

    def down(value: float) -> float:
        share = (
            (value - low) / (high - low)
            if percent
            else math.log(max(value, low) / low) / math.log(high / low)
        )
        return HEIGHT - BOTTOM - min(max(share, 0), 1) * (HEIGHT - BOTTOM - TOP)

    def across(place: float) -> float:
        first, last = places[0], places[-1]
        if unit and last > first > 0:
            share = math.log(place / first) / math.log(last / first)
        else:
            share = (place - first) / max(last - first, 1)
        return LEFT + 14 + share * (WIDTH - LEFT - 34)

    marks = range(0, 101, 25) if percent else _decades(low, high)
    text = f'<text x="{LEFT}" y="{TOP - 10}">{escape(panel)}: {escape(measured)}</text>'
    for mark in marks:
        y = down(mark)
        text += f'<path class="g" d="M{LEFT} {y:.1f}H{WIDTH - 14}"/>'
        text += f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>'
    if unit:
        for place in places:
            x = across(place)
            text += f'<text x="{x:.1f}" y="{HEIGHT - 38}" text-anchor="middle">{place:g}</text>'
        text += f'<text x="{WIDTH - 14}" y="{HEIGHT - 20}" text-anchor="end">{escape(unit)}</text>'
    for i, name in enumerate(names):
        own = sorted((p[2] if unit else i, p[3], p[4]) for p in points if p[1] == name)
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y, _ in own)
        if len(own) > 1:
            text += f'<polyline fill="none" stroke="{_color(i)}" points="{line}"/>'
        for x, y, half in own:
            if not math.isnan(half):
                ends = f"M{across(x):.1f} {down(y - half):.1f}V{down(y + half):.1f}"
                text += f'<path stroke="{_color(i)}" d="{ends}"/>'
            text += f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.5" fill="{_color(i)}"/>'
    return text


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**power for power in range(first, last + 1)]

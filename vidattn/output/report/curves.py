"""Curves of a training run, as one SVG image or as a page with a table of its epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from vidattn.output.report.assets import page_colors
from vidattn.output.report.layout import Section, ShareBar, render_page

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 180, 80, 16, 28, 28
"""Size of one panel in pixels, and its margins."""
MOST = 600
"""Points of a curve; longer curves are thinned evenly."""


def draw_curves(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Loss, learning rate and validation top-1 over steps as SVG, from the rows of log.jsonl.

    Rows of steps become curves, rows of epochs dots; dots are connected if there is at most one row
    of steps. The same rows give the same text, readable in light and in dark mode.
    """
    panels = _panels(rows)
    height = HEIGHT * len(panels)
    body = "".join(
        f'<g transform="translate(0 {i * HEIGHT})">'
        f'<text class="title" x="{LEFT}" y="18">{escape(name)}</text>{panel}</g>\n'
        for i, (name, panel) in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">\n<title>{escape(title)}</title>\n'
        f"<style>{_style()}</style>\n"
        f'<rect width="{WIDTH}" height="{height}"/>\n{body}</svg>\n'
    )


def curves_page(rows: Sequence[Mapping[str, Any]], title: str, facts: Sequence[str]) -> str:
    """The curves as a page in the style of the report, with a table row per epoch.

    facts: shown below the title.
    """
    drawings = [
        Section(
            name,
            drawing=f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-label="{escape(name)} over steps">{panel}</svg>',
        )
        for name, panel in _panels(rows)
    ]
    table = [
        (
            str(row["epoch"]),
            str(row["step"]),
            f"{row['loss']:.4f}",
            f"{row['lr']:.2e}",
            _share_bar(row["scores"].get("top1")),
        )
        for row in rows
        if row.get("event") == "epoch"
    ]
    head = ("epoch", "steps", "loss", "learning rate", "validation top-1")
    return render_page(title, facts, [*drawings, Section("Epochs", head=head, rows=table)])


def _share_bar(top1: float | None) -> ShareBar | str:
    return "not measured" if top1 is None else ShareBar(top1, f"{100 * top1:.1f} %")


def _style() -> str:
    """CSS of the image, in the colors of the pages."""

    def rules(mode: int) -> str:
        names = ("soft", "line", "ground", "right", "wrong")
        ink, line, ground, right, wrong = (page_colors()[name][mode] for name in names)
        return (
            f"text {{ fill: {ink} }} .grid {{ stroke: {line} }} rect {{ fill: {ground} }} "
            f".line {{ stroke: {right} }} .dot {{ fill: {wrong} }}"
        )

    return (
        "text { font: 12px system-ui, sans-serif } .title { font-weight: bold } "
        f".line {{ fill: none; stroke-width: 1.5 }} {rules(0)} "
        f"@media (prefers-color-scheme: dark) {{ {rules(1)} }}"
    )


def _panels(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Titles and drawings of loss, learning rate and top-1."""
    steps = [row for row in rows if row.get("event") == "step"]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    last = max((row["step"] for row in (*steps, *epochs)), default=1)
    top1 = [(e["step"], 100 * e["scores"]["top1"]) for e in epochs if e["scores"]]
    panels = (
        ("loss", _points(steps, "loss"), _points(epochs, "loss")),
        ("learning rate", _points(steps, "lr"), _points(epochs, "lr")),
        ("validation top-1, %", top1, top1),
    )
    return [
        (name, _panel(line if len(line) > 1 else dots, dots, last)) for name, line, dots in panels
    ]


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]


def _panel(line: Points, dots: Points, last: int) -> str:
    """One plot: steps from 0 to `last` to the right, values upward."""
    line, dots = _thin(line), _thin(dots)
    low, high = _value_range([y for _, y in (*line, *dots)])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / last
        up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low)
        return round(across, 1), round(up, 1)

    parts: list[str] = []
    for value in (low, (low + high) / 2, high):
        y = at(0, value)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    for step in sorted({0, last // 2, last}):
        x = at(step, low)[0]
        anchor, words = ("end", f"step {step}") if step == last else ("middle", str(step))
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="{anchor}">{words}</text>')
    places = [at(*point) for point in line]
    if len(places) > 1:
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline class="line" points="{path}"/>')
    for x, y in (at(*point) for point in dots):
        parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>')
    return "\n".join(parts)


def _thin(points: Points) -> Points:
    stride = -(-len(points) // MOST)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _value_range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value, a little apart even if they are equal."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(high)):
        return low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    return low, high

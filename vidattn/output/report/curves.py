"""Curves of a training run: one SVG picture, and a page with a table of the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from vidattn.output.report.assets import page_colors
from vidattn.output.report.layout import Section, ShareBar, render_page

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 180, 80, 16, 28, 28
"""Of one panel, in pixels, and the margins in it."""
MOST = 600
"""Points of a curve; longer ones are thinned out evenly."""


def draw_curves(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Loss, learning rate and held-back top-1 over steps, from the lines of log.jsonl.

    Lines of steps become curves, lines of epochs dots; dots are joined where there are no two
    lines of steps. The same lines give the same text, which is
    readable on light and on dark ground.
    """
    panels = _panels(rows)
    height = HEIGHT * len(panels)
    body = "".join(
        f'<g transform="translate(0 {i * HEIGHT})">{title}{panel}</g>\n'
        for i, (title, panel) in enumerate(
            (f'<text class="title" x="{LEFT}" y="18">{escape(name)}</text>', panel)
            for name, panel in panels
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">\n<title>{escape(title)}</title>\n'
        f"<style>{_style()}</style>\n"
        f'<rect width="{WIDTH}" height="{height}"/>\n{body}</svg>\n'
    )


def curves_page(rows: Sequence[Mapping[str, Any]], title: str, facts: Sequence[str]) -> str:
    """The same as a page in the looks of the report, with a row for every epoch.

    facts: what is said of the run below its title.
    """
    drawings = [
        Section(
            name,
            drawing=f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-label="{escape(name)} over steps">{panel}</svg>',
        )
        for name, panel in _panels(rows)
    ]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    table = [
        (
            str(row["epoch"]),
            str(row["step"]),
            f"{row['loss']:.4f}",
            f"{row['lr']:.2e}",
            _share(row["scores"].get("top1")),
        )
        for row in epochs
    ]
    head = ("epoch", "steps", "loss", "learning rate", "top-1 on held-back clips")
    return render_page(title, facts, [*drawings, Section("Epochs", head=head, rows=table)])


def _share(top1: float | None) -> ShareBar | str:
    return "not measured" if top1 is None else ShareBar(top1, f"{100 * top1:.1f} %")


def _style() -> str:
    """The looks of the picture, in the colours of the pages."""
    of = page_colors()

    def rules(which: int) -> str:
        ink, line, ground, k0, k1 = (of[n][which] for n in ("soft", "line", "ground", "k0", "k1"))
        return (
            f"text {{ fill: {ink} }} .grid {{ stroke: {line} }} rect {{ fill: {ground} }} "
            f".line {{ stroke: {k0} }} .dot {{ fill: {k1} }}"
        )

    return (
        "text { font: 12px system-ui, sans-serif } .title { font-weight: bold } "
        f".line {{ fill: none; stroke-width: 1.5 }} {rules(0)} "
        f"@media (prefers-color-scheme: dark) {{ {rules(1)} }}"
    )


def _panels(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Names and drawings of loss, learning rate and top-1."""
    steps = [row for row in rows if row.get("event") == "step"]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    last = max((row["step"] for row in (*steps, *epochs)), default=1)
    top1 = [(e["step"], 100 * e["scores"]["top1"]) for e in epochs if e["scores"]]
    panels = (
        ("loss", _points(steps, "loss"), _points(epochs, "loss")),
        ("learning rate", _points(steps, "lr"), _points(epochs, "lr")),
        ("top-1 on held-back clips, %", top1, top1),
    )
    return [
        (name, _panel(line if len(line) > 1 else dots, dots, last)) for name, line, dots in panels
    ]


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]


def _panel(line: Points, dots: Points, last: int) -> str:
    """One plot: the steps from 0 to `last` across, values upwards."""
    line, dots = _thinned(line), _thinned(dots)
    low, high = _range([y for _, y in (*line, *dots)])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / last
        up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low)
        return round(across, 1), round(up, 1)

    parts = list[str]()
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


def _thinned(points: Points) -> Points:
    stride = -(-len(points) // MOST)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value, a little apart even when they are the same."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(high)):
        return low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    return low, high

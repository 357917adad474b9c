"""Curves of a training run, as one SVG image or as a page with a table of its epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from vidattn.output.report.assets import page_colors
from vidattn.output.report.layout import Section, ShareBar, render_page

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 180, 80, 136, 28, 28
"""Size of one panel in pixels, and its margins."""
MOST = 600
"""Points of a curve; longer curves are thinned evenly."""


@dataclass(frozen=True)
class _Curve:
    """A line, and a dot for each epoch that says its value when it is pointed at."""

    name: str
    color: str
    """CSS class: right or wrong, as of the two colors of all pages."""
    line: Points
    dots: Points


def draw_curves(rows: Sequence[Mapping[str, Any]], title: str, classes: int = 0) -> str:
    """Loss, learning rate and top-1 over steps as SVG, from the rows of log.jsonl.

    Rows of steps become lines, rows of epochs dots; dots are connected if there is at most one row
    of steps. classes: for the line of chance. The same rows give the same text, readable in light
    and in dark mode.
    """
    panels = _panels(rows, classes)
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


def curves_page(
    rows: Sequence[Mapping[str, Any]], title: str, facts: Sequence[str], classes: int = 0
) -> str:
    """The curves as a page in the style of the report, with a table row per epoch.

    facts: shown below the title.
    """
    drawings = [
        Section(
            name,
            drawing=f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" aria-label="{escape(name)} over steps">{panel}</svg>',
        )
        for name, panel in _panels(rows, classes)
    ]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    best, key = _best(epochs), _find_key(epochs)
    if best is not None:
        score = f"{100 * best['scores'][key]:.1f} %"
        facts = [*facts, f"best validation {TITLES[key]} {score}, after epoch {best['epoch']}"]
    table = [
        (
            f"{row['epoch']} (best)" if row is best else str(row["epoch"]),
            str(row["step"]),
            f"{row['loss']:.4f}",
            f"{row['scores']['nll']:.4f}" if "nll" in row["scores"] else "not measured",
            f"{row['lr']:.2e}",
            _share_bar(row["scores"].get(key)),
        )
        for row in epochs
    ]
    names = ("epoch", "steps", "loss", "validation loss", "learning rate")
    head = (*names, f"validation {TITLES[key]}")
    return render_page(title, facts, [*drawings, Section("Epochs", head=head, rows=table)])


TITLES = {"top1": "top-1", "map": "mAP"}
"""The score by which epochs are compared; mAP where several labels may hold at once."""


def _find_key(epochs: Sequence[Mapping[str, Any]]) -> str:
    return "map" if any("map" in row["scores"] for row in epochs) else "top1"


def _best(epochs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first of the epochs with the highest score."""
    key = _find_key(epochs)
    scored = [row for row in epochs if key in row["scores"]]
    return max(scored, key=lambda row: row["scores"][key], default=None)


def _share_bar(score: float | None) -> ShareBar | str:
    return "not measured" if score is None else ShareBar(score, f"{100 * score:.1f} %")


def _style() -> str:
    """CSS of the image, in the colors of the pages."""

    def rules(mode: int) -> str:
        names = ("soft", "line", "ground", "right", "wrong")
        ink, line, ground, right, wrong = (page_colors()[name][mode] for name in names)
        return (
            f"text {{ fill: {ink} }} .grid {{ stroke: {line} }} rect {{ fill: {ground} }} "
            f".limit {{ stroke: {ink} }} "
            f".right {{ color: {right} }} .wrong {{ color: {wrong} }}"
        )

    return (
        "text { font: 12px system-ui, sans-serif } .title { font-weight: bold } "
        ".line { fill: none; stroke: currentColor; stroke-width: 1.5 } "
        ".dot, .key { fill: currentColor } .limit { stroke-dasharray: 4 3 } "
        f"{rules(0)} @media (prefers-color-scheme: dark) {{ {rules(1)} }}"
    )


def _panels(rows: Sequence[Mapping[str, Any]], classes: int) -> list[tuple[str, str]]:
    """Titles and drawings of loss, learning rate and top-1."""
    steps = [row for row in rows if row.get("event") == "step"]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    last = max((row["step"] for row in (*steps, *epochs)), default=1)

    def of_steps(name: str, key: str) -> _Curve:
        line, dots = _points(steps, key), _points(epochs, key)
        return _Curve(name, "right", line if len(line) > 1 else dots, dots)

    def of_scores(key: str, scale: float = 1.0) -> _Curve:
        values = [(e["step"], scale * e["scores"][key]) for e in epochs if key in e["scores"]]
        return _Curve("validation", "wrong", values, values)

    key, scores = _find_key(epochs), [of_scores(_find_key(epochs), 100)]
    limits = list[tuple[str, float]]()
    if key == "top1":
        trained = [(e["step"], 100 * e["train_top1"]) for e in epochs if "train_top1" in e]
        scores.insert(0, _Curve("training", "right", trained, trained))
        limits += [("chance", 100 / classes)] if classes else []
    majority = max((row.get("majority", 0.0) for row in epochs), default=0.0)
    limits += [("largest class", 100 * majority)] * bool(majority)
    return [
        ("loss", _panel([of_steps("training", "loss"), of_scores("nll")], last)),
        ("learning rate", _panel([of_steps("", "lr")], last)),
        (f"{TITLES[key]}, %", _panel(scores, last, (0.0, 100.0), limits, _best(epochs))),
    ]


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]


def _panel(
    curves: Sequence[_Curve],
    last: int,
    bounds: tuple[float, float] | None = None,
    limits: Sequence[tuple[str, float]] = (),
    best: Mapping[str, Any] | None = None,
) -> str:
    """One plot: steps from 0 to `last` to the right, values upward.

    bounds: of the axis; by default those of the values. limits: dashed lines with a name. best: the
    epoch that is marked.
    """
    curves = [replace(c, line=_thin(c.line), dots=_thin(c.dots)) for c in curves if c.line]
    low, high = bounds or _value_range([y for c in curves for _, y in (*c.line, *c.dots)])

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
    lowest = float(HEIGHT)
    for name, value in sorted(limits, key=lambda limit: limit[1]):
        y = at(0, value)[1]
        parts.append(f'<path class="limit" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        lowest = min(y + 4, lowest - 13)  # names of close lines stand above one another
        place = f'x="{WIDTH - RIGHT + 6}" y="{lowest}"'
        parts.append(f"<text {place}>{name}, {value:.1f} %</text>")
    if best is not None:
        x, y = at(best["step"], 100 * best["scores"][_find_key([best])])
        parts.append(f'<path class="limit" d="M{x} {y}V{HEIGHT - BOTTOM}"/>')
    for curve in curves:
        parts += _draw_curve(curve, at)
    names = [curve for curve in curves if curve.name]
    for i, curve in enumerate(names):
        x = WIDTH - RIGHT - 90 * (len(names) - i)
        parts.append(
            f'<g class="{curve.color}">'
            f'<rect class="key" x="{x}" y="10" width="10" height="10"/></g>'
            f'<text x="{x + 15}" y="19">{curve.name}</text>'
        )
    return "\n".join(parts)


def _draw_curve(curve: _Curve, at: Callable[[float, float], tuple[float, float]]) -> Iterator[str]:
    """The line and the dots; each dot is larger than it looks for those who point at it."""
    yield f'<g class="{curve.color}">'
    if len(curve.line) > 1:
        path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in curve.line))
        yield f'<polyline class="line" points="{path}"/>'
    for step, value in curve.dots:
        x, y = at(step, value)
        words = f"{curve.name} {value:.4g}, step {step}".strip()
        yield (
            f'<g><title>{words}</title><circle cx="{x}" cy="{y}" r="9" fill-opacity="0"/>'
            f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/></g>'
        )
    yield "</g>"


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

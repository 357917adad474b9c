"""The confusion matrix of an evaluation as a page, with its classes and top confusions."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import escape

from vidattn.output.report.assets import reveal
from vidattn.output.report.layout import Section, ShareBar, render_page

SIDE, LARGEST = 900, 36
"""Largest size in pixels of the matrix, and of a cell."""
NAMED = 60
"""Up to so many classes have their names beside the matrix; a cell always has both names."""
NUMBERED = 20
"""Cells of so many pixels have their count in them."""
LETTER = 6.6
"""Average width of a letter in pixels."""
LEGEND = 430
"""Width of the legend in pixels."""
STRONG = 0.5
"""Share of a row from which the count in a cell has the color of the page."""
LONGEST = 26
"""Letters of a name beside the matrix; longer names are shortened."""
FEW = 5
"""Number of classes of which top-5 says nothing."""
METRICS = (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean class"), ("ece", "ECE"))


def confusion_page(result: Mapping[str, Any]) -> str:
    """The page of an evaluation, from the document of `vidattn eval --json`."""
    noun = f"{result['unit']}s"
    facts = [str(result["dataset"]), f"{result['scored']} {noun}"]
    labels, matrix = result["labels"], result["confusion"]
    some = [(key, name) for key, name in METRICS if key != "top5" or len(labels) > FEW]
    facts += [f"{name} {100 * result[key]:.1f} %" for key, name in some]
    rows = sorted(_class_rows(labels, matrix), key=lambda row: row[0])
    pairs = [
        (reveal(p["label"]), reveal(p["taken_for"]), str(p["count"])) for p in result["confused"]
    ]
    return render_page(
        str(result["model"]),
        facts,
        (
            Section(
                "Confusion matrix",
                f"Rows are true classes, columns predictions, numbers {noun}. The stronger the "
                "color, the larger the share of the row.",
                draw_matrix(labels, matrix),
            ),
            Section(
                "Classes, worst first",
                head=("class", "accuracy", noun, "most frequent errors"),
                rows=[cells for _, cells in rows],
            ),
            Section(
                "Most frequent confusions", head=("true class", "prediction", "count"), rows=pairs
            ),
        ),
    )


def draw_matrix(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], linked: Container[tuple[int, int]] = ()
) -> str:
    """The matrix as SVG with its nonzero cells; linked: those that lead to #m<row>-<column>."""
    count = len(labels)
    cell = min(LARGEST, SIDE / max(count, 1))
    names = [_shorten(label) for label in labels] if count <= NAMED else []
    room = round(LETTER * max(map(len, names))) + 10 if names else 0
    size = room + cell * count + 1
    width, height = max(size, room + LEGEND), size + 34
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" aria-label="Confusion matrix; the tables below have the same data">',
        f'<rect class="frame" x="{room}" y="{room}" width="{cell * count:.1f}" '
        f'height="{cell * count:.1f}"></rect>',
    ]
    parts += [_draw_name(name, i, cell, room) for i, name in enumerate(names)]
    parts += [
        f'<a href="#m{i}-{j}">{drawn}</a>' if (i, j) in linked else drawn
        for i, row in enumerate(matrix)
        for j, number in enumerate(row)
        if number
        for drawn in [_draw_cell((labels[i], labels[j]), number, sum(row), room, cell, (i, j))]
    ]
    return "".join([*parts, *_draw_legend(room, size + 14), "</svg>"])


def _draw_legend(left: int, top: float) -> Iterator[str]:
    """Steps of both colors with the shares that they stand for."""
    for i, (kind, name) in enumerate((("right", "correct"), ("wrong", "confused"))):
        x = left + LEGEND / 2 * i
        for step in range(5):
            yield (
                f'<g class="{kind}"><rect class="cell" x="{x + 14 * step}" y="{top}" width="13" '
                f'height="13" fill-opacity="{_opacity(step / 4):.2f}"></rect></g>'
            )
        yield f'<text class="soft" x="{x + 76}" y="{top + 11}">{name}, 0 to 100 %</text>'


def _opacity(share: float) -> float:
    return 0.12 + 0.88 * share


def _shorten(label: str) -> str:
    text = reveal(label)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


def _draw_name(name: str, i: int, cell: float, room: int) -> str:
    """A name before its row and, turned, above its column."""
    middle = room + (i + 0.5) * cell
    text = escape(name)
    return (
        f'<text class="soft" x="{room - 6}" y="{middle + 4:.1f}" text-anchor="end">{text}</text>'
        f'<text class="soft" transform="translate({middle + 4:.1f} {room - 6}) rotate(-90)">'
        f"{text}</text>"
    )


def _draw_cell(
    names: tuple[str, str], number: int, total: int, room: int, cell: float, at: tuple[int, int]
) -> str:
    """names: the true class and the prediction; total: of the row."""
    (i, j), (truth, prediction) = at, map(reveal, names)
    share = number / total
    kind = "right" if i == j else "wrong"
    words = f"{truth} predicted as {prediction}" if i != j else f"{truth}, correct"
    gap = 1 if cell >= 8 else 0
    x, y = room + j * cell, room + i * cell
    square = (
        f'<rect class="cell" x="{x + gap:.1f}" y="{y + gap:.1f}" width="{cell - gap:.1f}" '
        f'height="{cell - gap:.1f}" fill-opacity="{_opacity(share):.2f}"></rect>'
    )
    title = f"{escape(words)}: {number} of {total} ({100 * share:.1f} %)"
    color = ' class="over"' if share > STRONG else ""
    text = f'<text{color} x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle">'
    count = f"{text}{number}</text>" if cell >= NUMBERED else ""
    return f'<g class="{kind}"><title>{title}</title>{square}{count}</g>'


def _class_rows(
    labels: Sequence[str], matrix: Sequence[Sequence[int]]
) -> Iterator[tuple[float, tuple[str | ShareBar, ...]]]:
    """The accuracy and the table row of every class with samples."""
    for i, row in enumerate(matrix):
        if not (total := sum(row)):
            continue
        share = row[i] / total
        errors = sorted(((n, j) for j, n in enumerate(row) if j != i and n), reverse=True)[:2]
        confused = ", ".join(f"{reveal(labels[j])} {100 * n / total:.1f} %" for n, j in errors)
        yield share, (labels[i], ShareBar(share, f"{100 * share:.1f} %"), str(total), confused)

"""Who is taken for whom, as a page: the matrix drawn, every class, the most frequent confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import escape

from vidattn.output.report.assets import reveal
from vidattn.output.report.layout import Section, ShareBar, render_page

SIDE, LARGEST = 900, 26
"""Pixels of the matrix at most, and of a cell."""
NAMED = 60
"""Classes whose names stand beside the matrix; of more each cell still tells both names."""
LETTER = 6.6
"""Pixels that a letter takes on average."""
LONGEST = 26
"""Letters of a name beside the matrix."""
FIGURES = (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean class"), ("ece", "ECE"))


def confusion_page(result: Mapping[str, Any]) -> str:
    """The page of an evaluation, from what `vidattn eval --json` prints."""
    noun = "clips" if result["dataset"] == "motion" else "videos"
    facts = [str(result["dataset"]), f"{result['scored']} {noun}"]
    facts += [f"{name} {100 * result[key]:.1f} %" for key, name in FIGURES]
    labels, matrix = result["labels"], result["confusion"]
    rows = sorted(_classes(labels, matrix), key=lambda row: row[0])
    pairs = [
        (reveal(p["label"]), reveal(p["taken_for"]), str(p["count"])) for p in result["confused"]
    ]
    return render_page(
        str(result["model"]),
        facts,
        (
            Section(
                "Who is taken for whom",
                "Rows are what was shown, columns what was answered; the stronger the colour, the "
                "larger the share of the row. Hold the pointer over a cell for its count.",
                draw_matrix(labels, matrix),
            ),
            Section(
                "Classes, the worst first",
                head=("class", "right", noun, "most often taken for"),
                rows=[cells for _, cells in rows],
            ),
            Section("Most frequent confusions", head=("shown", "answered", "count"), rows=pairs),
        ),
    )


def draw_matrix(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """The matrix as SVG; only cells that are not 0 are in it."""
    count = len(labels)
    named = count <= NAMED
    cell = min(LARGEST, SIDE / max(count, 1))
    names = [_short(label) for label in labels]
    room = round(LETTER * max(map(len, names), default=0)) + 10 if named else 0
    width, height = room + cell * count + 1, room + cell * count + 1
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" aria-label="Confusion matrix; the tables below say the same">',
        f'<rect class="frame" x="{room}" y="{room}" width="{cell * count:.1f}" '
        f'height="{cell * count:.1f}"></rect>',
    ]
    if named:
        parts += [_names(name, i, cell, room) for i, name in enumerate(names)]
    for i, row in enumerate(matrix):
        total = sum(row)
        for j, number in enumerate(row):
            if number:
                parts.append(_cell(labels[i], labels[j], number, total, room, cell, (i, j)))
    return "".join([*parts, "</svg>"])


def _short(label: str) -> str:
    text = reveal(label)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


def _names(name: str, i: int, cell: float, room: int) -> str:
    """A name before its row and, standing, above its column."""
    middle = room + (i + 0.5) * cell
    text = escape(name)
    return (
        f'<text class="soft" x="{room - 6}" y="{middle + 4:.1f}" text-anchor="end">{text}</text>'
        f'<text class="soft" transform="translate({middle + 4:.1f} {room - 6}) rotate(-90)">'
        f"{text}</text>"
    )


def _cell(
    truth: str, answer: str, number: int, total: int, room: int, cell: float, at: tuple[int, int]
) -> str:
    i, j = at
    share = number / total
    kind = "right" if i == j else "wrong"
    words = f"{reveal(truth)} taken for {reveal(answer)}" if i != j else f"{reveal(truth)}, right"
    gap = 1 if cell >= 8 else 0
    square = (
        f'<rect class="{kind}" x="{room + j * cell + gap:.1f}" y="{room + i * cell + gap:.1f}" '
        f'width="{cell - gap:.1f}" height="{cell - gap:.1f}" '
        f'fill-opacity="{0.12 + 0.88 * share:.2f}">'
    )
    return (
        f"{square}<title>{escape(words)}: {number} of {total} ({100 * share:.0f} %)</title></rect>"
    )


def _classes(
    labels: Sequence[str], matrix: Sequence[Sequence[int]]
) -> list[tuple[float, tuple[str | ShareBar, ...]]]:
    """Share of right answers, and the row of a table, for every class that was shown."""
    found: list[tuple[float, tuple[str | ShareBar, ...]]] = []
    for i, row in enumerate(matrix):
        if not (total := sum(row)):
            continue
        share = row[i] / total
        errors = sorted(((n, j) for j, n in enumerate(row) if j != i and n), reverse=True)[:2]
        taken = ", ".join(f"{reveal(labels[j])} {100 * n / total:.0f} %" for n, j in errors)
        cells = (labels[i], ShareBar(share, f"{100 * share:.1f} %"), str(total), taken)
        found.append((share, cells))
    return found

"""Windows to label next: a page with a picture of each and a field for its label, a table to fill
in, and timelines to correct."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from vidattn.io.files import sha256
from vidattn.io.json import dumps
from vidattn.io.text import name_area
from vidattn.output.report.layout import Drawing, Link, Section, render_page
from vidattn.output.tables import csv_lines, escape_cell
from vidattn.output.text import format_time
from vidattn.timeline import Timeline
from vidattn.types import Suggestion

COLUMNS = ("path", "start", "end", "label", "guess", "score", "unsure")
"""`label` is to be filled in; rows without one are left out where the table is read. A column `roi`
follows where windows are of areas of the picture."""
SHOWN = 3
"""Labels whose scores stand beside a window."""
KEYS = 9
"""Labels with a key of their own."""


def suggestions_csv(found: Sequence[Suggestion], folder: Path) -> bytes:
    """A row for each window, the most useful first, with an empty cell for its label.

    folder: that of the table, where relative paths begin, as `teach` reads them.
    """
    areas = any(one.roi for one in found)
    rows = [
        (
            escape_cell(path_from(folder, one.path)),
            f"{one.window.start:.3f}",
            f"{one.window.stop:.3f}",
            "",
            escape_cell(one.guess),
            f"{one.score:.5f}",
            f"{one.unsure:.5f}",
            *[escape_cell(one.roi)] * areas,
        )
        for one in found
    ]
    return csv_lines([(*COLUMNS, *["roi"] * areas), *rows])


def path_from(folder: Path, path: str) -> str:
    """A path from a folder, with ./ before what a table would escape; an absolute one stays."""
    if Path(path).is_absolute():
        return path
    short = os.path.relpath(Path(path).parent.resolve() / Path(path).name, folder.resolve())
    return short if escape_cell(short) == short else f"./{short}"


def suggestions_timeline(path: str, found: Sequence[Suggestion], labels: Sequence[str]) -> Timeline:
    """The windows of one video as a timeline with the guesses of the model."""
    ordered = sorted(found, key=lambda one: one.window)
    scores = np.array([one.scores for one in ordered])
    return Timeline(
        path,
        tuple(labels),
        tuple(one.window for one in ordered),
        scores / scores.sum(axis=1, keepdims=True),
    )


def suggestions_page(
    found: Sequence[Suggestion],
    labels: Sequence[str],
    folder: Path,
    pictures: Mapping[int, bytes],
    *,
    several: bool = False,
) -> str:
    """The page, for a file in `folder`, where paths in it and in the table that it saves begin.

    labels: of the model, in its order; they have the keys 1 to 9. pictures: JPEG files by the
    number of the window. several: whether labels may hold at once.
    """
    rows = [_row(one, labels, folder, pictures.get(i, b"")) for i, one in enumerate(found)]
    windows = [
        [path_from(folder, one.path), one.window.start, one.window.stop, one.roi] for one in found
    ]
    keys = ", ".join(f"{i + 1} {label}" for i, label in enumerate(labels[:KEYS]))
    again = "; the same key takes a label back" if several else ""
    section = Section(
        "Windows to label next",
        f"The most useful first. Keys: {keys}{again}; letters begin any label, Enter or the arrows "
        "go on, Delete empties. “Save labels” writes a table for vidattn teach: keep it beside "
        "this page.",
        head=("picture", "video", "time", "looks like", "chosen because", "label"),
        rows=rows,
    )
    data = {
        "windows": windows,
        "labels": list(labels),
        "several": several,
        "digest": sha256(dumps(windows), 32),
    }
    scripts = ("theme.js", "dom.js", "save.js", "suggestions.js")
    lengths = sorted({f"{one.window.duration:.3g}" for one in found})
    facts = [f"windows of {' and '.join(lengths)} s"] if 0 < len(lengths) < 3 else []
    return render_page("Suggestions", facts, [section], scripts=scripts, data=data)


def _row(
    one: Suggestion, labels: Sequence[str], folder: Path, picture: bytes
) -> tuple[str | Link | Drawing, ...]:
    image = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
    path, window = path_from(folder, one.path), one.window
    address = quote(Path(path).as_posix().encode("utf-8", "surrogateescape"), safe="/")
    title = name_area(Path(path).name, one.roi)
    order = sorted(range(len(labels)), key=lambda k: -one.scores[k])[:SHOWN]
    return (
        Drawing(f'<img alt="" src="{image}">' if picture else "no picture"),
        Link(title, f"{address}#t={window.start:.2f},{window.stop:.2f}"),
        format_time(window.start, hours=window.start >= 3600),
        ", ".join(f"{labels[k]} {100 * one.scores[k]:.0f} %" for k in order),
        one.why,
        "",
    )

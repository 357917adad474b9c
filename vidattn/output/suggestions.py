"""Windows to label next, as a table to fill in and as timelines to correct."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidattn.output.rows import csv_lines
from vidattn.output.tables import escape_cell
from vidattn.timeline import Timeline
from vidattn.types import Suggestion

COLUMNS = ("path", "start", "end", "label", "guess", "score", "unsure")
"""`label` is to be filled in; rows without one are left out where the table is read. A column `roi`
follows where windows are of areas of the picture."""


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

"""The videos that a model gets wrong, as a page: the confusion matrix leads to each of them."""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from vidattn.errors import UsageError
from vidattn.evaluation import metrics
from vidattn.evaluation.predictions import Predictions
from vidattn.io.files import write_atomically
from vidattn.output.report.confusion import draw_matrix
from vidattn.output.report.layout import Drawing, Link, Section, render_page
from vidattn.output.thumbnails import read_stills
from vidattn.output.video.heatmap import encode_image
from vidattn.video import Video

MOST = 300
"""Mistakes with a thumbnail on the page; of more, those the model is surest of."""


class Mistake(NamedTuple):
    """One video that is wrong."""

    path: str
    start: float
    """Seconds; with `stop` the region that counts, which without one is the whole file."""
    stop: float | None
    label: int
    predicted: int
    score: float
    """Of the prediction."""
    own_score: float
    """Of the true class."""


def find_mistakes(predictions: Predictions) -> list[Mistake]:
    """Every wrong prediction, those the model is surest of first."""
    logits, labels = predictions.logits, predictions.labels
    scores = np.exp(metrics.log_probabilities(logits, predictions.temperature))
    predicted = metrics.predicted_classes(logits, labels)
    found = []
    for i in np.flatnonzero(predicted != labels):
        path, _, region = predictions.paths[i].partition("#t=")
        start, _, stop = region.partition(",")
        times = float(start or 0), float(stop) if stop else None
        classes = int(labels[i]), int(predicted[i])
        found.append(Mistake(path, *times, *classes, *(float(scores[i, c]) for c in classes[::-1])))
    return sorted(found, key=lambda mistake: (-mistake.score, mistake.path, mistake.start))


def write_mistakes(document: dict[str, Any], predictions: Predictions, folder: Path) -> Path:
    """Write the page of all mistakes to index.html in a folder. Raises UsageError, OutputError."""
    if document["dataset"] == "motion":
        raise UsageError("--mistakes shows videos: samples of the dataset motion are generated")
    page = mistakes_page(document, predictions, folder)
    return write_atomically(folder / "index.html", page.encode("utf-8", "backslashreplace"))


def mistakes_page(document: dict[str, Any], predictions: Predictions, folder: Path) -> str:
    """The page, for a file in `folder`: videos are linked from there, thumbnails are in it.

    document: that of `vidattn eval --json`.
    """
    labels, found = document["labels"], find_mistakes(predictions)
    noun = f"{document['unit']}s"
    pairs: dict[tuple[int, int], list[Mistake]] = defaultdict(list)
    for mistake in found[:MOST]:
        pairs[mistake.label, mistake.predicted].append(mistake)
    groups = sorted(pairs.items(), key=lambda pair: -len(pair[1]))
    rows = [row for pair, group in groups for row in _rows(pair, group, labels, folder)]
    facts = (str(document["dataset"]), f"{len(found)} of {document['scored']} {noun} are wrong")
    note = f"Click on a cell to come to its {noun}."
    left = f"; {len(found) - MOST} more are left out" * (len(found) > MOST)
    return render_page(
        f"Mistakes of {document['model']}",
        facts,
        (
            Section(
                "Confusion matrix",
                f"Rows are true classes, columns predictions. {note}",
                draw_matrix(labels, document["confusion"], pairs.keys()),
            ),
            Section(
                noun.capitalize(),
                f"Grouped by confusion, the surest first{left}.",
                head=("picture", "video", "second", "true class", "predicted", "score", "own"),
                rows=rows,
            ),
        ),
    )


def _rows(
    pair: tuple[int, int], group: Sequence[Mistake], labels: Sequence[str], folder: Path
) -> Iterator[tuple[Drawing | Link | str, ...]]:
    """Table rows of one cell of the matrix; the first is its anchor."""
    for number, mistake in enumerate(group):
        second, picture = _thumbnail(mistake)
        anchor = "" if number else f' id="m{pair[0]}-{pair[1]}"'
        data = base64.b64encode(picture).decode("ascii")
        shown = f'<img alt="" src="data:image/jpeg;base64,{data}">' if picture else "no picture"
        yield (
            Drawing(f"<span{anchor}>{shown}</span>"),
            Link(Path(mistake.path).name, f"{_address(mistake.path, folder)}#t={second:.2f}"),
            f"{second:.2f}",
            labels[pair[0]],
            labels[pair[1]],
            f"{100 * mistake.score:.1f} %",
            f"{100 * mistake.own_score:.1f} %",
        )


def _address(path: str, folder: Path) -> str:
    """The video as seen from the page, escaped."""
    try:
        place = os.path.relpath(Path(path).resolve(), folder.resolve())
    except ValueError:  # on another drive
        return escape(Path(path).resolve().as_uri())
    return escape(quote(Path(place).as_posix(), errors="surrogateescape"))


def _thumbnail(mistake: Mistake) -> tuple[float, bytes]:
    """The second and a JPEG of the frame in the middle of what counts; the start and nothing where
    it does not decode."""

    def middle(video: Video) -> list[float]:
        stop = video.duration if mistake.stop is None else mistake.stop
        return [(mistake.start + stop) / 2]

    times, frames = read_stills(mistake.path, middle)
    return (times[0], encode_image(frames[0], ".jpg")) if times else (mistake.start, b"")

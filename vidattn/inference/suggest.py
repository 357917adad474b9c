"""Which windows of unlabeled videos to label next.

A model learns most from windows on which it is unsure, and more from some that lie apart than from
neighbors: those of the highest priority, none beside another one. Embeddings come from the cache.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.data.frames import item_window
from vidattn.errors import UsageError, VideoError
from vidattn.inference.embed import Embedder
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.output.thumbnails import read_stills
from vidattn.output.video.heatmap import encode_image
from vidattn.types import Framing, Item, Suggestion, Window
from vidattn.video import Opening, Video, open_video

TOUCH = 1e-6
"""Seconds by which the times of neighbors may differ."""
PICTURES = 3
"""Frames in the picture of a window."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scanned:
    """A video whose windows are known, or the error for which they are not."""

    path: str
    error: VideoError | None = None


def suggest_windows(
    paths: Sequence[str],
    embedder: Embedder,
    count: int = 50,
    *,
    labeled: Mapping[tuple[str, str], Sequence[Window]] | None = None,
    known: Mapping[str, int] | None = None,
) -> Iterator[Scanned | tuple[Suggestion, ...]]:
    """Scan videos, and at last yield the windows to label next, the most useful first.

    labeled: spans that have labels already, by path and area ("" for the whole picture), whose
    windows are left out. known: how many examples each label has; rare ones come first. Raises
    UsageError for a model whose head is not a layer on its embeddings.
    """
    classifier, labeled = embedder.classifier, labeled or {}
    names: list[tuple[str, str]] = []
    spans, vectors = [], []
    for path in paths:
        error: VideoError | None = None
        for roi in classifier.clip.rois or ("",):
            try:
                found, offset = embedder.embed(Item(path, 0, roi=roi)), embedder.start(path)
            except VideoError as failed:
                error = error or failed
                continue
            windows = found.windows + offset
            free = ~_inside(windows.mean(axis=1), labeled.get((path, roi), ()))
            names += [(path, roi)] * int(free.sum())
            spans.append(windows[free])
            vectors.append(found.vectors[free])
        yield Scanned(path, error)
    if not names:
        yield ()
        return
    times, rows = np.concatenate(spans), np.concatenate(vectors)
    scores = score_embeddings(classifier, rows)
    counts = np.array([(known or {}).get(label, 0) for label in classifier.labels])
    unsure = measure_doubt(scores, classifier)
    priority = unsure * measure_rarity(scores, counts)
    chosen = choose_windows(names, times, priority, count)
    best = scores.argmax(axis=1)
    yield tuple(
        Suggestion(
            names[i][0],
            Window(*times[i].tolist()),
            classifier.labels[best[i]],
            float(scores[i, best[i]]),
            float(unsure[i]),
            tuple(scores[i].tolist()),
            describe_choice(scores[i], classifier, known),
            names[i][1],
        )
        for i in chosen
    )


def score_embeddings(classifier: Classifier, vectors: NDArray[np.float32]) -> Floats:
    """Scores [N, K] of embeddings [N, D]. Raises UsageError where the head takes no embeddings."""
    head = getattr(classifier.model, "head", None)
    if head is None:
        raise UsageError(
            f"{classifier.card.name}: its head cannot be applied to saved embeddings",
            hint="give a model that vidattn teach has made",
        )
    with torch.inference_mode():
        rows = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
        scores: Floats = classifier.scores(head(rows)[:, None]).double().numpy()
    return scores


def measure_doubt(scores: Floats, classifier: Classifier) -> Floats:
    """How unsure a model is of each row, [N], from 0 to 1.

    One label at a time: how close the two likeliest are. Several at once: how close the closest
    label is to its threshold.
    """
    if classifier.activation == "sigmoid":
        limits = np.array(classifier.thresholds or [0.5] * scores.shape[1])
        far = np.abs(scores - limits) / np.where(scores < limits, limits, 1 - limits + 1e-9)
        return np.asarray(1 - far.min(axis=1).clip(0, 1))
    if scores.shape[1] < 2:
        return np.asarray(1 - scores[:, 0])
    second, first = np.sort(scores, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


def describe_choice(
    scores: Floats, classifier: Classifier, known: Mapping[str, int] | None = None
) -> str:
    """What makes a window with such scores, [K], useful. known: as of `suggest_windows`."""
    labels = classifier.labels
    first, *rest = np.argsort(-scores, kind="stable").tolist()
    if classifier.activation == "sigmoid":
        limits = np.array(classifier.thresholds or [0.5] * len(labels))
        first = int(np.abs(scores - limits).argmin())
        text = f"{labels[first]} is near its threshold, {100 * limits[first]:.0f} %"
    elif rest:
        apart = 100 * (scores[first] - scores[rest[0]])
        text = f"{labels[first]} or {labels[rest[0]]}, {apart:.0f} points apart"
    else:
        text = f"{labels[first]} is unsure"
    rare = f"; {labels[first]} has {count_noun((known or {}).get(labels[first], 0), 'example')}"
    return text + rare * bool(known)


def draw_window(
    path: str, window: Window, opening: Opening = open_video, *, framing: Framing | None = None
) -> bytes:
    """PICTURES frames of a window side by side, as a JPEG; empty if they do not decode.

    window: seconds from the start of the file. framing: the part of the picture to show.
    """

    def moments(video: Video) -> list[float]:
        region = item_window(video, Item(path, 0, window))
        return [region.start + (k + 0.5) / PICTURES * region.duration for k in range(PICTURES)]

    _, frames = read_stills(path, moments, opening, framing)
    return encode_image(np.concatenate(frames, axis=1), ".jpg") if frames else b""


def measure_rarity(scores: Floats, counts: NDArray[np.int64]) -> Floats:
    """A weight of each row, [N], up to 1: the rarer the examples of its likely labels are."""
    rare = (counts.min() + 1) / (counts + 1)
    return np.asarray(scores @ rare / scores.sum(axis=1))


def choose_windows(
    names: Sequence[Hashable], spans: Floats, priority: Floats, count: int
) -> list[int]:
    """The numbers of at most `count` windows, the highest priority first.

    A window beside one that is chosen already is left out as long as there are others. names: the
    video of each, where it lies at spans [N, 2], in seconds; priority: [N].
    """
    numbers = {name: number for number, name in enumerate(names)}
    videos = np.array([numbers[name] for name in names])
    order = np.argsort(-priority, kind="stable").tolist()
    free = np.ones(len(order), dtype=np.bool_)
    chosen: list[int] = []
    for i in order:
        if free[i] and len(chosen) < count:
            chosen.append(i)
            start, stop = spans[i] + (-TOUCH, TOUCH)
            free &= (videos != videos[i]) | (spans[:, 1] < start) | (spans[:, 0] > stop)
    taken = set(chosen)
    return [*chosen, *(i for i in order if i not in taken)][:count]


def _inside(times: Floats, spans: Sequence[Window]) -> NDArray[np.bool_]:
    inside = np.zeros(len(times), dtype=np.bool_)
    for span in spans:
        inside |= (span.start <= times) & (times < span.stop)
    return inside

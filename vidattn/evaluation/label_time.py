"""Each label of timelines by itself, over time, where several labels may hold at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.evaluation.label_metrics import Floats, LabelMetrics, Marks, measure_labels
from vidattn.evaluation.segmentation import (
    LEAST,
    NOTHING,
    LabelNumbers,
    VideoComparison,
    compare_video,
)
from vidattn.timeline import Timeline


def evaluate_label_time(
    pairs: Sequence[tuple[AnnotatedVideo, Timeline | None]],
    *,
    background: Collection[str] = (),
    rate: float | None = None,
) -> LabelMetrics | None:
    """F1 and average precision of each label over the time of all videos, weighted by seconds.

    A label is predicted where a segment of it is; its score at a moment is that of the windows
    there, and 0 where nothing was seen. Intervals are over videos, each with all its areas. Labels
    are those of the ground truth and of segments. None where neither spans overlap nor a model lets
    labels do so. Arguments as of `evaluate_segmentation`.
    """
    labels = LabelNumbers(background)
    videos = [compare_video(truth, one, labels, rate) for truth, one in pairs]
    several = (video.timeline is not None and video.timeline.several for video in videos)
    if not labels.names or not (any(several) or any(video.truth is None for video in videos)):
        return None
    parts = [_cut_time(video, labels) for video in videos]
    groups = [truth.name for (truth, _), part in zip(pairs, parts, strict=True) for _ in part[0]]
    seconds, truth, predicted, scores = map(np.concatenate, zip(*parts, strict=True))
    return measure_labels(labels.names, scores, predicted, truth, groups, seconds)


def _cut_time(video: VideoComparison, labels: LabelNumbers) -> tuple[Floats, Marks, Marks, Floats]:
    """The seconds [n] of the pieces of a video in which nothing changes; and of each label there,
    [n, K], whether it holds, whether it is predicted, and its score."""
    timeline = video.timeline
    cells = [(c.start, c.stop) for c in timeline.cells] if timeline is not None else []
    spans = [video.true_spans[1], video.predicted_spans[1], np.reshape(cells, (-1, 2))]
    ends = video.pieces.ravel()[[0, -1]] / video.rate if len(video.pieces) else np.zeros(2)
    edges = np.concatenate([np.ravel(part) for part in spans]).clip(*ends)
    edges = np.unique([*edges, *ends])
    long = np.diff(edges) >= LEAST
    seconds, middles = np.diff(edges)[long], (edges[:-1] + np.diff(edges) / 2)[long]
    shape = len(middles), len(labels.names)
    truth = _cover(middles, shape, *video.true_spans)
    predicted = _cover(middles, shape, *video.predicted_spans[:2])
    scores = np.zeros(shape)
    if timeline is not None:
        known = {labels.find(name): k for k, name in enumerate(timeline.labels)}
        known.pop(NOTHING, None)
        places = np.searchsorted(middles, spans[2])
        for (first, after), row in zip(places, timeline.cell_scores, strict=True):
            scores[first:after, list(known)] = row[list(known.values())]
    return seconds, truth, predicted, scores


def _cover(
    middles: Floats, shape: tuple[int, int], ids: NDArray[np.int64], bounds: Floats
) -> Marks:
    """Which labels hold at each of the moments."""
    marks = np.zeros(shape, dtype=np.bool_)
    for number, (first, after) in zip(ids, np.searchsorted(middles, bounds), strict=True):
        marks[first:after, number] = True
    return marks

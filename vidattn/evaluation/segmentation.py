"""Timelines against ground truth: frame accuracy, segment metrics and detection metrics.

Needs neither model nor video. Of a video of which a part was seen (`--end`, an interrupted run) or
annotated, that part is judged. In it, a moment without a prediction counts as wrong (unreadable, or
the whole video is missing).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import normalize_label
from vidattn.data.annotations.ground_truth import AnnotatedVideo
from vidattn.errors import DataError
from vidattn.evaluation import metrics
from vidattn.evaluation.pairing import clip_spans, common_part, name_limit
from vidattn.timeline import Timeline
from vidattn.timeline.segments import BACKGROUND
from vidattn.types import Window

RATE = 25.0
"""Frames that a second of labeled spans counts for, beside videos with labels of frames."""
LEAST = 0.0015
"""Seconds; timelines are in whole milliseconds, so a shorter piece of one is rounding."""
OVERLAPS = (0.10, 0.25, 0.50)
"""IoU thresholds of F1, as reported by MS-TCN."""
ACTIVITYNET = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
THUMOS = (0.3, 0.4, 0.5, 0.6, 0.7)
THRESHOLDS = tuple(sorted({*ACTIVITYNET, *THUMOS}))
METRICS = (
    "frame_accuracy",
    "frame_accuracy_foreground",
    "edit",
    *(f"f1@{round(100 * overlap)}" for overlap in OVERLAPS),
    "map",
    "map_thumos",
    *(f"map@{threshold:g}" for threshold in THRESHOLDS),
)
"""The names of all metrics; values from 0 to 1."""
NOTHING, UNSEEN = -1, -2
"""Background, and moments without a prediction; labels are 0 and more."""

Bounds = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass
class LabelNumbers:
    """Numbers of labels; all names of background share one."""

    background: Collection[str]
    names: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = {normalize_label(name): NOTHING for name in (*self.background, BACKGROUND)}

    def number(self, name: str) -> int:
        """The number of a label, NOTHING for background."""
        key = normalize_label(name)
        if key not in self._numbers:
            self._numbers[key] = len(self.names)
            self.names.append(name)
        return self._numbers[key]

    def find(self, name: str) -> int:
        """As `number`, but NOTHING for a label that has none yet."""
        return self._numbers.get(normalize_label(name), NOTHING)


@dataclass(frozen=True)
class VideoComparison:
    """Pieces of one video, the label of each, None where true spans overlap, and its spans."""

    timeline: Timeline | None
    """Its times begin where those of the ground truth do."""
    pieces: Bounds
    """[n, 2] in frames, of all that is judged."""
    rate: float
    """Frames a second; of labeled spans RATE."""
    truth: Ids | None
    predicted: Ids
    true_spans: tuple[Ids, Bounds]
    """Labels [n], and seconds [n, 2]."""
    predicted_spans: tuple[Ids, Bounds, Bounds]
    """And scores [n]."""
    part: Mapping[str, Any] | None
    """The part that is judged; None for all of the video."""

    @property
    def weights(self) -> Bounds:
        """The length of each piece."""
        return self.pieces[:, 1] - self.pieces[:, 0]

    def runs(self, ids: Ids) -> tuple[Bounds, Ids]:
        """Runs of equal labels: bounds [R, 2] in frames, and labels [R]."""
        bounds, labels = metrics.label_runs(ids)
        return np.stack([self.pieces[bounds[:, 0], 0], self.pieces[bounds[:, 1] - 1, 1]], 1), labels


@dataclass(frozen=True)
class SegmentationMetrics:
    """The metrics over all videos of the ground truth."""

    metrics: Mapping[str, float | None]
    """By the names in METRICS; None where undefined."""
    per_class: tuple[Mapping[str, Any], ...]
    videos: int
    framewise: int
    """Videos that count for frame accuracy, edit and F1; in the others spans overlap."""
    frames: int
    parts: tuple[Mapping[str, Any], ...]
    """The part of each video that is judged, where it is not all of it."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        head = {"videos": self.videos, "framewise": self.framewise, "frames": self.frames}
        rows = {"parts": [*map(dict, self.parts)], "per_class": [*map(dict, self.per_class)]}
        return {**self.metrics, **head, **rows}


def evaluate_segmentation(
    pairs: Sequence[tuple[AnnotatedVideo, Timeline | None]],
    *,
    background: Collection[str] = (),
    rate: float | None = None,
) -> SegmentationMetrics:
    """Compare timelines with ground truth; None is a video without a prediction.

    background: labels to treat as background, beside "background". rate: frames a second of
    frame labels; by default they are spread over the video, or match its frames one by one where
    they are as many. Frame accuracy is over all frames of all videos, edit the mean over videos, F1
    from the counts of all (MS-TCN, eval.py). Mean average precision is over the classes of the
    ground truth, with the score of a segment as its confidence (ActivityNet, eval_detection.py);
    "map" is its mean at IoU 0.5, 0.55 ... 0.95, "map_thumos" at 0.3 ... 0.7.
    """
    labels = LabelNumbers(background)
    # By name: of detections with equal scores, those of the first video come first.
    ordered = sorted(pairs, key=lambda pair: pair[0].name)
    compared = [compare_video(truth, timeline, labels, rate) for truth, timeline in ordered]
    clear = [video for video in compared if video.truth is not None]
    precisions, per_class = _detection(compared, labels.names)
    values = {**_framewise(clear), **precisions}
    shown = {name: None if math.isnan(values[name]) else values[name] for name in METRICS}
    frames = round(sum(float(video.weights.sum()) for video in clear))
    parts = tuple(video.part for video in compared if video.part)
    return SegmentationMetrics(shown, tuple(per_class), len(compared), len(clear), frames, parts)


def fit_threshold(
    pairs: Sequence[tuple[AnnotatedVideo, Timeline | None]],
    *,
    background: Collection[str] = (),
    rate: float | None = None,
) -> tuple[float, float]:
    """The threshold from 0 to 1 with the best F1@50, and that F1.

    Where labels overlap in all videos, mAP@0.5 counts instead. Steps of 0.05 are tried, then of
    0.01 around the best; of equally good ones the middle one is taken. The other settings of the
    timelines stay. Raises DataError when the ground truth has no segments.
    """

    def value(threshold: float) -> float:
        changed = [
            (truth, None if one is None else one.with_decoding(threshold=threshold, leave=None))
            for truth, one in pairs
        ]
        values = evaluate_segmentation(changed, background=background, rate=rate).metrics
        best = values["f1@50"] if values["f1@50"] is not None else values["map@0.5"]
        if best is None:
            raise DataError("the ground truth has no segments: there is no best threshold")
        return best

    tried = {i: value(i / 100) for i in range(0, 100, 5)}
    best = _middle(tried)
    tried |= {i: value(i / 100) for i in range(max(best - 4, 0), best + 5) if i not in tried}
    best = _middle(tried)
    return best / 100, tried[best]


def _middle(values: Mapping[int, float]) -> int:
    """The middle one of the numbers with the greatest value."""
    most = max(values.values())
    best = sorted(i for i, value in values.items() if value >= most - 1e-12)
    return best[len(best) // 2]


def compare_video(
    truth: AnnotatedVideo, timeline: Timeline | None, labels: LabelNumbers, rate: float | None
) -> VideoComparison:
    """A video with its prediction, both in the same labels. rate: as of `evaluate_segmentation`."""
    if timeline is not None and not truth.frames:
        timeline = timeline.from_file_start()  # as annotation tools count
    part = truth.part if timeline is None else common_part(timeline, truth)
    # The ground truth first: its names are shown.
    true_ids = np.array([labels.number(name) for name in truth.frames], np.int64)
    spans = [(w.start, w.stop, labels.number(name)) for w, name in clip_spans(truth.spans, part)]
    segments = () if timeline is None else ((s.window, s) for s in timeline.segments)
    predicted_spans = [
        (w.start, w.stop, labels.number(s.label), s.score) for w, s in clip_spans(segments, part)
    ]
    duration = timeline.duration if timeline is not None else truth.duration
    track = timeline.single_track if timeline is not None else ()
    rows = [(s.window.start, s.window.stop, labels.number(s.label)) for s in track]
    predicted: Ids | None = None
    known: Ids | None = true_ids
    if truth.frames:
        count = len(truth.frames)
        rate = rate or (count / duration if duration else 1.0)
        predicted = _frame_labels(timeline, labels, count)
        bounds, numbers = metrics.label_runs(true_ids)
        runs = [(Window(a / rate, b / rate), n) for (a, b), n in zip(bounds, numbers, strict=True)]
        spans = [(w.start, w.stop, n) for w, n in clip_spans(runs, part)]
        pieces = np.arange(count)[:, None] + np.array([0.0, 1.0])
        judged = slice(round(part.start * rate), round(part.stop * rate)) if part else slice(None)
        pieces, known = pieces[judged], true_ids[judged]
        predicted = None if predicted is None else predicted[judged]
    else:
        duration = truth.duration or duration or max((s[1] for s in spans), default=0.0)
        rate, spans = RATE, [span for span in spans if span[2] >= 0]
        ends = (part.start, part.stop) if part else (0.0, duration)
        pauses = [(w.start, w.stop, 0) for w in (timeline.unrecorded if timeline else ())]
        pieces = _cut_pieces([*spans, *rows, *pauses], *ends) * rate
        pieces = pieces[_label_pieces(pauses, pieces / rate, NOTHING) == NOTHING]
        known = _label_pieces(spans, pieces / rate, NOTHING)
    if predicted is None:
        predicted = _label_pieces(rows, pieces / rate, UNSEEN)
        assert predicted is not None, "segments of a timeline never overlap"
    found = (
        _arrays(spans),
        _scored(predicted_spans),
        _describe_part(truth, timeline, part, duration),
    )
    return VideoComparison(timeline, pieces, rate, known, predicted, *found)


def _describe_part(
    truth: AnnotatedVideo, timeline: Timeline | None, part: Window | None, duration: float | None
) -> dict[str, Any] | None:
    """The judged part of a video as JSON values; None where it is all of it."""
    if part is None or (duration and part.duration > duration - 0.1):
        return None
    return {
        "video": truth.name,
        **({"roi": truth.roi} if truth.roi else {}),
        "start": round(part.start, 3),
        "end": round(part.stop, 3),
        "duration": duration and round(duration, 3),
        "limit": name_limit(timeline, part),
    }


def _cut_pieces(spans: Iterable[tuple[float, float, int]], first: float, last: float) -> Bounds:
    """The pieces [n, 2] of a part of a video, in seconds, between neighboring edges of spans."""
    inside = (time for start, stop, _ in spans for time in (start, stop) if first < time < last)
    edges = np.array(sorted({first, *inside, last}))
    pieces = np.stack([edges[:-1], edges[1:]], 1)
    return pieces[np.diff(edges) >= LEAST]


def _arrays(spans: Sequence[tuple[float, float, int]]) -> tuple[Ids, Bounds]:
    rows = [row for row in spans if row[2] >= 0]
    return (
        np.array([row[2] for row in rows], np.int64),
        np.array([row[:2] for row in rows], np.float64).reshape(-1, 2),
    )


def _scored(spans: Sequence[tuple[float, float, int, float]]) -> tuple[Ids, Bounds, Bounds]:
    numbers, bounds = _arrays([row[:3] for row in spans])
    return numbers, bounds, np.array([row[3] for row in spans if row[2] >= 0], np.float64)


def _frame_labels(timeline: Timeline | None, labels: LabelNumbers, count: int) -> Ids | None:
    """The label of each frame by its number, if the timeline has frame numbers and as many."""
    if timeline is None or timeline.input.frames != count:
        return None
    segments = timeline.single_track
    if any(s.start_frame is None or s.end_frame is None for s in segments):
        return None
    ids = np.full(count, UNSEEN)
    for segment in segments:
        ids[segment.start_frame : segment.end_frame] = labels.number(segment.label)
    return ids


def _label_pieces(
    spans: Sequence[tuple[float, float, int]], pieces: Bounds, empty: int
) -> Ids | None:
    """The label at the middle of each piece; None if spans contradict each other."""
    middles = pieces.mean(axis=1)
    ids = np.full(len(pieces), empty)
    for start, stop, number in spans:
        first, after = np.searchsorted(middles, (start - 1e-9, stop - 1e-9))
        own = ids[first:after]
        if ((own != empty) & (own != number)).any():
            return None
        own[:] = number
    return ids


def _framewise(videos: Sequence[VideoComparison]) -> dict[str, float]:
    """Accuracy, edit and F1 of videos with one true label at a time."""
    right = total = acting = right_acting = 0.0
    edits = []
    counts = np.zeros((len(OVERLAPS), 3), np.int64)
    for video in videos:
        assert video.truth is not None
        weights, busy = video.weights, video.truth >= 0
        good = np.where(video.truth == video.predicted, weights, 0.0)
        right, total = right + float(good.sum()), total + float(weights.sum())
        right_acting += float(good[busy].sum())
        acting += float(weights[busy].sum())
        spans, labels = video.runs(video.predicted)
        true_spans, true_labels = video.runs(video.truth)
        edits.append(metrics.edit_score(labels, true_labels))
        for i, overlap in enumerate(OVERLAPS):
            least = overlap - 1e-9  # an IoU of exactly a threshold reaches it
            counts[i] += metrics.f1_counts(spans, labels, true_spans, true_labels, least)
    nan = float("nan")
    return {
        "frame_accuracy": right / total if total else nan,
        "frame_accuracy_foreground": right_acting / acting if acting else nan,
        "edit": float(np.mean(edits)) if edits else nan,
        **{
            f"f1@{round(100 * overlap)}": metrics.f1(*map(int, row))
            for overlap, row in zip(OVERLAPS, counts, strict=True)
        },
    }


def _detection(
    videos: Sequence[VideoComparison], names: Sequence[str]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Mean average precision at every threshold, and a row for each true class."""
    truth = _concatenate([video.true_spans for video in videos])
    predicted = _concatenate([video.predicted_spans[:2] for video in videos])
    scores = np.concatenate([np.zeros(0), *(video.predicted_spans[2] for video in videos)])
    rows, table = [], []
    for number in np.unique(truth[1]).tolist():
        own, theirs = truth[1] == number, predicted[1] == number
        precision = metrics.average_precision(
            (predicted[0][theirs], predicted[2][theirs], scores[theirs]),
            (truth[0][own], truth[2][own]),
            np.array(THRESHOLDS) - 1e-9,  # an IoU of exactly a threshold reaches it
        )
        rows.append(precision)
        half = float(precision[THRESHOLDS.index(0.5)])
        counts = {"spans": int(own.sum()), "found": int(theirs.sum())}
        table.append({"label": names[number], **counts, "ap@0.5": half})
    means = np.mean(rows, axis=0) if rows else np.full(len(THRESHOLDS), np.nan)
    at = dict(zip(THRESHOLDS, means.tolist(), strict=True))
    result = {f"map@{threshold:g}": mean for threshold, mean in at.items()}
    result["map"] = float(np.mean([at[threshold] for threshold in ACTIVITYNET]))
    result["map_thumos"] = float(np.mean([at[threshold] for threshold in THUMOS]))
    return result, table


def _concatenate(parts: Sequence[tuple[Ids, Bounds]]) -> tuple[Ids, Ids, Bounds]:
    """Video numbers, labels and spans of all videos."""
    videos = [np.full(len(ids), number) for number, (ids, _) in enumerate(parts)]
    return (
        np.concatenate([np.zeros(0, np.int64), *videos]),
        np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in parts)]),
        np.concatenate([np.zeros((0, 2)), *(bounds for _, bounds in parts)]),
    )

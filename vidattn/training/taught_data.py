"""Samples for `teach`: whether they are enough, their windows, what the backbone sees of these."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vidattn.config import Activation, ClipConfig, FlowConfig, TaughtConfig
from vidattn.config.run_options import LabelsAtOnce
from vidattn.data.batch import VideoFailure
from vidattn.data.clip_dataset import mark_labels
from vidattn.data.labeled_dataset import OTHERS_HINT, LabeledDataset, name_first
from vidattn.errors import DataError, UsageError, VideoError
from vidattn.inference.embed import Embedder
from vidattn.models.classifier import Classifier, Model
from vidattn.models.device import is_small
from vidattn.models.flow import FlowHistogram
from vidattn.models.foreign import HfModel
from vidattn.models.stam import Stam
from vidattn.models.taught import TaughtModel
from vidattn.models.timesformer import TimeSformer
from vidattn.training.data import LONGEST_STEP, round_down
from vidattn.types import Item

MOST_PIECES = 4
"""Clips of the backbone in a window."""
MOST_NUMBERS = 8192
"""Of the embedding of a piece; a finer grid of patches would have more."""
ENLARGED = 2
"""A small backbone sees pictures of so many times its own size: that costs little, and what moves
in a corner of the frame fills more than one patch."""
MARGIN = 1.5
"""Side of the frame that is searched for motion, in sides of what the backbone sees of it."""
FLOW_RATE, FLOW_PIECES = 12, 4
"""Frames a second between which motion is measured, and the parts of a window in which it is."""
FEWEST, MOST_FRAMES = 2, 16
"""Frames of such a part."""
EVEN_MOTION = 1e-4
"""`FlowConfig.even_motion`: what stands still is like noise, which has no direction, either, and
not unlike all examples. Noise has a hundred times as much."""


@dataclass(frozen=True, eq=False)
class LabeledWindows:
    """Windows of the samples of a dataset; samples whose video cannot be read have none."""

    samples: NDArray[np.int64]
    """[N], the number of the sample that a window is of, rising."""
    spans: NDArray[np.float64]
    """[N, 2], seconds."""
    truth: NDArray[np.bool_]
    """[N, K]"""
    vectors: torch.Tensor
    """float32 [N, P x G x D]"""

    def of_samples(self, samples: NDArray[np.int64]) -> LabeledWindows:
        """The windows of these samples."""
        kept = np.isin(self.samples, samples)
        rows = self.samples[kept], self.spans[kept], self.truth[kept]
        return LabeledWindows(*rows, self.vectors[torch.from_numpy(kept)])


def unwrap(classifier: Classifier) -> Classifier:
    """The backbone of a taught model as a classifier; another model as it is."""
    model = classifier.model
    if not isinstance(model, TaughtModel):
        return classifier
    config, clip = model.config, classifier.clip
    size = config.backbone.size
    short_side = round(clip.short_side * size / clip.crop)
    clip = replace(clip, frames=config.frames, short_side=short_side, crop=size)
    labels = tuple(f"class {i}" for i in range(config.backbone.classes))
    return Classifier(model.backbone, clip, labels, card=classifier.card)


def design_views(backbone: Classifier, span: float, zoom: bool) -> Classifier:
    """A model of windows of `span` seconds on a backbone, whose head is not fitted yet.

    zoom: whether it sees the part of the frame that moves. Raises UsageError for a backbone that
    our weights files cannot hold, or whose last layer is not a linear one.
    """
    clip, model = backbone.clip, backbone.model
    if not isinstance(model, Model | HfModel) or not isinstance(model.head, nn.Linear):
        raise UsageError(
            f"{backbone.card.name}: teach takes models of clips with one linear layer at the end",
            hint="such as timesformer-k400, stam-16-k400, motion-tiny or hf:FOLDER",
        )
    config, width = model.config, model.head.in_features
    pieces = min(max(round(span / clip.span_seconds), 1), MOST_PIECES)
    small = isinstance(model, TimeSformer | Stam) and is_small(model)
    size = clip.crop * (ENLARGED if small else 1)
    crop = round(size * MARGIN) if zoom else size
    frames = pieces * clip.frames
    taught = TaughtConfig(
        config,
        classes=2,
        pieces=pieces,
        frames=clip.frames,
        size=size,
        zoom=zoom,
        grid=_choose_grid(width, size, config),
    )
    seen = replace(
        clip,
        frames=frames,
        step_seconds=span / frames,
        short_side=max(crop, round(clip.short_side * crop / clip.crop)),
        crop=crop,
        sampling="dense",
    )
    return Classifier(TaughtModel(taught, model), seen, ("a", "b"), card=backbone.card)


def design_flow(backbone: Classifier, span: float, zoom: bool) -> Classifier:
    """As `design_views`, a model that sees optical flow; the backbone tells where in the frame."""
    config = FlowConfig(even_motion=EVEN_MOTION)
    frames = min(max(round(FLOW_RATE * span / FLOW_PIECES), FEWEST), MOST_FRAMES)
    crop = config.size * (2 if zoom else 1)
    taught = TaughtConfig(
        config, pieces=FLOW_PIECES, frames=frames, size=config.size, zoom=zoom, grid=0
    )
    seen = ClipConfig(
        frames=FLOW_PIECES * frames,
        step_seconds=span / (FLOW_PIECES * frames),
        short_side=crop,
        crop=crop,
        sampling="dense",
        area=backbone.clip.area,
        mask=backbone.clip.mask,
    )
    model = TaughtModel(taught, FlowHistogram(config))
    return Classifier(model, seen, ("a", "b"), card=backbone.card)


def _choose_grid(width: int, size: int, config: object) -> int:
    side = size // getattr(config, "patch", size)
    return next((n for n in (8, 4, 2, 1) if n <= side and n * n * width <= MOST_NUMBERS), 1)


def require_samples(dataset: LabeledDataset, labels_at_once: LabelsAtOnce) -> None:
    """Raise DataError or UsageError for a dataset that teaches nothing, whatever can be read."""
    activation = choose_activation(dataset.several, labels_at_once)
    if len(dataset.labels) < 2 and activation == "softmax":
        raise DataError(f"{dataset.root}: all samples are of one class", hint=OTHERS_HINT)
    labels = {label for item in dataset.items for label in item.all_labels}
    require_enough(dataset, labels, {item.group or item.path for item in dataset.items})


def require_enough(
    dataset: LabeledDataset, labels: Collection[int], groups: Collection[str], kind: str = ""
) -> None:
    """Raise DataError where samples with these labels, of these groups, teach or measure nothing.

    kind: which samples they are, such as "readable ".
    """
    if missing := [name for k, name in enumerate(dataset.labels) if k not in labels]:
        raise DataError(f"{dataset.root}: no {kind}example of {name_first(missing)}")
    if len(groups) < 2:
        raise DataError(
            f"{dataset.root}: all {kind}samples are of one group, so nothing can be measured",
            hint="give samples of two recordings or more, a column group, or --group-by",
        )


def choose_activation(several: bool, labels_at_once: LabelsAtOnce) -> Activation:
    """Sigmoid for several labels at once. Raises UsageError where they are, and one is wanted."""
    if several and labels_at_once == "one":
        raise UsageError("some samples have several labels, so they cannot be told one by one")
    return "sigmoid" if several or labels_at_once == "several" else "softmax"


def choose_span(embedder: Embedder, dataset: LabeledDataset, window: float | None) -> float:
    """Seconds of a window: `window`, or the lower quartile of the samples, but no longer than the
    backbone sees in MOST_PIECES clips; and at most LONGEST_STEP a frame."""
    if window is not None:
        return window
    clip = embedder.classifier.clip
    seconds = list(_durations(embedder, dataset.items))
    if not seconds:
        return clip.span_seconds
    longest = min(MOST_PIECES * clip.span_seconds, MOST_PIECES * clip.frames * LONGEST_STEP)
    return round_down(min(float(np.quantile(seconds, 0.25)), longest))


def _durations(embedder: Embedder, items: Sequence[Item]) -> Iterator[float]:
    for item in items:
        try:
            yield item.window.duration if item.window else embedder.duration(item.path)
        except VideoError:
            continue


def embed_samples(
    embedder: Embedder, dataset: LabeledDataset
) -> Iterator[int | VideoFailure | LabeledWindows]:
    """The number of samples that are done, failures, and at last the windows of all.

    A window has the labels that hold at its center, see `Item.labels_at`.
    """
    numbers, ends, truth, vectors = [], [], [], []
    classes = len(dataset.labels)
    for number, item in enumerate(dataset.items):
        try:
            found = embedder.embed(item)
            start = embedder.start(item.path) if item.also else 0.0
        except VideoError as error:
            yield VideoFailure(item.path, error.code, error.message)
            continue
        for window in found.windows:
            numbers.append(number)
            ends.append(window)
            truth.append(mark_labels(item.labels_at(start + window.mean()), classes))
        vectors.append(found.vectors)
        yield number + 1
    if vectors:
        rows = torch.from_numpy(np.concatenate(vectors))
        marks = torch.stack(truth).bool().numpy()
        yield LabeledWindows(np.array(numbers), np.array(ends), marks, rows)

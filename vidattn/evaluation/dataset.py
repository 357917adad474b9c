"""Predictions of a classifier for a dataset: every video once, in the views asked for; and
`vidattn.evaluate`, their metrics as one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidattn.config import ClipConfig, ViewConfig
from vidattn.config.labels import normalize_label
from vidattn.config.run_options import EvalSampling, EvalViews
from vidattn.config.serialization import check_value
from vidattn.data import plan, sampling
from vidattn.data.batch import Batch, VideoFailure
from vidattn.data.clip_dataset import EvaluationVideos, Planner
from vidattn.data.labeled_dataset import LabeledDataset, keep_areas, name_first
from vidattn.data.sampling import as_views
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, UsageError
from vidattn.evaluation.classification import measure_predictions
from vidattn.evaluation.predictions import Predictions
from vidattn.inference.arguments import (
    EvalKeywords,
    find_classifier,
    require_known,
    take_keywords,
)
from vidattn.inference.scorer import Scorer, precision_of
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.models.conv2d import FrameResNet
from vidattn.models.device import Runtime, to_device
from vidattn.models.distributed import World
from vidattn.models.temporal_head import TemporalHead
from vidattn.types import Item, View, Window
from vidattn.video import Limits, Video
from vidattn.weights.loading import read_training_recipe

OFFICIAL_FPS = 30
"""Frames a second by which the official code counts the frame step of a model."""


@dataclass(frozen=True)
class VideoPredicted:
    """One video is done."""

    number: int
    """Its place in the dataset."""
    path: str
    """With the region of the file that counts, if not all does: "game.mp4#t=1.5,4" (seconds)."""
    label: int
    """The true class, as the classifier numbers it."""
    logits: NDArray[np.float32] | None
    """Averaged over the views [K], see `Classifier.average_views`; None when it does not decode."""
    scores: NDArray[np.float32] | None
    """Probabilities [K]."""
    failure: VideoFailure | None = None
    views: int = 0
    """How many were scored: of a video that is too short fewer than asked for, none twice."""


class DatasetEvaluator:
    """One classifier, one dataset, and one way to sample its videos.

    The prediction for a video is the same to the bit whatever else is in the dataset and whichever
    process makes it.

    limits: of every video. Raises DataError when the dataset has classes that the classifier does
    not know.
    """

    def __init__(
        self,
        classifier: Classifier,
        source: LabeledDataset,
        options: EvalViews = EvalViews(),
        *,
        runtime: Runtime = Runtime(),
        limits: Limits | None = None,
    ) -> None:
        clip, views, frames = classifier.clip, options.views or ViewConfig(), options.frames
        mode = default_sampling(clip) if options.sampling == "auto" else options.sampling
        if mode == "dense" and frames is not None:
            views, frames = replace(views, clips=plan.count_clips(frames, clip)), None
        dense = mode == "dense" or (mode == "official" and clip.train_sampling == "dense")
        source, self.warnings = keep_areas(source, clip)
        self.classifier, self.source, self.runtime = classifier, source, runtime
        self.limits = limits
        self.true_labels = align_labels(
            source.labels, classifier.labels, source, classifier.card.name
        )
        tsm = isinstance(classifier.model, FrameResNet)
        self.planner = make_planner(clip, views, mode, frames, tsm=tsm)
        self.views = views
        self.settings: dict[str, Any] = {
            "views": f"{views.spatial}x{views.clips}",
            "sampling": mode,
            "frames": frames or clip.frames,
            **({"step_seconds": round(clip.step_seconds, 6)} if dense else {}),
            "short_side": clip.short_side,
            "crop": clip.crop,
            **{key: text for key in ("area", "mask") if (text := getattr(clip, key))},
            "averaging": classifier.averaging,
            "precision": precision_of(classifier, runtime),
            "reader": runtime.reader,
        }

    def predict(
        self, share: tuple[int, int] = (0, 1), workers: int = 0
    ) -> Iterator[VideoPredicted]:
        """Predictions for every n-th video from number r on, for share (r, n).

        workers: processes that prefetch videos.
        """
        scorer = Scorer(self.classifier, self.runtime)
        videos = EvaluationVideos(
            self.source, self.classifier.clip, self.planner, self.runtime.reader, self.limits
        )
        numbers = range(share[0], len(self.source.items), share[1])
        for viewed in videos.all(workers, numbers):
            item = self.source.items[viewed.number]
            path, label = _item_name(item), int(self.true_labels[item.label])
            if viewed.clips is None:
                yield VideoPredicted(viewed.number, path, label, None, None, viewed.failure)
                continue
            logits = _score_views(scorer, viewed.clips)
            mean, scores = self.classifier.average_views(logits), self.classifier.scores(logits)
            found, count = (mean.numpy(), scores.numpy()), len(viewed.clips)
            yield VideoPredicted(viewed.number, path, label, *found, views=count)

    def gather(self, world: World, videos: Iterable[VideoPredicted]) -> list[VideoPredicted]:
        """The predictions of all processes; each process must call this with its own."""
        mine = list(videos)
        if world.size == 1:
            return mine
        facts = world.all_gather_objects(
            [[v.number, v.path, v.label, v.views, v.failure] for v in mine]
        )
        none = [np.zeros((0, 2, len(self.classifier.labels)), np.float32)]
        both = [(v.logits, v.scores) for v in mine]
        rows = [np.stack([a, b])[None] for a, b in both if a is not None and b is not None]
        gathered = iter(world.all_gather(torch.from_numpy(np.concatenate(none + rows))).numpy())
        return [
            VideoPredicted(number, path, label, None, None, VideoFailure(*failure))
            if failure
            else replace(VideoPredicted(number, path, label, *next(gathered)), views=views)
            for number, path, label, views, failure in facts
        ]

    def collect(self, videos: Iterable[VideoPredicted]) -> Predictions:
        """All predictions in the order of the dataset; failed videos are listed in `about`.

        Raises DataError when no video could be read.
        """
        ordered = sorted(videos, key=lambda video: video.number)
        failed = [video.failure for video in ordered if video.failure is not None]
        readable = [video for video in ordered if video.logits is not None]
        if not readable:
            count = count_noun(len(ordered), self.source.noun)
            raise DataError(
                f"{self.source.where}: of {count} none could be read"
                + (f"; the first: {failed[0].message}" if failed else "")
            )
        card, warnings = self.classifier.card, [*self.classifier.warnings, *self.warnings]
        return Predictions(
            self.classifier.labels,
            tuple(video.path for video in readable),
            np.array([video.label for video in readable], np.int64),
            np.stack([video.logits for video in readable if video.logits is not None]),
            self.classifier.temperature,
            {
                "model": card.name,
                "sha256": card.sha256,
                "dataset": self.source.name,
                "unit": self.source.noun,
                "videos": len(ordered),
                "failed": [failure._asdict() for failure in failed],
                "settings": {**self.settings, **self._describe_seen(readable)},
                **({"warnings": warnings} if warnings else {}),
                **self._describe_several([self.source.items[v.number] for v in readable]),
            },
        )

    def _describe_seen(self, videos: Sequence[VideoPredicted]) -> dict[str, Any]:
        """The fewest and the most views of a video, unless all have those of the settings."""
        seen, asked = [video.views for video in videos], self.views.spatial * self.views.clips
        return {} if min(seen) == asked else {"views_seen": [min(seen), max(seen)]}

    def _describe_several(self, items: Sequence[Item]) -> dict[str, Any]:
        """All labels and the group of each item, and how the model decides on them; nothing where
        only one label holds at a time."""
        made = self.classifier
        if made.activation == "softmax" and not self.source.several:
            return {}
        own = [[int(self.true_labels[k]) for k in item.main_labels] for item in items]
        groups = [item.group or item.path for item in items]
        found = {"labels": own, "groups": groups, "activation": made.activation}
        return {"several": {**found, "thresholds": list(made.thresholds)}}


@torch.no_grad()
def predict_logits(
    model: nn.Module, batches: Iterable[Batch], device: str | torch.device = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits float32 [N, K] and labels int64 [N] of all clips; restores the mode of `model`.

    Raises DataError when there are no clips.
    """
    training, device = model.training, torch.device(device)
    model.eval().to(device)
    logits, labels = [], []
    try:
        for batch in batches:
            logits.append(model(to_device(batch.clips, device)).float().cpu().numpy())
            labels.append(batch.labels.numpy())
    finally:
        model.train(training)
    if not labels:
        raise DataError("nothing to evaluate: the dataset has no clips")
    return np.concatenate(logits), np.concatenate(labels)


def default_sampling(clip: ClipConfig) -> Literal["uniform", "dense"]:
    """The sampling of a trimmed video that resembles training."""
    return "uniform" if clip.train_sampling == "bins" else "dense"


def make_planner(
    clip: ClipConfig,
    views: ViewConfig,
    sampling: EvalSampling = "auto",
    frames: int | None = None,
    *,
    tsm: bool = False,
) -> Planner:
    """A function that plans the views of a video; arguments as of `EvalViews`.

    tsm: whether "official" is what the code of TSM does, and of networks made from it.
    """
    mode = default_sampling(clip) if sampling == "auto" else sampling
    if mode == "official":
        frames = frames or clip.frames
        return partial(_official_views, clip=clip, views=views, frames=frames, tsm=tsm)
    return partial(_planned_views, clip=clip, mode=mode, views=views, frames=frames)


def _planned_views(
    video: Video,
    region: Window,
    *,
    clip: ClipConfig,
    mode: Literal["uniform", "dense"],
    views: ViewConfig,
    frames: int | None,
) -> Sequence[View]:
    """The views that `vidattn.classify` plans."""
    planned = plan.plan_views(video.times, region, clip, frames=frames, mode=mode, views=views)
    return planned.views


def _official_views(
    video: Video, region: Window, *, clip: ClipConfig, views: ViewConfig, frames: int, tsm: bool
) -> Sequence[View]:
    """The views of the official test loaders: of TSM, of Kinetics, or of Something-Something for
    "bins"."""
    edges = np.array([region.start, region.stop]) - sampling.SAME_INSTANT
    first, stop = np.searchsorted(video.times, edges).tolist()
    total, numbers, bins = max(stop - first, 1), range(views.clips), clip.train_sampling == "bins"
    rate, fps = clip.step_seconds * OFFICIAL_FPS, float(video.fps)
    if tsm and bins:
        clips = [sampling.tsm_bins(frames, total, n) for n in numbers]
    elif tsm:
        clips = [sampling.tsm_dense(frames, total, n, views.clips) for n in numbers]
    elif bins:
        clips = [sampling.official_bins(frames, total)] * views.clips
    else:
        clips = [
            sampling.official_dense(frames, rate, total, fps, view=n, views=views.clips)
            for n in numbers
        ]
    return sampling.views(views, [first + indices for indices in clips])


def align_labels(
    labels: Sequence[str], known: Sequence[str], source: LabeledDataset, model: str
) -> NDArray[np.int64]:
    """The classifier's number of each class of a dataset, by name: int64 [len(labels)].

    Case, underscores and spaces do not matter. The classifier may know more classes. Only classes
    that occur in the dataset must be known; DataError lists those that are not.
    """
    numbers = {normalize_label(label): number for number, label in enumerate(known)}
    used = {label for item in source.items for label in item.main_labels}
    unknown = [labels[i] for i in sorted(used) if normalize_label(labels[i]) not in numbers]
    if unknown:
        own = {normalize_label(label) for label in labels}
        others = [label for label in known if normalize_label(label) not in own]
        raise DataError(
            f"{source.name}: {len(unknown)} of its {len(used)} classes are unknown to {model}: "
            f"{name_first(unknown)}; the model also has: {name_first(others) or 'no others'}",
            hint="name a model of these classes with -m, or train one: vidattn train --dataset ...",
        )
    return np.array([numbers.get(normalize_label(label), -1) for label in labels], np.int64)


def _item_name(item: Item) -> str:
    """The path of an item, with its region as a W3C media fragment."""
    if item.window is None:
        return item.path
    return f"{item.path}#t={item.window.start:.10g},{item.window.stop:.10g}"


def _score_views(scorer: Scorer, clips: Tensor) -> Tensor:
    """Logits [V, K] of clips [V, 3, T, H, W], in the batches that `vidattn.classify` has."""
    logits: list[Tensor] = []
    size = scorer.batch_size(clips.shape[2])
    for start in range(0, len(clips), size):
        logits += scorer(list(clips[start : start + size]))
    return torch.stack(logits)


def evaluate(
    model: Classifier | str | Path,
    dataset: str | os.PathLike[str],
    *,
    data_root: Path | None = None,
    group_by: str = "",
    workers: int = 0,
    runtime: Runtime = Runtime(),
    **keywords: Unpack[EvalKeywords],
) -> dict[str, Any]:
    """Measure a model on the validation videos of a dataset, as `vidattn eval --json` prints it.

    model: a classifier, or what `vidattn.load` takes. dataset: a known name, a folder or a list of
    videos. group_by: by default that of the recipe, if it was trained on this dataset. keywords:
    fields of `EvalViews` and `Runtime`, such as views= and device=. Videos that cannot be read are
    listed as "failed". Raises UsageError for the dataset motion and for temporal heads, DataError.
    """
    require_known(keywords, EvalKeywords)
    given = dict[str, Any](keywords) | {"views": as_views(keywords.get("views"))}
    options, runtime = take_keywords(given, EvalViews()), take_keywords(given, runtime)
    name, group_by = check_value(str, dataset, "dataset"), check_value(str, group_by, "group_by")
    if check_value(int, workers, "workers") < 0:
        raise UsageError(f"workers: a number of processes is 0 or more, got {workers}")
    classifier = find_classifier(model, options.frames)
    if name == "motion" or isinstance(classifier.model, TemporalHead):
        raise UsageError(
            "evaluate measures models of clips on videos", hint="vidattn eval measures the others"
        )
    source = classifier.path if isinstance(model, Classifier) else model
    recipe = read_training_recipe(source) if source else None
    own = recipe is not None and Path(recipe.data.dataset).name == Path(name).name
    group_by = group_by or (recipe.data.group_by if recipe and own else "")
    evaluator = DatasetEvaluator(
        classifier,
        open_dataset(name, data_root, "val", group_by=group_by),
        replace(options, views=options.views or (recipe.views if recipe else None)),
        runtime=runtime,
    )
    predictions = evaluator.collect(evaluator.predict(workers=workers))
    about = {**predictions.about, "dataset": name}
    return measure_predictions(replace(predictions, about=about))

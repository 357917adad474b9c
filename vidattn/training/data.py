"""Datasets of a training run: batches numbered through all epochs, and validation batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vidattn.config import Activation, Recipe, ViewConfig
from vidattn.config.recipes.small import SMALL
from vidattn.data.batch import Batch, VideoFailure
from vidattn.data.clip_dataset import VideoDataset
from vidattn.data.embedding_dataset import EmbeddingDataset
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.motion import camera, dataset
from vidattn.data.plan import DENSE_FRAMES
from vidattn.data.sets import open_dataset
from vidattn.data.video_cache import VideoCache
from vidattn.errors import RecipeError, VideoError
from vidattn.evaluation.dataset import make_planner
from vidattn.io.text import count_noun

LONGEST_STEP = 32 / 30
"""Seconds between frames that no window exceeds: the widest spacing of the paper's recipes."""
PROBED = 60
"""Files whose durations are read, evenly spread over the dataset."""


class TrainingDataset(Protocol):
    """Training and validation data of a run; with several processes, the shard of one."""

    labels: tuple[str, ...]
    activation: Activation
    """sigmoid where several labels may hold at once."""
    class_weights: tuple[float, ...]
    """As of `LabeledDataset.class_weights`; empty where the classes are as frequent."""
    steps_per_epoch: int
    batch_size: int
    """Clips of all processes together."""
    videos: int
    """Number of training videos that may fail to decode."""
    notes: tuple[str, ...]
    """Remarks on how the dataset was read, one sentence each."""
    warnings: tuple[str, ...]
    """Remarks that nobody may overlook."""
    unreadable: Sequence[VideoFailure]
    """Validation videos that did not decode in the last pass."""

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""

    def validation_batches(self) -> Iterator[Batch]:
        """The validation clips, the same in every epoch."""

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with what follows from the data: windows, views, inputs of a head."""


class MotionDataset:
    """The procedural dataset `motion`."""

    labels: tuple[str, ...] = camera.LABELS
    activation: Activation = "softmax"
    class_weights: tuple[float, ...] = ()
    videos = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unreadable: Sequence[VideoFailure] = ()

    def __init__(self, recipe: Recipe, folder: Path | None, shard: tuple[int, int]) -> None:
        if recipe.data.clips_per_epoch < recipe.optim.batch_size:
            raise RecipeError(
                f"data.clips_per_epoch {recipe.data.clips_per_epoch} is less than one batch of "
                f"{recipe.optim.batch_size}",
                hint="for example --set data.clips_per_epoch=12800, or a smaller --batch-size",
            )
        self.recipe, self.shard = recipe, shard
        self._training = dataset.MotionSamples(recipe, folder, shard)
        self._validation: list[Batch] | None = None
        self.steps_per_epoch = self._training.steps_per_epoch
        self.batch_size = recipe.optim.batch_size

    def batches(self, first: int) -> Iterator[Batch]:
        """See TrainingDataset."""
        return self._training.batches(first)

    def validation_batches(self) -> Iterator[Batch]:
        """See TrainingDataset."""
        if self._validation is None:
            count = self.recipe.data.val_clips
            samples = dataset.validation_samples(self.recipe.clip, count, shard=self.shard)
            self._validation = list(samples)
        yield from self._validation

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """See TrainingDataset: generated clips last a second."""
        if recipe.clip.step_seconds:
            return recipe
        return replace(recipe, clip=replace(recipe.clip, step_seconds=1 / recipe.clip.frames))


def fit_recipe(recipe: Recipe, data: TrainingDataset) -> Recipe:
    """The recipe with the model adapted to the classes and inputs of a dataset."""
    if recipe.activation == "sigmoid" != data.activation:
        raise RecipeError(f"activation sigmoid: {recipe.data.dataset} has one label at a time")
    recipe = replace(recipe, activation=data.activation)
    if recipe.optim.balance:
        optim = replace(recipe.optim, class_weights=data.class_weights)
        recipe = replace(recipe, optim=optim)
    weights = len(recipe.optim.class_weights)
    if weights not in (0, len(data.labels)):
        raise RecipeError(
            f"optim.class_weights: {weights} for {count_noun(len(data.labels), 'class')}",
            hint="one for each class, or optim.balance=true, which sets them",
        )
    return data.adapt_recipe(replace(recipe, model=replace(recipe.model, classes=len(data.labels))))


def open_training_dataset(
    recipe: Recipe, data_root: Path | None, shard: tuple[int, int] = (0, 1)
) -> TrainingDataset:
    """The dataset that a recipe names; share: this process's number and how many there are.

    Raises DataError when it is not there or malformed, RecipeError when batches are too small.
    """
    opened: TrainingDataset
    if recipe.data.dataset == "motion":
        folder = data_root or (Path(recipe.data.textures) if recipe.data.textures else None)
        opened = MotionDataset(recipe, folder, shard)
    else:
        train, val = (
            open_dataset(recipe.data.dataset, data_root, half, group_by=recipe.data.group_by)
            for half in ("train", "val")
        )
        if recipe.temporal_head is not None:
            return EmbeddingDataset(recipe, train, val, shard)
        recipe, notes = fit_window(recipe, train)
        planner = make_planner(recipe.clip, recipe.views)
        opened = VideoDataset(recipe, train, val, planner, shard, notes)
    if opened.batch_size < shard[1]:
        raise RecipeError(
            f"{shard[1]} processes cannot share batches of {opened.batch_size}",
            hint="start fewer, or raise --batch-size",
        )
    if (recipe.optim.mixup or recipe.optim.cutmix) and opened.batch_size < 2 * shard[1]:
        alone = "a single clip" if shard[1] == 1 else f"{shard[1]} processes a clip each at times"
        raise RecipeError(
            f"optim.mixup and optim.cutmix mix pairs, and batches of {opened.batch_size} leave "
            f"{alone}",
            hint=f"batches of {2 * shard[1]} or more have a partner for each; see --batch-size",
        )
    return opened


def fit_window(recipe: Recipe, train: LabeledDataset) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a frame step and views for the clips of a dataset, and a note on them.

    A recipe whose `clip.step_seconds` is 0 learns windows of the length that `segment` shows it,
    anywhere in each clip, so that training, `eval`, `classify` and `segment` show it the same.
    Dense clips: windows as long as the lower quartile of the clips, so that most hold one; `eval`
    averages as many as `classify`. Frames spread over whole clips: the median. A recipe that states
    its step stays as it is.
    """
    clip = recipe.clip
    if clip.step_seconds or recipe.temporal_head is not None:
        return recipe, ()
    seconds = read_durations(train)
    if not seconds:
        return replace(recipe, clip=replace(clip, step_seconds=LONGEST_STEP)), ()
    whole = clip.train_sampling == "bins"
    span = float(np.quantile(seconds, 0.5 if whole else 0.25))
    span = round_down(span if whole else min(span, clip.frames * LONGEST_STEP))
    clip = replace(clip, step_seconds=span / clip.frames, sampling="uniform" if whole else "dense")
    views = recipe.views
    if views == SMALL.views:  # nobody asked for others
        views = ViewConfig(1, 1 if whole else math.ceil(DENSE_FRAMES / clip.frames))
    shown = f"{clip.frames} frames of each whole clip" if whole else f"windows of {span:g} s"
    last = " to ".join(dict.fromkeys(f"{s:.3g}" for s in (min(seconds), max(seconds))))
    note = (
        f"learns {shown}, as clips last {last} s; `segment` will "
        f"show it windows of {span:g} s (change it with --window)"
    )
    return replace(recipe, clip=clip, views=views), (note,)


def read_durations(dataset: LabeledDataset) -> list[float]:
    """Seconds of samples spread over a dataset; files that cannot be read are left out."""
    items, videos, seconds = dataset.items, VideoCache(), []
    for place in np.unique(np.linspace(0, len(items) - 1, min(PROBED, len(items))).round()):
        item = items[int(place)]
        if item.window is not None:
            seconds.append(item.window.duration)
            continue
        try:
            with videos.open(item.path, 32) as video:
                seconds.append(video.duration)
        except VideoError:
            continue
    return seconds


def round_down(seconds: float) -> float:
    """Two digits, such as 2.4 for 2.47: still no longer than the clips."""
    unit = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return float(f"{math.floor(seconds / unit + 1e-9) * unit:.12g}")

"""What a run learns from: batches numbered through all epochs, and held-back clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from vidattn.config import Recipe, ViewConfig
from vidattn.data.batch import Batch, VideoFailure
from vidattn.data.clip_dataset import VideoDataset
from vidattn.data.embedding_dataset import EmbeddingDataset
from vidattn.data.motion import dataset
from vidattn.data.sets.registry import open_dataset
from vidattn.errors import RecipeError
from vidattn.evaluation.dataset import make_planner


class TrainingDataset(Protocol):
    """What a run learns from; of several processes, each sees its share."""

    labels: tuple[str, ...]
    steps_per_epoch: int
    batch_size: int
    """Of all processes together."""
    videos: int
    """Files to train on that may turn out not to decode."""
    notes: tuple[str, ...]
    """How the set was read, one sentence each."""
    unreadable: Sequence[VideoFailure]
    """Held-back videos that did not decode when they were last gone through."""

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""

    def validation_batches(self) -> Iterator[Batch]:
        """Clips never trained on, the same every time."""


class MotionDataset:
    """The procedural set `motion` as a training set."""

    labels: tuple[str, ...] = dataset.LABELS
    videos = 0
    notes: tuple[str, ...] = ()
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
        """See TrainingSet."""
        return self._training.batches(first)

    def validation_batches(self) -> Iterator[Batch]:
        """See TrainingSet."""
        if self._validation is None:
            count = self.recipe.data.val_clips
            made = dataset.validation_samples(self.recipe.clip, count, shard=self.shard)
            self._validation = list(made)
        yield from self._validation


def fit_recipe(recipe: Recipe, examples: TrainingDataset) -> Recipe:
    """A recipe whose model has the classes of a set, and takes what the set gives."""
    recipe = replace(recipe, model=replace(recipe.model, classes=len(examples.labels)))
    return examples.adapt_recipe(recipe) if isinstance(examples, EmbeddingDataset) else recipe


def open_training_dataset(
    recipe: Recipe, data_root: Path | None, shard: tuple[int, int] = (0, 1)
) -> TrainingDataset:
    """The data set a recipe names; share: this process's number and how many there are.

    Raises DataError when it is not there or malformed, RecipeError when batches are too small.
    """
    found: TrainingDataset
    if recipe.data.dataset == "motion":
        folder = data_root or (Path(recipe.data.textures) if recipe.data.textures else None)
        found = MotionDataset(recipe, folder, shard)
    else:
        train, val = (
            open_dataset(recipe.data.dataset, data_root, half) for half in ("train", "val")
        )
        if recipe.temporal_head is not None:
            return EmbeddingDataset(recipe, train, val, shard)
        view = make_planner(recipe.clip, ViewConfig(spatial=1, clips=1))
        found = VideoDataset(recipe, train, val, view, shard)
    if found.batch_size < shard[1]:
        raise RecipeError(
            f"{shard[1]} processes cannot share batches of {found.batch_size}",
            hint="start fewer, or raise --batch-size",
        )
    if (recipe.optim.mixup or recipe.optim.cutmix) and found.batch_size < 2 * shard[1]:
        alone = "a single clip" if shard[1] == 1 else f"{shard[1]} processes a clip each at times"
        raise RecipeError(
            f"optim.mixup and optim.cutmix mix pairs, and batches of {found.batch_size} leave "
            f"{alone}",
            hint=f"batches of {2 * shard[1]} or more have a partner for each; see --batch-size",
        )
    return found

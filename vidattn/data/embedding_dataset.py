"""Videos as the embeddings of their windows, each with one label: samples for a temporal head.

A dataset is listed as every other one; its rows name files of `vidattn segment --embeddings`, or
videos or timelines (.vidattn.json) beside which such files lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vidattn.config import Activation, Recipe
from vidattn.data.batch import Batch, VideoFailure
from vidattn.data.clip_dataset import (
    SampleStream,
    TrainingBatches,
    TrainingClip,
    collate,
    require_classes,
)
from vidattn.data.embeddings import Embeddings, embedding_path, load_embeddings
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.errors import DataError
from vidattn.types import Item

DROPPED = 4  # first word of the seeds
SAME_SETTINGS = ("window_seconds", "stride_seconds", "frames", "step_seconds")
"""Settings that all videos of a dataset, and those predicted later, have in common."""


def load_item_embeddings(item: Item) -> tuple[Embeddings, Tensor]:
    """The embeddings file of an item, and the embeddings in the item's window: float32 [N, D].

    Raises DataError when the file is missing or malformed, or has no window in that part.
    """
    path = embedding_path(item.path)
    found = load_embeddings(path)
    vectors = found.select(item.window)
    if not len(vectors):
        raise DataError(f"{path}: no window lies in the part that the list names")
    return found, torch.from_numpy(vectors.copy())


class EmbeddingSamples(SampleStream):
    """The videos of a list, all in memory; each epoch drops random windows.

    drop: share of the windows. length: rows to which every video is padded with NaN. Raises
    DataError as `load_item_embeddings`, and when models or windows differ between videos.
    """

    def __init__(self, source: LabeledDataset, *, seed: int = 0, drop: float = 0.0) -> None:
        self.source, self.seed, self.drop = source, seed, drop
        found = [load_item_embeddings(item) for item in source.items]
        self.vectors = [vectors for _, vectors in found]
        self.first = found[0][0]
        for item, (other, vectors) in zip(source.items, found, strict=True):
            _require_same_settings(self.first, other, item.path)
            if vectors.shape[1] != self.vectors[0].shape[1]:
                raise DataError(f"{item.path}: embeddings of another length than those before")
        self.length = max(map(len, self.vectors))

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, place: tuple[int, int]) -> TrainingClip:
        """The video of (epoch, index), float32 [length, D]."""
        rng = np.random.default_rng((DROPPED, self.seed, *place))
        sample = self.whole(place[1])
        dropped = rng.random(len(self.vectors[place[1]])) < self.drop
        sample.clip[: len(dropped)][torch.from_numpy(dropped)] = math.nan
        return sample

    def whole(self, index: int) -> TrainingClip:
        """A video with all its windows, float32 [length, D]; a copy."""
        vectors = self.vectors[index]
        padded = torch.full((self.length, vectors.shape[1]), math.nan)
        padded[: len(vectors)] = vectors
        return TrainingClip(padded, self.source.items[index].label)


def _require_same_settings(first: Embeddings, other: Embeddings, path: str) -> None:
    """Raise DataError unless model and settings agree."""
    pairs = [("sha256", first.model, other.model)]
    pairs += [(name, first.settings, other.settings) for name in SAME_SETTINGS]
    for name, one, two in pairs:
        if one.get(name) != two.get(name):
            raise DataError(
                f"{path}: {name} is {two.get(name)}, and {one.get(name)} for {first.source}",
                hint="make all embeddings with one model and the same settings",
            )


class EmbeddingDataset:
    """A list of videos as `vidattn.training.data.TrainingDataset`.

    An epoch is as many passes through the list as reach `data.clips_per_epoch`, one at least.
    """

    activation: Activation = "softmax"
    videos = 0
    unreadable: Sequence[VideoFailure] = ()

    def __init__(
        self,
        recipe: Recipe,
        train: LabeledDataset,
        val: LabeledDataset,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        assert recipe.temporal_head is not None
        require_classes(train, val)
        samples = EmbeddingSamples(train, seed=recipe.seed, drop=recipe.temporal_head.drop)
        self.labels, self._shard = train.labels, shard
        self.class_weights = train.class_weights()
        self.notes = tuple(dict.fromkeys(train.notes + val.notes))
        self.warnings = tuple(dict.fromkeys(train.warnings + val.warnings))
        passes = max(1, math.ceil(recipe.data.clips_per_epoch / len(samples)))
        self._training = TrainingBatches(
            samples, recipe.optim.batch_size, recipe.optim.epochs * passes, shard
        )
        self._validation = EmbeddingSamples(val)
        _require_same_settings(samples.first, self._validation.first, val.items[0].path)
        self.steps_per_epoch = self._training.steps_per_epoch * passes
        self.batch_size = self._training.batch_size
        self._first, self._vector = samples.first, samples.vectors[0].shape[1]

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""
        return self._training.batches(first)

    def validation_batches(self) -> Iterator[Batch]:
        """All windows of each validation video."""
        mine = range(len(self._validation))[self._shard[0] :: self._shard[1]]
        for low in range(0, len(mine), self.batch_size):
            yield collate([self._validation.whole(i) for i in mine[low : low + self.batch_size]])

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with the classes, the embeddings, their model and their windows of these."""
        assert recipe.temporal_head is not None
        settings, model = self._first.settings, self._first.model
        head = replace(
            recipe.temporal_head,
            classes=len(self.labels),
            vector=self._vector,
            model=str(model.get("name", "")),
            sha256=str(model.get("sha256", "")),
            window_seconds=float(settings["window_seconds"]),
            stride_seconds=float(settings["stride_seconds"]),
        )
        step, frames = float(settings["step_seconds"]), int(settings["frames"])
        clip = replace(recipe.clip, frames=frames, step_seconds=step)
        return replace(recipe, temporal_head=head, clip=clip)

"""Films as the embeddings of their windows, labeled as wholes: what a temporal head learns from.

A set is listed as every other one; its rows name files that `vidattn segment --embeddings` wrote,
or films beside which such files lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vidattn.config import Recipe
from vidattn.data import embeddings
from vidattn.data.batch import Batch, VideoFailure
from vidattn.data.clip_dataset import TrainingBatches, TrainingClip, collate
from vidattn.data.embeddings import Embeddings
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.errors import DataError
from vidattn.types import Item

ORDER, DROPPED = 1, 4  # first words of the seeds
ALIKE = ("window_seconds", "stride_seconds", "frames", "step_seconds")
"""Settings that all films of a set share with the ones that are asked about later."""


def load_item_embeddings(item: Item) -> tuple[Embeddings, Tensor]:
    """The embeddings of an item of a set, and the vectors of the part it means, [N, D].

    Raises DataError when the file is missing or malformed, or has no window in that part.
    """
    path = embeddings.embedding_path(item.path)
    found = embeddings.load_embeddings(path)
    vectors = found.inside(item.window)
    if not len(vectors):
        raise DataError(f"{path}: no window lies in the part that the list names")
    return found, torch.from_numpy(vectors.copy())


class EmbeddingSamples(Dataset[TrainingClip]):
    """The films of a list, all held in memory; of each epoch some windows are left out by chance.

    length: rows to which every film is filled up with NaN. Raises DataError as
    `load_item_embeddings`, and when films were seen by different models or in different windows.
    """

    def __init__(self, source: LabeledDataset, *, seed: int = 0, drop: float = 0.0) -> None:
        self.source, self.seed, self.drop = source, seed, drop
        found = [load_item_embeddings(item) for item in source.items]
        self.films = [vectors for _, vectors in found]
        self.first = found[0][0]
        for item, (other, vectors) in zip(source.items, found, strict=True):
            _require_alike(self.first, other, item.path)
            if vectors.shape[1] != self.films[0].shape[1]:
                raise DataError(f"{item.path}: vectors of another length than those before")
        self.length = max(map(len, self.films))

    def __len__(self) -> int:
        return len(self.films)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the films in an epoch, int64 [len]: every one once."""
        return np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self))

    def __getitem__(self, place: tuple[int, int]) -> TrainingClip:
        """The film of (epoch, index), float32 [length, D]."""
        rng = np.random.default_rng((DROPPED, self.seed, *place))
        film = self.whole(place[1])
        left_out = rng.random(len(self.films[place[1]])) < self.drop
        film[: len(left_out)][torch.from_numpy(left_out)] = math.nan
        return TrainingClip(film, self.source.items[place[1]].label)

    def whole(self, index: int) -> Tensor:
        """All windows of a film, float32 [length, D]; a copy."""
        film = self.films[index]
        filled = torch.full((self.length, film.shape[1]), math.nan)
        filled[: len(film)] = film
        return filled


def _require_alike(first: Embeddings, other: Embeddings, path: str) -> None:
    """Raise DataError unless two films were looked at by one model in one way."""
    pairs = [("sha256", first.model, other.model)]
    pairs += [(name, first.settings, other.settings) for name in ALIKE]
    for name, one, two in pairs:
        if one.get(name) != two.get(name):
            raise DataError(
                f"{path}: {name} is {two.get(name)}, and {one.get(name)} for {first.source}",
                hint="make all embeddings with one model and the same settings",
            )


class EmbeddingDataset:
    """A list of films as what `train.fit` learns from; see `vidattn.training.data.TrainingDataset`.

    An epoch is as many passes through the list as reach `data.clips_per_epoch`, one at least.
    """

    videos = 0
    notes: tuple[str, ...]
    unreadable: Sequence[VideoFailure] = ()

    def __init__(
        self,
        recipe: Recipe,
        train: LabeledDataset,
        val: LabeledDataset,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        assert recipe.temporal_head is not None
        for half in (train, val):
            if not half.items:
                raise DataError(f"{half.root}: no films in its half {half.split}")
        if len(train.labels) < 2:
            raise DataError(f"{train.root}: all films are of one class: nothing to tell apart")
        films = EmbeddingSamples(train, seed=recipe.seed, drop=recipe.temporal_head.drop)
        self.labels, self._shard = train.labels, shard
        self.notes = tuple(dict.fromkeys(train.notes + val.notes))
        passes = max(1, math.ceil(recipe.data.clips_per_epoch / len(films)))
        self._training = TrainingBatches(
            films, recipe.optim.batch_size, recipe.optim.epochs * passes, shard
        )
        self._validation = EmbeddingSamples(val)
        _require_alike(films.first, self._validation.first, val.items[0].path)
        self.steps_per_epoch = self._training.steps_per_epoch * passes
        self.batch_size = self._training.batch_size
        self._seen_by = films.first
        self._vector = films.films[0].shape[1]

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""
        return self._training.batches(first)

    def validation_batches(self) -> Iterator[Batch]:
        """All windows of each held-back film."""
        mine = range(len(self._validation))[self._shard[0] :: self._shard[1]]
        for low in range(0, len(mine), self.batch_size):
            films = [
                TrainingClip(self._validation.whole(i), self._validation.source.items[i].label)
                for i in mine[low : low + self.batch_size]
            ]
            yield collate(films)

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe for these films: its head takes their vectors, and remembers whose they are
        and how windows were cut."""
        assert recipe.temporal_head is not None
        settings, model = self._seen_by.settings, self._seen_by.model
        long = replace(
            recipe.temporal_head,
            classes=len(self.labels),
            vector=self._vector,
            model=str(model.get("name", "")),
            sha256=str(model.get("sha256", "")),
            window_seconds=float(settings["window_seconds"]),
            stride_seconds=float(settings["stride_seconds"]),
        )
        step, frames = float(settings["step_seconds"]), int(settings["frames"])
        return replace(
            recipe, temporal_head=long, clip=replace(recipe.clip, frames=frames, step_seconds=step)
        )

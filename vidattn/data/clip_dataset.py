"""Labeled videos as clips: augmented ones for training, planned views for evaluation.

Random draws depend on the seed, the epoch and the place of the video in its dataset, and on nothing
else: not on the number of workers, nor on earlier reads. So a run can resume at any step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vidattn.config import Activation, ClipConfig, DataConfig, Recipe
from vidattn.data import sampling
from vidattn.data.augment import RandAugment, describe_augmentation, warn_of_mirroring
from vidattn.data.batch import Batch, VideoFailure, shard_range
from vidattn.data.frames import file_start, item_window, view_clips
from vidattn.data.labeled_dataset import (
    OTHERS_HINT,
    LabeledDataset,
    keep_areas,
    note_overlap,
    note_several,
    warn_of_one_sided,
)
from vidattn.data.loader import load_in_order
from vidattn.data.sampling import Indices, Times
from vidattn.data.transforms import train_clip
from vidattn.data.video_cache import VideoCache
from vidattn.errors import DataError, VideoError
from vidattn.types import Item, View, Window
from vidattn.video import Limits, Video

Planner = Callable[[Video, Window], Sequence[View]]
"""From a video and the region of it that counts to the views of it."""

ORDER, CLIP = 1, 2  # first words of the seeds, so that the draws are independent
TRIES = 10


class TrainingClip(NamedTuple):
    """One augmented clip float32 [3, T, crop, crop] and what it shows."""

    clip: Tensor
    label: int | Tensor
    """As of `Batch`."""
    replaced: tuple[VideoFailure, ...] = ()
    """Videos that did not decode and whose place this one took."""


class EvaluationViews(NamedTuple):
    """All views of one item of a dataset, or the reason why there are none."""

    number: int
    """Of the item in its dataset."""
    clips: Tensor | None
    """Float32 [V, 3, T, crop, crop], without views of which too little decodes."""
    failure: VideoFailure | None = None


class SampleStream(Dataset[TrainingClip], ABC):
    """The source of batches: samples by (epoch, index)."""

    seed: int

    @abstractmethod
    def __len__(self) -> int: ...

    def order(self, epoch: int) -> Indices:
        """The order of the samples in an epoch, int64 [len]: every one once."""
        return np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self))


class TrainingClips(SampleStream):
    """The videos of a dataset, each cut, resized, cropped and mirrored anew in every epoch.

    data: range and sampling of the short side (8/7 to 10/7 of the crop by default, 256 to 320 for
    224 as in the official recipes), flip and RandAugment. Another video, drawn by seed, epoch and
    index, replaces one that does not decode. videos: opens them, by default without a cache.
    several: labels may hold at once.
    """

    def __init__(
        self,
        source: LabeledDataset,
        clip: ClipConfig,
        data: DataConfig | None = None,
        *,
        seed: int = 0,
        videos: VideoCache | None = None,
        several: bool = False,
    ) -> None:
        self.source, self.clip, self.seed, self.several = source, clip, seed, several
        self.data = data = data or DataConfig()
        self.short_side_range = data.short_side_range
        if not any(self.short_side_range):
            self.short_side_range = (round(clip.crop * 8 / 7), round(clip.crop * 10 / 7))
        self._augment = (
            RandAugment(data.randaugment, _mean_color(clip)) if data.randaugment else None
        )
        self._videos = videos or VideoCache()

    def __len__(self) -> int:
        return len(self.source.items)

    def __getitem__(self, place: tuple[int, int]) -> TrainingClip:
        """The clip of (epoch, index). Raises DataError when ten videos in a row do not decode."""
        replaced: list[VideoFailure] = []
        for attempt in range(TRIES):
            rng = np.random.default_rng((CLIP, self.seed, *place, attempt))
            index = int(rng.integers(len(self))) if attempt else place[1]
            item = self.source.items[index]
            try:
                clip, labels = self._read_clip(item, rng)
                target = (
                    mark_labels(labels, len(self.source.labels)) if self.several else item.label
                )
                return TrainingClip(clip, target, tuple(replaced))
            except VideoError as error:
                replaced.append(VideoFailure(item.path, error.code, error.message))
        last = replaced[-1]
        raise DataError(
            f"{self.source.name}: {TRIES} videos in a row do not decode; the last: {last.message}",
            hint=f"try one of them: vidattn classify {last.path}",
        )

    def _read_clip(self, item: Item, rng: np.random.Generator) -> tuple[Tensor, tuple[int, ...]]:
        """A clip, and the labels that hold at its center."""
        short_side = max(self._draw_short_side(rng), self.clip.crop)
        # The cache holds the largest size, from which train_clip makes the smaller ones.
        size = max(self.short_side_range[1], short_side) if self._videos.keeps else short_side
        framing = self.clip.framing_of(item.roi)
        with self._videos.open(item.path, size, framing=framing) as video:
            indices = draw_clip(video.times, item_window(video, item), self.clip, rng)
            frames = video.read(indices.tolist())
            labels = item.labels_at(video.times[indices].mean() + file_start(video))
            video.check_unchanged()
        if self._augment:
            frames = self._augment(frames, rng)
        sides = (short_side, short_side)
        clip = train_clip(frames, self.clip, rng, sides, flip=self.data.flip)
        return clip.contiguous(), labels

    def _draw_short_side(self, rng: np.random.Generator) -> int:
        least, most = self.short_side_range
        if self.data.short_side_sampling == "inverse":
            return round(1 / rng.uniform(1 / most, 1 / least))
        return int(rng.integers(least, most + 1))


def mark_labels(labels: Sequence[int], classes: int) -> Tensor:
    """1 for those labels, else 0: float32 [classes]."""
    marks = torch.zeros(classes)
    marks[list(labels)] = 1
    return marks


def _mean_color(clip: ClipConfig) -> tuple[int, int, int]:
    """The mean color of the model, which is 0 to it: RGB from 0 to 255."""
    red, green, blue = (min(255, max(0, round(255 * mean))) for mean in clip.mean)
    return (blue, green, red) if clip.channels == "bgr" else (red, green, blue)


def draw_clip(times: Times, region: Window, clip: ClipConfig, rng: np.random.Generator) -> Indices:
    """Random frames of a region of a file: int64 [T], rising, the last repeated when it is short.

    `clip.train_sampling` "dense": in the middles of T steps of `clip.step_seconds`, from a
    uniformly random start, so that they fit if they can (arXiv:2102.05095, Sec. 4). "bins": at a
    random instant of each of T equal bins (arXiv:1608.00859, Sec. 3.1).
    """
    steps = np.arange(clip.frames, dtype=np.float64)
    seconds: NDArray[np.float64]
    if clip.train_sampling == "bins":
        seconds = region.start + (steps + rng.random(clip.frames)) * region.duration / clip.frames
    else:
        room = max(region.duration - clip.span_seconds, 0.0)
        seconds = region.start + rng.uniform(0, room) + (steps + 0.5) * clip.step_seconds
    latest = region.stop - 2 * sampling.SAME_INSTANT
    return sampling.frame_at(times, np.clip(seconds, region.start, max(latest, region.start)))


class TrainingBatches(Dataset[Batch]):
    """Batch number n of a run, through all its epochs.

    Every epoch shows every sample once, in an order of its own; an incomplete last batch is left
    out. `shard`: number of this process and count of those that share each batch.
    """

    def __init__(
        self, clips: SampleStream, batch_size: int, epochs: int, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self.clips, self.epochs, self.shard = clips, epochs, shard
        self.batch_size = min(batch_size, len(clips))
        self.steps_per_epoch = len(clips) // self.batch_size if len(clips) else 0

    def __len__(self) -> int:
        return self.steps_per_epoch * self.epochs

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self.clips.order(epoch)[place * self.batch_size :]
        mine = shard_range(self.batch_size, *self.shard)
        return collate([self.clips[epoch, int(order[i])] for i in mine])

    def batches(self, first: int = 0, workers: int = 0) -> Iterator[Batch]:
        """Batches from number `first` to the end, made by `workers` processes, or by this one."""
        return load_in_order(self, range(first, len(self)), workers)


def collate(clips: Sequence[TrainingClip]) -> Batch:
    """Clips of one shape to a batch."""
    return Batch(
        torch.stack([c.clip for c in clips]),
        stack_labels([c.label for c in clips]),
        replaced=tuple(failure for c in clips for failure in c.replaced),
    )


def stack_labels(labels: Sequence[int | Tensor]) -> Tensor:
    """Labels of clips or videos, as of `Batch`."""
    return torch.stack([torch.as_tensor(label) for label in labels])


class EvaluationVideos(Dataset[EvaluationViews]):
    """Every video of a dataset once, in the views of a planner; none is ever replaced."""

    def __init__(
        self,
        source: LabeledDataset,
        clip: ClipConfig,
        planner: Planner,
        reader: str = "auto",
        limits: Limits | None = None,
    ) -> None:
        self.source, self.clip, self.planner, self.reader = source, clip, planner, reader
        self._videos = VideoCache(limits=limits)

    def __len__(self) -> int:
        return len(self.source.items)

    def __getitem__(self, index: int) -> EvaluationViews:
        item = self.source.items[index]
        try:
            clips = self._read_clips(item)
        except VideoError as error:
            failure = VideoFailure(item.path, error.code, error.message)
            return EvaluationViews(index, None, failure)
        if not clips:
            text = f"{item.path}: too few frames decode to classify it"
            return EvaluationViews(index, None, VideoFailure(item.path, "E_DECODE", text))
        return EvaluationViews(index, torch.stack(clips))

    def _read_clips(self, item: Item) -> list[Tensor]:
        clip = self.clip
        framing = clip.framing_of(item.roi)
        opened = self._videos.open(item.path, clip.short_side, self.reader, framing)
        with opened as video:
            views = self.planner(video, item_window(video, item))
            clips = [c for c in view_clips(video, views, clip) if c is not None]
            video.check_unchanged()
            return clips

    def all(self, workers: int = 0, numbers: range | None = None) -> Iterator[EvaluationViews]:
        """Every video, or those of these numbers, in the order of the dataset."""
        return load_in_order(self, range(len(self)) if numbers is None else numbers, workers)


FOLDERS_HINT = "name the folder that holds the folders of the classes, or a list"


def require_classes(train: LabeledDataset, val: LabeledDataset, *, several: bool = False) -> None:
    """Raise DataError when a split has no videos, or training a single class.

    several: whether labels may hold at once, so that one is enough.
    """
    for split, use in ((train, "train on"), (val, "validate with")):
        if not split.items:
            raise DataError(f"{split.where}: no videos to {use}")
        if not several and (first := next((i.path for i in split.items if i.labels), None)):
            raise DataError(
                f"{split.where}: {first} has several labels at once",
                hint="a classifier of whole videos learns one for each; train clips instead",
            )
    if len(train.labels) < 2 and not several:
        raise DataError(
            f"{train.where}: all {train.noun}s are of one class: {', '.join(train.labels)}",
            hint=OTHERS_HINT if train.listed else FOLDERS_HINT,
        )


class VideoDataset:
    """A labeled dataset as `vidattn.training.data.TrainingDataset`.

    An epoch is as many passes as reach `data.clips_per_epoch`, one at least. planner: the views of
    a validation video. shard: number of this process and count of those that share batches and
    validation videos. notes: more of them. Raises DataError as `require_classes`.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: LabeledDataset,
        val: LabeledDataset,
        planner: Planner,
        shard: tuple[int, int] = (0, 1),
        notes: tuple[str, ...] = (),
    ) -> None:
        several = recipe.activation == "sigmoid" or train.several or val.several
        self.activation: Activation = "sigmoid" if several else "softmax"
        train, of_train = keep_areas(train, recipe.clip)
        val, of_val = keep_areas(val, recipe.clip)
        require_classes(train, val, several=several)
        videos = VideoCache(recipe.data.cache_mb)
        clips = TrainingClips(
            train, recipe.clip, recipe.data, seed=recipe.seed, videos=videos, several=several
        )
        self.labels, self.class_weights = train.labels, train.class_weights()
        self.videos = len({item.path for item in train.items})
        notes = train.notes + val.notes + note_overlap(train, val) + notes
        if several:
            notes += (note_several(train, val),)
        self.notes = (*dict.fromkeys(notes), describe_augmentation(recipe))
        warnings = train.warnings + val.warnings + warn_of_one_sided(train, val)
        warnings += of_train + of_val
        self.warnings = (*dict.fromkeys(warnings), *warn_of_mirroring(recipe, train.labels))
        self.recipe, self._shard = recipe, shard
        passes = max(1, math.ceil(recipe.data.clips_per_epoch / len(clips)))
        self._training = TrainingBatches(
            clips, recipe.optim.batch_size, recipe.optim.epochs * passes, shard
        )
        self._validation = EvaluationVideos(val, recipe.clip, planner)
        self._cached: list[Batch] | None = None
        self.unreadable: Sequence[VideoFailure] = ()
        self.steps_per_epoch = self._training.steps_per_epoch * passes
        self.batch_size = self._training.batch_size

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""
        return self._training.batches(first, self.recipe.data.workers)

    def adapt_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with the clips and views of this dataset."""
        return replace(recipe, clip=self.recipe.clip, views=self.recipe.views)

    def validation_batches(self) -> Iterator[Batch]:
        """All views of each validation video; `unreadable` then lists those that did not decode.

        They are read once if they fit into `data.cache_mb`.
        """
        if self._cached is not None:
            yield from self._cached
            return
        cached: list[Batch] = []
        room = self.recipe.data.cache_mb * 2**20
        for batch in self._read_validation():
            room -= batch.clips.nbytes
            if room >= 0:
                cached.append(batch)
            yield batch
        self._cached = cached if room >= 0 else None

    def _read_validation(self) -> Iterator[Batch]:
        failed: list[VideoFailure] = []
        waiting: list[Tensor] = []
        labels: list[int | Tensor] = []
        numbers = range(len(self._validation))[self._shard[0] :: self._shard[1]]
        for views in self._validation.all(self.recipe.data.workers, numbers):
            if views.clips is None:
                failed += [views.failure] if views.failure else []
            else:
                waiting.append(views.clips)
                item = self._validation.source.items[views.number]
                several = self.activation == "sigmoid"
                own = mark_labels(item.main_labels, len(self.labels)) if several else item.label
                labels.append(own)
            if sum(map(len, waiting)) >= self.recipe.optim.batch_size:
                yield _collate_views(waiting, labels)
                waiting, labels = [], []
        if waiting:
            yield _collate_views(waiting, labels)
        self.unreadable = tuple(failed)


def _collate_views(videos: Sequence[Tensor], labels: Sequence[int | Tensor]) -> Batch:
    return Batch(torch.cat(list(videos)), stack_labels(labels), views=tuple(map(len, videos)))

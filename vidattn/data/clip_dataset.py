"""Labeled videos as clips: augmented ones to train on, planned views to be judged by.

Whatever is drawn at random depends on the seed, the epoch and the place of the video in its set,
and on nothing else: not on the number of workers, nor on what was read before. So a run can be
taken up at any step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vidattn.config import ClipConfig, Recipe
from vidattn.data import sampling
from vidattn.data.augment import RandAugment
from vidattn.data.batch import Batch, VideoFailure, shard_range
from vidattn.data.frames import item_window, view_clips
from vidattn.data.labeled_dataset import LabeledDataset, note_overlap
from vidattn.data.loader import load_in_order
from vidattn.data.transforms import train_clip
from vidattn.data.video_cache import VideoCache
from vidattn.errors import DataError, VideoError
from vidattn.types import Item, View, Window
from vidattn.video import Limits, Video

Times = NDArray[np.float64]
Planner = Callable[[Video, Window], Sequence[View]]
"""From a video and the region of it that counts to the views of it."""

ORDER, CLIP = 1, 2  # first words of the seeds: what one draws says nothing of the other
TRIES = 10


class TrainingClip(NamedTuple):
    """One augmented clip float32 [3, T, crop, crop] and its class."""

    clip: Tensor
    label: int
    replaced: tuple[VideoFailure, ...] = ()
    """Videos that did not decode and whose place this one took."""


class EvaluationViews(NamedTuple):
    """All views of one item of a set, or why there are none."""

    number: int
    """Of the item in its set."""
    clips: Tensor | None
    """Float32 [V, 3, T, crop, crop]; views of which too little decodes are left out."""
    failure: VideoFailure | None = None


class TrainingClips(Dataset[TrainingClip]):
    """The videos of a set, each cut, resized, cropped and mirrored anew in every epoch.

    How frames are drawn is `clip.train_sampling`, see `draw_clip`. jitter: range of the short side,
    ends included, by default 8/7 to 10/7 of the crop (256 to 320 for 224, official recipes).
    short_side_sampling, randaugment: see DataConfig.
    on_error: "replace" puts another video, drawn by seed, epoch and index, in the place of one that
    does not decode; "raise" raises its VideoError. videos: who opens them, by default one who keeps
    nothing.
    """

    def __init__(
        self,
        source: LabeledDataset,
        clip: ClipConfig,
        *,
        seed: int = 0,
        jitter: tuple[int, int] | None = None,
        short_side_sampling: Literal["uniform", "inverse"] = "uniform",
        flip: bool = True,
        randaugment: str = "",
        on_error: Literal["replace", "raise"] = "replace",
        videos: VideoCache | None = None,
    ) -> None:
        self.source, self.clip, self.seed = source, clip, seed
        self.jitter = jitter or (round(clip.crop * 8 / 7), round(clip.crop * 10 / 7))
        self.short_side_sampling = short_side_sampling
        self._augment = RandAugment(randaugment, _gray(clip)) if randaugment else None
        self.flip, self.on_error = flip, on_error
        self._videos = videos or VideoCache()

    def __len__(self) -> int:
        return len(self.source.items)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the videos in an epoch, int64 [len]: every one once."""
        return np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self))

    def __getitem__(self, place: tuple[int, int]) -> TrainingClip:
        """The clip of (epoch, index). Raises DataError when ten videos in a row do not decode."""
        replaced: list[VideoFailure] = []
        for attempt in range(TRIES):
            rng = np.random.default_rng((CLIP, self.seed, *place, attempt))
            index = int(rng.integers(len(self))) if attempt else place[1]
            item = self.source.items[index]
            try:
                return TrainingClip(self._clip(item, rng), item.label, tuple(replaced))
            except VideoError as error:
                if self.on_error == "raise":
                    raise
                replaced.append(VideoFailure(item.path, error.code, error.message))
        raise DataError(
            f"{self.source.name}: {TRIES} videos in a row do not decode; the last: "
            f"{replaced[-1].message}",
            hint="try one of them: vidattn classify " + replaced[-1].path,
        )

    def _clip(self, item: Item, rng: np.random.Generator) -> Tensor:
        short_side = max(self._short_side(rng), self.clip.crop)
        # What stays in memory stays in one size, from which train_clip makes the smaller ones.
        read = max(self.jitter[1], short_side) if self._videos.keeps else short_side
        with self._videos.open(item.path, read) as video:
            region = item_window(video, item)
            indices = draw_clip(video.times, region, self.clip, rng)
            frames = video.read(indices.tolist())
            video.check_unchanged()
        if self._augment:
            frames = self._augment(frames, rng)
        return train_clip(
            frames, self.clip, rng, jitter=(short_side, short_side), flip=self.flip
        ).contiguous()

    def _short_side(self, rng: np.random.Generator) -> int:
        least, most = self.jitter
        if self.short_side_sampling == "inverse":
            return round(1 / rng.uniform(1 / most, 1 / least))
        return int(rng.integers(least, most + 1))


def _gray(clip: ClipConfig) -> tuple[int, int, int]:
    """The color, RGB from 0 to 255, that is nothing to the model: its mean."""
    red, green, blue = (min(255, max(0, round(255 * mean))) for mean in clip.mean)
    return (blue, green, red) if clip.channels == "bgr" else (red, green, blue)


def draw_clip(
    times: Times,
    region: Window,
    clip: ClipConfig,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Random frames of a part of a file: int64 [T], rising, the last one repeated when it is short.

    As `clip.train_sampling` says. "dense": amid T steps of `clip.step_seconds`, from a uniformly
    random start, so that they fit if they can (arXiv:2102.05095, Sec. 4). "bins": one at a random
    instant of each of T equal parts (arXiv:1608.00859, Sec. 3.1).
    """
    steps = np.arange(clip.frames, dtype=np.float64)
    seconds: Times
    if clip.train_sampling == "bins":
        seconds = region.start + (steps + rng.random(clip.frames)) * region.duration / clip.frames
    else:
        room = max(region.duration - clip.span_seconds, 0.0)
        seconds = region.start + rng.uniform(0, room) + (steps + 0.5) * clip.step_seconds
    latest = region.stop - 2 * sampling.SAME_INSTANT
    return sampling.frame_at(times, np.clip(seconds, region.start, max(latest, region.start)))


class SampleStream(Protocol):
    """What batches are drawn from, as TrainingClips."""

    def __len__(self) -> int: ...

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the examples in an epoch, int64 [len]: every one once."""

    def __getitem__(self, place: tuple[int, int]) -> TrainingClip: ...


class TrainingBatches(Dataset[Batch]):
    """Batch number n of a run, through all its epochs.

    Every epoch shows every video once, in an order of its own; what does not fill a batch at its
    end is left out. `shard`: this process's number and how many share each batch.
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
        first = place * self.batch_size
        chosen = self.clips.order(epoch)[first : first + self.batch_size]
        mine = shard_range(self.batch_size, *self.shard)
        return collate([self.clips[epoch, int(chosen[i])] for i in mine])

    def batches(self, first: int = 0, workers: int = 0) -> Iterator[Batch]:
        """Batches from number `first` to the end, made by `workers` processes, or by this one."""
        return load_in_order(self, range(first, len(self)), workers)


def collate(clips: Sequence[TrainingClip]) -> Batch:
    """Clips of one shape to a batch."""
    return Batch(
        torch.stack([c.clip for c in clips]),
        torch.tensor([c.label for c in clips]),
        replaced=tuple(failure for c in clips for failure in c.replaced),
    )


class EvaluationVideos(Dataset[EvaluationViews]):
    """Every video of a set once, in the views that `planner` names; none is ever replaced."""

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
            clips = self._clips(item)
        except VideoError as error:
            return EvaluationViews(index, None, VideoFailure(item.path, error.code, error.message))
        if not clips:
            text = f"{item.path}: too few frames decode to say anything"
            return EvaluationViews(index, None, VideoFailure(item.path, "E_DECODE", text))
        return EvaluationViews(index, torch.stack(clips))

    def _clips(self, item: Item) -> list[Tensor]:
        with self._videos.open(item.path, self.clip.short_side, self.reader) as video:
            views = self.planner(video, item_window(video, item))
            clips = [c for c in view_clips(video, views, self.clip) if c is not None]
            video.check_unchanged()
            return clips

    def all(self, workers: int = 0, numbers: range | None = None) -> Iterator[EvaluationViews]:
        """Every video, or those of these numbers, in the order of the set."""
        return load_in_order(self, range(len(self)) if numbers is None else numbers, workers)


class VideoDataset:
    """A labeled set as what `train.fit` learns from.

    An epoch is as many passes through the set as reach `data.clips_per_epoch`, one at least.
    planner: the view of a held-back video. share: this process's number and how many share batches
    and held-back videos. Raises DataError when a half has no videos, or the set a single class.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: LabeledDataset,
        val: LabeledDataset,
        planner: Planner,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        for half in (train, val):
            if not half.items:
                raise DataError(
                    f"{half.root}: no videos to {'train on' if half is train else 'validate with'}"
                )
        if len(train.labels) < 2:
            raise DataError(
                f"{train.root}: all videos are of one class, {', '.join(train.labels)}: there is "
                "nothing to tell apart",
                hint="name the folder that holds the folders of the classes, or a list",
            )
        clips = TrainingClips(
            train,
            recipe.clip,
            seed=recipe.seed,
            jitter=recipe.data.short_side_range if any(recipe.data.short_side_range) else None,
            short_side_sampling=recipe.data.short_side_sampling,
            flip=recipe.data.flip,
            randaugment=recipe.data.randaugment,
            videos=VideoCache(recipe.data.cache_mb),
        )
        self.labels = train.labels
        self.videos = len({item.path for item in train.items})
        self.notes = tuple(dict.fromkeys(train.notes + val.notes + note_overlap(train, val)))
        self.recipe = recipe
        self._shard = shard
        passes = max(1, math.ceil(recipe.data.clips_per_epoch / max(1, len(clips))))
        self._training = TrainingBatches(
            clips, recipe.optim.batch_size, recipe.optim.epochs * passes, shard
        )
        self._validation = EvaluationVideos(val, recipe.clip, planner)
        self._val = val
        self._seen: list[Batch] | None = None
        self.unreadable: Sequence[VideoFailure] = ()
        self.steps_per_epoch = self._training.steps_per_epoch * passes
        self.batch_size = self._training.batch_size

    def batches(self, first: int) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""
        return self._training.batches(first, self.recipe.data.workers)

    def validation_batches(self) -> Iterator[Batch]:
        """One view of each held-back video; `unreadable` tells which could not be read.

        They are read once if they fit into the memory the recipe gives to videos.
        """
        if self._seen is not None:
            yield from self._seen
            return
        seen: list[Batch] = []
        room = self.recipe.data.cache_mb * 2**20
        for batch in self._read_validation():
            room -= batch.clips.nbytes
            if room >= 0:
                seen.append(batch)
            yield batch
        self._seen = seen if room >= 0 else None

    def _read_validation(self) -> Iterator[Batch]:
        failed: list[VideoFailure] = []
        waiting: list[TrainingClip] = []
        numbers = range(len(self._validation))[self._shard[0] :: self._shard[1]]
        for viewed in self._validation.all(self.recipe.data.workers, numbers):
            if viewed.clips is None:
                failed += [viewed.failure] if viewed.failure else []
            else:
                label = self._val.items[viewed.number].label
                waiting.append(TrainingClip(viewed.clips[0], label))
            if len(waiting) == self.recipe.optim.batch_size:
                yield collate(waiting)
                waiting = []
        if waiting:
            yield collate(waiting)
        self.unreadable = tuple(failed)

"""The procedural dataset `motion`: generated clips of known camera motion.

A batch depends on the seed and its number alone, so a run can resume at any step and any worker can
make any batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vidattn.config import ClipConfig, Recipe
from vidattn.data.batch import Batch, shard_range
from vidattn.data.loader import load_in_order
from vidattn.data.motion.camera import LABELS, draw_path
from vidattn.data.motion.scene import Clip, Textures, degrade, render
from vidattn.data.motion.textures import DrawnTextures, PhotographedTextures

TRAINING, VALIDATION = 0, 1  # first words of the seeds: no texture is in both

TEXTURES_PER_EPOCH = 96
CELL = 16
"""Pixels of a cell whose motion is known, for models without patches."""
MIRRORS = 3  # mirrored copies of every clip rendered for training


@dataclass(frozen=True)
class MotionSample:
    """A clip uint8 [T, H, W, 3], its label, and its flow float32 [T - 1, h, w, 2]."""

    frames: Clip
    label: int
    flow: NDArray[np.float32]


def make_sample(
    rng: np.random.Generator,
    textures: Textures,
    label: int,
    clip: ClipConfig,
    difficulty: float = 1.0,
    grid: int = 4,
) -> MotionSample:
    """A clip of class `label`; difficulty from 0 (fast, clean) to 1 (slow, disturbed, faint)."""
    path = draw_path(rng, label, clip.frames, difficulty)
    frames, flow = render(rng, textures, path, clip.crop, difficulty, grid)
    return MotionSample(degrade(rng, frames, difficulty), label, flow)


def mirror_sample(sample: MotionSample, across: int) -> MotionSample:
    """The mirrored sample: bit 0 left-right, bit 1 top-bottom, bit 2 x and y swapped.

    All eight values of `across` are exact: mirroring a frame mirrors the motion in it.
    """
    frames, label, flow = sample.frames, sample.label, sample.flow
    if across & 1:
        frames, flow = frames[:, :, ::-1], flow[:, :, ::-1] * np.array([-1, 1], np.float32)
        label = (0, 2, 1, 3, 4, 5, 6, 8, 7, 9)[label]
    if across & 2:
        frames, flow = frames[:, ::-1], flow[:, ::-1] * np.array([1, -1], np.float32)
        label = (0, 1, 2, 4, 3, 5, 6, 8, 7, 9)[label]
    if across & 4:
        frames, flow = frames.transpose(0, 2, 1, 3), flow.transpose(0, 2, 1, 3)[..., ::-1]
        label = (0, 3, 4, 1, 2, 5, 6, 8, 7, 9)[label]
    return MotionSample(frames, label, flow)


def collate(samples: list[MotionSample], clip: ClipConfig) -> Batch:
    """Stack samples and normalize their pixels with the mean and std of `clip`."""
    pixels = torch.from_numpy(np.stack([e.frames for e in samples]))
    mean, std = torch.tensor(clip.mean), torch.tensor(clip.std)
    clips = ((pixels.float() / 255 - mean) / std).permute(0, 4, 1, 2, 3).contiguous()
    labels = torch.tensor([e.label for e in samples])
    return Batch(clips, labels, torch.from_numpy(np.stack([e.flow for e in samples])))


class MotionSamples(Dataset[Batch]):
    """Batch number n of a training run, for any n in [0, steps).

    A quarter of a batch is rendered; the rest are mirrored copies, which are other classes of
    motion over the same texture and cost nothing. `shard`: number of this process and count of
    those that share each batch.
    """

    def __init__(
        self, recipe: Recipe, folder: Path | None = None, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self.recipe, self.shard = recipe, shard
        self.steps_per_epoch = max(1, recipe.data.clips_per_epoch // recipe.optim.batch_size)
        self._photographed = PhotographedTextures(folder) if folder else None
        self._drawn: tuple[int, DrawnTextures] | None = None

    def __len__(self) -> int:
        return self.steps_per_epoch * self.recipe.optim.epochs

    def textures(self, epoch: int) -> Textures:
        """Drawn textures, new in every epoch, or the photographed ones."""
        if self._photographed:
            return self._photographed
        if self._drawn is None or self._drawn[0] != epoch:
            seed = (TRAINING, self.recipe.seed, epoch)
            self._drawn = (epoch, DrawnTextures(seed, TEXTURES_PER_EPOCH))
        return self._drawn[1]

    def difficulty(self, step: int) -> float:
        """Rises from `data.min_difficulty` to 1 over the first `data.curriculum` of the run."""
        data = self.recipe.data
        done = 1.0 if data.curriculum == 0 else min(1.0, step / (data.curriculum * len(self)))
        return data.min_difficulty + (1 - data.min_difficulty) * done

    def __getitem__(self, step: int) -> Batch:
        recipe, size = self.recipe, self.recipe.optim.batch_size
        cv2.setNumThreads(1)  # frames are too small for threads
        textures = self.textures(step // self.steps_per_epoch)
        grid = recipe.model.size // getattr(recipe.model, "patch", CELL)
        rendered, mine = -(-size // (1 + MIRRORS)), shard_range(size, *self.shard)
        first = mine.start // (1 + MIRRORS)
        samples = []
        for i in range(first, -(-mine.stop // (1 + MIRRORS))):
            rng = np.random.default_rng((TRAINING, recipe.seed, step, i))
            label = (step * rendered + i) % len(LABELS)
            made = make_sample(rng, textures, label, recipe.clip, self.difficulty(step), grid)
            ways = rng.choice(np.arange(1, 8), MIRRORS, replace=False)
            samples += [made, *(mirror_sample(made, int(way)) for way in ways)]
        skipped = first * (1 + MIRRORS)
        return collate(samples[mine.start - skipped : mine.stop - skipped], recipe.clip)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Batches from number `first` to the end of the run."""
        return load_in_order(self, range(first, len(self)), self.recipe.data.workers, prefetch=8)


def validation_samples(
    clip: ClipConfig,
    count: int,
    *,
    folder: Path | None = None,
    batch_size: int = 50,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """`count` clips at full difficulty, all classes equally often, as batches without flow.

    Textures are drawn from seeds that training never uses, or come from `folder`. shard: number of
    this process and count of those that share the batches.
    """
    textures: Textures = (
        PhotographedTextures(folder) if folder else DrawnTextures((VALIDATION, seed), 200)
    )
    for start in range(0, count, batch_size)[shard[0] :: shard[1]]:
        numbers = range(start, min(start + batch_size, count))
        rngs = ((i, np.random.default_rng((VALIDATION, seed, i))) for i in numbers)
        samples = [make_sample(rng, textures, i % len(LABELS), clip) for i, rng in rngs]
        yield collate(samples, clip)._replace(flow=None)

"""The clips that nets are compared on, small enough to stay in memory: see `architectures.py`."""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from training import FOLDS, SETS

from vidattn.config import recipes
from vidattn.data.motion.dataset import MotionSamples, validation_samples
from vidattn.models.taught import zoom_to_motion
from vidattn.video import ProcessPool, open_video

FOLDERS = {
    "shapes": "synthetic_moving_shapes",
    "gestures": "gestures",
    "exercises": "exercises",
    "fights": "surveillance_fight",
}
ZOOMED = ("gestures",)
"""Sets whose clips are cut to the square in which they move, or hands would be three pixels."""
STORED_FRAMES, STORED_SIDE, SECONDS = 16, 52, 2.0
"""Of a decoded clip, of which training takes one frame of each pair and any square of 48 pixels.
Longer videos than twice these seconds are several clips, up to MOST_CLIPS."""
MOST_CLIPS = 6
MOTION_BATCHES, MOTION_TESTS, MOTION_GROUP = 80, 500, 10
"""Generated clips: batches of 64 to learn from, tests, and tests that are drawn together."""


@dataclass(frozen=True, eq=False)
class Footage:
    """All clips of a set in memory; a video is a clip or several."""

    frames: Tensor
    """uint8 [N, T, H, W, 3]."""
    videos: NDArray[np.int64]
    """The number of the video of each clip, [N], from 0 on without gaps."""
    labels: NDArray[np.int64]
    """Of each video."""
    groups: NDArray[np.str_]
    """Of each video."""
    folds: NDArray[np.int64]
    """The seed that holds back each video; -1 is always learned, FOLDS never."""

    def halves(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The clips to learn from, and those that are held back."""
        held = (self.folds == seed) | (self.folds == FOLDS)
        return np.flatnonzero(~held[self.videos]), np.flatnonzero(held[self.videos])


def load_set(name: str, media: Path) -> Footage:
    """The clips of a folder, decoded."""
    folder = media / FOLDERS[name]
    with (folder / "labels.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    classes = sorted({row["label"] for row in rows})
    with closing(ProcessPool()) as pool:
        clips = [decode(folder / row["file"], pool, zoom=name in ZOOMED) for row in rows]
    counts = [len(found) for found in clips]
    return Footage(
        torch.cat(clips),
        np.repeat(np.arange(len(rows)), counts),
        np.array([classes.index(row["label"]) for row in rows]),
        np.array([row["group"] for row in rows]),
        np.array([fold_of(name, row["group"], number) for number, row in enumerate(rows)]),
    )


def cached_set(name: str, media: Path, out: Path) -> Footage:
    """The clips of a set, from OUT where they are already."""
    path = out / f"{name}.npz"
    if not path.exists():
        footage = load_set(name, media) if name in FOLDERS else make_motion()
        np.savez(path, **(vars(footage) | {"frames": footage.frames.numpy()}))
    with np.load(path) as stored:
        values = dict(stored)
    return Footage(torch.from_numpy(values.pop("frames")), **values)


def fold_of(name: str, group: str, number: int) -> int:
    """The fold that holds back a video: of `training.py`, or in turns where it has none."""
    if name not in SETS:
        return number % FOLDS
    return next((fold for fold, groups in enumerate(SETS[name]) if group in groups), -1)


def decode(path: Path, pool: ProcessPool, *, zoom: bool) -> Tensor:
    """uint8 [clips, T, H, W, 3]: the middle square of a video, or the one in which it moves."""
    side = None if zoom else STORED_SIDE
    with open_video(path, short_side=side, pool=pool) as video:
        parts = max(1, min(MOST_CLIPS, int(video.duration // SECONDS)))
        length = video.duration if parts == 1 else SECONDS
        clips = []
        for start in np.linspace(0, video.duration - length, parts):
            times = start + (np.arange(STORED_FRAMES) + 0.5) * length / STORED_FRAMES
            numbers = np.searchsorted(video.times, times, side="right") - 1
            clips.append(torch.from_numpy(video.read(numbers.clip(0).tolist())))
    frames = torch.stack(clips)
    if not zoom:
        return crop(frames, STORED_SIDE)
    squares = zoom_to_motion(normalize(frames), STORED_SIDE)
    return ((squares * 0.225 + 0.45) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 4, 1)


def crop(frames: Tensor, side: int, top: int | None = None, left: int | None = None) -> Tensor:
    """A square of frames [..., H, W, 3], by default in the middle."""
    height, width = frames.shape[-3:-1]
    top = (height - side) // 2 if top is None else top
    left = (width - side) // 2 if left is None else left
    return frames[..., top : top + side, left : left + side, :]


def normalize(frames: Tensor) -> Tensor:
    """uint8 [N, T, H, W, 3] to float32 [N, 3, T, H, W], channels last in memory: training of small
    I3D and X3D takes 0.8 and 0.6 of the time, and of the others as long."""
    return ((frames.float() / 255 - 0.45) / 0.225).permute(0, 4, 1, 2, 3)


def make_motion() -> Footage:
    """Generated clips of camera motion: the same for all seeds, and tests of other textures."""
    base = recipes.find_recipe("motion-tiny")
    recipe = replace(
        base, data=replace(base.data, clips_per_epoch=64 * MOTION_BATCHES, curriculum=0.0)
    )
    learned = MotionSamples(replace(recipe, optim=replace(recipe.optim, epochs=1)))
    batches = [learned[n] for n in range(MOTION_BATCHES)]
    batches += list(validation_samples(recipe.clip, MOTION_TESTS))
    frames = [
        ((b.clips * 0.225 + 0.45) * 255).round().byte().permute(0, 2, 3, 4, 1) for b in batches
    ]
    labels = torch.cat([b.labels for b in batches]).numpy()
    tests = np.arange(len(labels)) - (len(labels) - MOTION_TESTS)
    return Footage(
        torch.cat(frames),
        np.arange(len(labels)),
        labels,
        np.array([f"tests {n // MOTION_GROUP}" if n >= 0 else "" for n in tests]),
        np.where(tests >= 0, FOLDS, -1),
    )

"""Videos drawn in memory, so small that a processor learns a set of them in seconds.

Each task says where its label lies. `appearance`: in a color, whatever moves. `motion`: in what
moves; every class is another one played backwards, so that frames alone tell two pairs of classes
apart, and no more. `order`: in which two of four events happen in a long video, and which of them
first. `open_task` makes a task of videos in files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import vidattn
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets import open_dataset
from vidattn.errors import VideoError
from vidattn.types import Item

NOISE = 0.3
"""Standard deviation of the noise, which is the same in each sixteenth of a frame."""
COLORS = 2 * torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
"""Of what is shown, on a ground of 0."""
WAYS = ("wider", "narrower", "taller", "shorter")
EVENTS = 4
"""Kinds of events of the task `order`."""
EVENT = 2
"""Frames that an event lasts."""
Drawn = tuple[Tensor, Tensor]
"""Clips float [B, 3, T, H, W] and labels int64 [B]."""
Draw = Callable[[int, int, int, torch.Generator], Drawn]
"""From a number of videos, of frames and of pixels of a side to as many videos."""


@dataclass(frozen=True)
class Task:
    """A set of videos, drawn on demand: new ones each time, or some out of a dataset."""

    name: str
    classes: int
    draw: Draw
    validate: Draw
    """Draws the videos of validation."""
    pace: float = 1.0
    """How many times the usual steps a training takes."""


def draw_door(by_color: bool) -> Draw:
    """A rectangle, half as thick as the frame, that opens or closes: along a row or a column."""

    def draw(count: int, frames: int, size: int, random: torch.Generator) -> Drawn:
        color = torch.randint(len(COLORS), (count,), generator=random)
        way = torch.randint(len(WAYS), (count,), generator=random)
        length = draw_lengths(count, frames, random)
        length = torch.where(way[:, None] % 2 == 1, length.flip(1), length)
        height = torch.where(way[:, None] < 2, 0.5, length)
        width = torch.where(way[:, None] < 2, length, 0.5)
        middle = 0.35 + 0.3 * torch.rand(count, 2, 1, 1, generator=random)
        pixel = (torch.arange(size) + 0.5) / size
        rows = (pixel - middle[:, 0]).abs() < height[..., None] / 2
        columns = (pixel - middle[:, 1]).abs() < width[..., None] / 2
        shown = rows[..., :, None] & columns[..., None, :]
        clips = COLORS[color][:, :, None, None, None] * shown[:, None]
        return add_noise(clips, random), color if by_color else way

    return draw


def draw_lengths(count: int, frames: int, random: torch.Generator) -> Tensor:
    """Rising lengths [B, T] from 0.1 to 1; the falling ones are as these played backwards."""
    span = 0.4 + 0.5 * torch.rand(count, 1, generator=random)
    first = 0.1 + torch.rand(count, 1, generator=random) * (0.9 - span)
    return first + span * torch.linspace(0, 1, frames)


def draw_order(count: int, frames: int, size: int, random: torch.Generator) -> Drawn:
    """Two different events, each at a random time in its half of the video."""
    first = torch.randint(EVENTS, (count,), generator=random)
    later = torch.randint(1, EVENTS, (count,), generator=random)
    second, half = (first + later) % EVENTS, frames // 2
    begins = torch.randint(half - EVENT + 1, (count, 2), generator=random)
    clips = torch.zeros(count, 3, frames, size, size)
    row = torch.arange(count)
    for kind, begin in ((first, begins[:, 0]), (second, half + begins[:, 1])):
        for i in range(EVENT):
            clips[row, :, begin + i] = COLORS[kind][:, :, None, None]
    return add_noise(clips, random), first * (EVENTS - 1) + later - 1


def add_noise(clips: Tensor, random: torch.Generator) -> Tensor:
    """The same clips with coarse noise on every frame."""
    size = clips.shape[-1]
    noise = NOISE * torch.randn(*clips.shape[:3], 4, 4, generator=random)
    return clips + noise.repeat_interleave(size // 4, 3).repeat_interleave(size // 4, 4)


def draw_task(name: str, classes: int, draw: Draw, pace: float = 1.0) -> Task:
    """A task whose videos of validation are drawn like all others."""
    return Task(name, classes, draw, draw, pace)


APPEARANCE = draw_task("appearance", len(COLORS), draw_door(by_color=True), 0.25)
MOTION = draw_task("motion", len(WAYS), draw_door(by_color=False), 2.0)
ORDER = draw_task("order", EVENTS * (EVENTS - 1), draw_order)


def open_task(dataset: str, data_root: Path | None = None) -> Task:
    """A dataset as `vidattn train` takes it. Its videos are read once, at the size first asked for,
    into memory: 150 KB for one of 32 frames of 40 pixels."""
    parts = {split: open_dataset(dataset, data_root, split) for split in ("train", "val")}
    name = Path(dataset).name
    return Task(name, len(parts["train"].labels), *(draw_stored(part) for part in parts.values()))


def draw_stored(part: LabeledDataset) -> Draw:
    """Videos of a dataset at random, with frames spread over each."""
    stored: dict[tuple[int, int], Drawn] = {}

    def draw(count: int, frames: int, size: int, random: torch.Generator) -> Drawn:
        if (frames, size) not in stored:
            stored[frames, size] = read_videos(part.items, frames, size)
        clips, labels = stored[frames, size]
        chosen = torch.randperm(len(labels), generator=random)[:count]
        return clips[chosen], labels[chosen]

    return draw


def read_videos(items: Sequence[Item], frames: int, size: int) -> Drawn:
    """The middle square of `frames` frames of each video; those that do not decode are left out."""
    clips, labels = [], []
    for item in items:
        try:
            with vidattn.open_video(item.path, short_side=size) as video:
                spread = np.linspace(0, video.frames - 1, frames).round().astype(int).tolist()
                top, left = (video.height - size) // 2, (video.width - size) // 2
                shown = video.read(spread)[:, top : top + size, left : left + size]
        except VideoError as error:
            print(f"left out: {error}")
            continue
        clips.append(torch.from_numpy(shown.copy()).permute(3, 0, 1, 2))
        labels.append(item.label)
    return (torch.stack(clips) / 255 - 0.45) / 0.225, torch.tensor(labels)

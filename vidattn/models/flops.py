"""What a forward pass costs: multiply-adds, counted from the table of who attends to whom.

The "FLOPs" of arXiv:2102.05095 (Tables 2 and 5) are these multiply-adds, times three views.
Norms, softmax, GELU and additions are left out, as usual. A class token counts in every row of
attention that has a copy of it: at 8 frames of 224 pixels, 5.6 G of the 140.0 G of attention "time"
(196 tubes) and 3.2 G of the 249.4 G of "axial" (112 columns) are theirs.
"""

from __future__ import annotations

import torch
from einops import rearrange

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.timesformer import Attend, steps_of


def count_macs(
    config: TimeSformerConfig | StamConfig, frames: int | None = None, size: int | None = None
) -> int:
    """Multiply-adds of one clip of `frames` frames of `size` x `size` pixels; the config's own if
    not given. Raises UsageError when the grid cannot be cut as the attention scheme wants."""
    frames, side = frames or config.frames, (size or config.size) // config.patch
    if isinstance(config, StamConfig):
        return _stam(config, frames, side)
    width, patches = config.width, frames * side * side
    steps = sum(_step(attend, width, frames, side) for attend in steps_of(config))
    tokens = patches + (frames if config.attention == "space" else 1)
    block = steps + tokens * _perceptron(config)
    return _embedding(config) * patches + config.depth * block + width * config.classes


def count_frame_macs(config: TimeSformerConfig | StamConfig, size: int | None = None) -> int:
    """Multiply-adds of one frame in `per_frame`: shared by overlapping clips."""
    side = (size or config.size) // config.patch
    if isinstance(config, StamConfig):
        return _image(config, side)
    if config.attention == "space":
        return count_macs(config, 1, size) - config.width * config.classes
    return _embedding(config) * side * side


def _step(attend: Attend, width: int, frames: int, side: int) -> int:
    """One attention step; a grid without values is rearranged as the model does its tokens."""
    grid = torch.empty(1, frames, side, side, width, device="meta")
    rows = rearrange(grid, f"{attend.grid} -> {attend.groups}", **attend.sizes(grid))
    count, tokens = rows.shape[0], rows.shape[1] + attend.cls
    return count * tokens * ((4 + attend.out) * width**2 + 2 * tokens * width)


def _stam(config: StamConfig, frames: int, side: int) -> int:
    """The image model on every frame, then a transformer over frames and a class token."""
    width, hidden, tokens = config.width, config.time_hidden, frames + 1
    layer = tokens * (4 * width**2 + 2 * tokens * width + 2 * width * hidden)
    over_time = config.time_depth * layer
    return frames * _image(config, side) + over_time + width * config.classes


def _image(config: StamConfig, side: int) -> int:
    """The image model, for one frame."""
    width, tokens = config.width, side * side + 1
    block = tokens * (4 * width**2 + 2 * tokens * width + _perceptron(config))
    return _embedding(config) * side * side + config.depth * block


def _perceptron(config: TimeSformerConfig | StamConfig) -> int:
    """The MLP of a block, for one token."""
    return 2 * config.width * int(config.width * config.mlp_ratio)


def _embedding(config: TimeSformerConfig | StamConfig) -> int:
    """The convolution, for one patch."""
    return 3 * config.patch**2 * config.width

"""The cost of a forward pass: multiply-adds, counted from the table of attention steps.

The "FLOPs" of arXiv:2102.05095 (Tables 2 and 5) are these multiply-adds, times three views.
Norms, softmax, GELU and additions are left out, as usual. A class token counts in every row of
attention that has a copy of it: at 8 frames of 224 pixels, 5.6 G of the 140.0 G of attention "time"
(196 tubes) and 3.2 G of the 249.4 G of "axial" (112 columns).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vidattn.config import (
    BackboneStamConfig,
    BigLittleConfig,
    Conv2dConfig,
    Conv3dConfig,
    ModelConfig,
    StamConfig,
    TimeSformerConfig,
)
from vidattn.models.biglittle import BigLittle
from vidattn.models.conv2d import MATCH_WIDTH, REACH, FrameResNet, MotionSqueeze
from vidattn.models.conv3d import ResNet3d
from vidattn.models.layers import NonLocal
from vidattn.models.stam import build_backbone, count_features
from vidattn.models.timesformer import StepSpec, attention_steps

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_macs(config: ModelConfig, frames: int | None = None, size: int | None = None) -> int:
    """Multiply-adds of a clip of `frames` frames of `size` x `size` pixels, by default of `config`.

    Raises UsageError when the attention scheme cannot divide the grid.
    """
    frames, size = frames or config.frames, size or config.size
    if isinstance(config, StamConfig | BackboneStamConfig):
        return frames * count_frame_macs(config, size) + _count_over_time(config, frames, size)
    if not isinstance(config, TimeSformerConfig):
        return _count_network(config, frames, size)
    side = size // config.patch
    width, patches = config.width, frames * side * side
    steps = sum(_count_step(spec, width, frames, side) for spec in attention_steps(config))
    tokens = patches + (frames if config.attention == "space" else 1)
    block = steps + tokens * _count_mlp(config)
    return _count_patch(config) * patches + config.depth * block + width * config.classes


def count_frame_macs(config: ModelConfig, size: int | None = None) -> int:
    """Multiply-adds of one frame in `encode_frames`, which overlapping clips share.

    0 of a network that joins frames from the start.
    """
    if isinstance(config, BackboneStamConfig):
        return _count_backbone(config.backbone, size or config.size)[0]
    if not isinstance(config, TimeSformerConfig | StamConfig):
        return 0
    side = (size or config.size) // config.patch
    if isinstance(config, StamConfig):
        return _count_image(config, side)
    if config.attention == "space":
        return count_macs(config, 1, size) - config.width * config.classes
    return _count_patch(config) * side * side


@lru_cache
def _count_network(
    config: Conv3dConfig | Conv2dConfig | BigLittleConfig, frames: int, size: int
) -> int:
    """The products of all layers in a forward pass without values."""
    kinds = {Conv3dConfig: ResNet3d, Conv2dConfig: FrameResNet, BigLittleConfig: BigLittle}
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, NonLocal):
            places = inputs[0][0, 0].numel()
            total += 2 * places * module.pool(inputs[0])[0, 0].numel() * module.query.out_channels
        elif isinstance(module, MotionSqueeze):
            total += output[1:, 0].numel() * (2 * REACH + 1) ** 2 * MATCH_WIDTH
        elif isinstance(module, LAYERS):
            total += output.numel() * math.prod(module.weight.shape[1:])

    with torch.device("meta"), torch.inference_mode():
        model = kinds[type(config)](config).eval()
        for module in model.modules():
            module.register_forward_hook(add)
        model(torch.empty(1, 3, frames, size, size))
    return total


def _count_step(spec: StepSpec, width: int, frames: int, side: int) -> int:
    """One attention step: a grid without values is rearranged like the tokens of the model."""
    grid = torch.empty(1, frames, side, side, width, device="meta")
    rows = rearrange(grid, f"{spec.grid} -> {spec.groups}", **spec.sizes(grid))
    count, tokens = rows.shape[0], rows.shape[1] + spec.cls
    return count * tokens * ((4 + spec.out) * width**2 + 2 * tokens * width)


def _count_over_time(config: StamConfig | BackboneStamConfig, frames: int, size: int) -> int:
    """A transformer over frames and a class token, and the head."""
    if isinstance(config, StamConfig):
        width = config.width
    else:
        _, width = _count_backbone(config.backbone, size)
    hidden, tokens = config.time_hidden, frames + 1
    layer = tokens * (4 * width**2 + 2 * tokens * width + 2 * width * hidden)
    return config.time_depth * layer + width * config.classes


@lru_cache
def _count_backbone(name: str, size: int) -> tuple[int, int]:
    """Multiply-adds of an image in a backbone, by torch's own count, and its features."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        backbone = build_backbone(name, size).eval()
        backbone(torch.empty(1, 3, size, size))
    return counter.get_total_flops() // 2, count_features(backbone)


def _count_image(config: StamConfig, side: int) -> int:
    """The image model, per frame."""
    width, tokens = config.width, side * side + 1
    block = tokens * (4 * width**2 + 2 * tokens * width + _count_mlp(config))
    return _count_patch(config) * side * side + config.depth * block


def _count_mlp(config: TimeSformerConfig | StamConfig) -> int:
    """The MLP of a block, per token."""
    return 2 * config.width * int(config.width * config.mlp_ratio)


def _count_patch(config: TimeSformerConfig | StamConfig) -> int:
    """The patch convolution, per patch."""
    return 3 * config.patch**2 * config.width

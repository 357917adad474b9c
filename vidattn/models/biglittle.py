"""bLVNet-TAM (arXiv:1912.00869): every second frame through a deep net at half the resolution, the
others through a thin one at the full; both are merged behind each stage, and neighbors in time are
weighted by channel before it.

Details follow the official code: frames 1, 3, ... are the big net's, and the last stage sees these
alone.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vidattn.config import BigLittleConfig
from vidattn.models.conv2d import ConvNorm2d, FrameNet
from vidattn.models.layers import RngDropout

EXPANSION = 4  # of a bottleneck
ALPHA, BETA = 2, 4
"""The little net has the width divided by the first, and the depth by the second."""
STRIDES = (2, 2, 1)
"""Of the bottleneck that merges both nets, by stage."""


class TimeWeights(nn.Module):
    """This frame, the one before and the one behind, weighted by channel, then ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.here, self.behind = (nn.Parameter(torch.zeros(width)) for _ in range(3))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]; same shape. Outside of a clip is zero."""
        clips = rearrange(x, "(b t) c h w -> b t c h w", t=frames)
        padded = F.pad(clips, (0, 0, 0, 0, 0, 0, 1, 1))
        before, here, behind = (w[:, None, None] for w in (self.before, self.here, self.behind))
        y = before * padded[:, :-2] + here * clips + behind * padded[:, 2:]
        return rearrange(y.relu(), "b t c h w -> (b t) c h w")


class PooledBottleneck(nn.Module):
    """A ResNet bottleneck whose shortcut pools where it strides."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, end_linear: bool = False
    ) -> None:
        super().__init__()
        inner = outputs // EXPANSION
        self.a = ConvNorm2d(inputs, inner)
        self.b = ConvNorm2d(inner, inner, 3, stride)
        self.c = ConvNorm2d(inner, outputs)
        self.pool = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.shortcut = ConvNorm2d(inputs, outputs) if inputs != outputs else nn.Identity()
        self.end_linear = end_linear
        """Whether no ReLU follows."""

    def forward(self, x: Tensor, base: Tensor | None = None) -> Tensor:
        """x: [N, C, H, W]; base: the input of the shortcut, by default x."""
        y = self.c(self.b(self.a(x).relu()).relu())
        y = y + self.shortcut(self.pool(x if base is None else base))
        out: Tensor = y if self.end_linear else y.relu()
        return out


class PairStem(nn.Module):
    """The first layers of both nets, merged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // ALPHA
        self.conv = ConvNorm2d(3, width, 7, 2)
        self.time = TimeWeights(width)
        self.big = ConvNorm2d(width, width, 3, 2)
        self.little = nn.ModuleList(
            [ConvNorm2d(width, half, 3), ConvNorm2d(half, half, 3, 2), ConvNorm2d(half, width)]
        )
        self.merge = ConvNorm2d(width, width)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, 3, H, W]. Returns [B T, C, H / 4, W / 4]."""
        x = self.time(self.conv(x).relu(), frames)
        thin, thinner, wide = self.little
        little = wide(thinner(thin(x[::2]).relu()).relu())
        merged = self.merge((self.big(x[1::2]) + little).relu()).relu()
        return repeat_pairs(merged)


class PairStage(nn.Module):
    """A stage of both nets, merged."""

    def __init__(self, inputs: int, outputs: int, blocks: int, stride: int) -> None:
        super().__init__()
        thin, last = outputs // ALPHA, blocks - 2
        self.time = TimeWeights(inputs)
        self.big = nn.Sequential(
            *(
                PooledBottleneck(
                    outputs if i else inputs, outputs, 1 if i else 2, end_linear=i == last
                )
                for i in range(blocks - 1)
            )
        )
        count = max(1, blocks // BETA - 1)
        self.little = nn.Sequential(
            *(PooledBottleneck(thin if i else inputs, thin) for i in range(count))
        )
        self.widen = ConvNorm2d(thin, outputs)
        self.merge = PooledBottleneck(outputs, outputs, stride)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W], the frames of a pair in a row."""
        x = self.time(x, frames)
        little = self.widen(self.little(x[::2]))
        big = F.interpolate(self.big(x[1::2]), little.shape[2:])
        return repeat_pairs(self.merge((big + little).relu()))


class WeightedBottleneck(nn.Module):
    """A bottleneck behind weights over time; a shortcut that changes nothing skips both."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.time = TimeWeights(inputs)
        self.block = PooledBottleneck(inputs, outputs, stride)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]."""
        y = self.time(x, frames)
        same = isinstance(self.block.shortcut, nn.Identity)
        out: Tensor = self.block(y, x if same else y)
        return out


def repeat_pairs(x: Tensor) -> Tensor:
    """x: [N, C, H, W]. Returns [2 N, C, H, W], every map twice in a row."""
    return repeat(x, "n c h w -> (n two) c h w", two=2)


class BigLittle(FrameNet):
    """Clips [B, 3, T, H, W] to logits [B, K]; T even, H and W multiples of 32."""

    def __init__(self, config: BigLittleConfig) -> None:
        super().__init__()
        self.config = config
        width, (*blocks, last) = config.width, config.blocks
        widths = [width, *(EXPANSION * width * 2**i for i in range(4))]
        self.stem = PairStem(width)
        self.stages = nn.ModuleList(
            PairStage(widths[i], widths[i + 1], n, STRIDES[i]) for i, n in enumerate(blocks)
        )
        self.last = nn.ModuleList(
            WeightedBottleneck(widths[4] if i else widths[3], widths[4], 1 if i else 2)
            for i in range(last)
        )
        self.drop = RngDropout(config.drop)
        self.head = nn.Linear(widths[4], config.classes)
        init_weights(self)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [*self.stages, *self.last]

    def encode(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns features of the pairs of frames [B, T / 2, D]."""
        frames = clips.shape[2]
        x = self.stem(rearrange(clips, "b c t h w -> (b t) c h w"), frames)
        for stage in self.stages:
            x = self.run_block(stage, x, frames)
        x = x[1::2]
        for block in self.last:
            x = block(x, frames // 2)
        features: Tensor = rearrange(x.mean((2, 3)), "(b t) d -> b t d", t=frames // 2)
        return features


def init_weights(model: BigLittle) -> None:
    """Convolutions as He et al. for outputs; at first frames see themselves alone."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, TimeWeights):
            nn.init.ones_(module.here)
    model.begin_head()


BLVNET_50 = BigLittleConfig()
BLVNET_101 = replace(BLVNET_50, blocks=(4, 8, 18, 3))
VARIANTS = {"blvnet-tam-50": BLVNET_50, "blvnet-tam-101": BLVNET_101}
"""The published depths, with the frames of f8x2."""

"""ResNets over frames whose blocks look at neighboring frames: TSM (arXiv:1811.08383), STM
(arXiv:1908.02486), TEA (arXiv:2004.01398) and MSNet (arXiv:2007.09933).

Every net is a ResNet-50 that scores each frame; what differs is the block, by a table. The clip's
logits are the mean of its frames'.

All equal the code of their authors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.config import Conv2dConfig
from vidattn.models.layers import BatchNorm, BlockModel, NonLocal, RngDropout

EXPANSION = 4  # of a bottleneck
SHIFTED = 8  # one channel in eight looks ahead, one in eight back
CHUNKS, CHUNK_SHARE = 4, 26 / 64  # of TEA's Res2Net, 26w x 4s
SQUEEZE = 16  # channels for one of the motion branches
REACH = 7  # pixels of MSNet's displacements
MATCH_WIDTH = 64
SIGMA, SHARPNESS = 5.0, 100.0  # of MSNet's kernel around the best match, and of its softmax


class ConvNorm2d(nn.Module):
    """A convolution of frames without bias that keeps the size but for its stride, and its norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W]."""
        y: Tensor = self.norm(self.conv(x))
        return y


class TimeConv(nn.Conv1d):
    """Three frames of each channel, weighted."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1, groups=width, bias=False)

    def forward(self, x: Tensor, frames: int | None = None) -> Tensor:
        """x: [B T, C, H, W]; same shape."""
        _, _, h, w = x.shape
        y = super().forward(rearrange(x, "(b t) c h w -> (b h w) c t", t=frames))
        return rearrange(y, "(b h w) c t -> (b t) c h w", h=h, w=w)


def shift_channels(x: Tensor, frames: int) -> Tensor:
    """x: [B T, C, H, W]. An eighth of the channels from the next frame, an eighth from the one
    before, zero outside the clip."""
    clips = rearrange(x, "(b t) c h w -> b t c h w", t=frames)
    fold = x.shape[1] // SHIFTED
    ahead = F.pad(clips[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    back = F.pad(clips[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    kept = clips[:, :, 2 * fold :]
    return rearrange(torch.cat([ahead, back, kept], dim=2), "b t c h w -> (b t) c h w")


def change_to_next(now: Tensor, transformed: Tensor, frames: int) -> Tensor:
    """The next frame, transformed, less this one; zero for the last. All [B T, C, H, W]."""
    now, then = (rearrange(x, "(b t) c h w -> b t c h w", t=frames) for x in (now, transformed))
    change = F.pad(then[:, 1:] - now[:, :-1], (0, 0, 0, 0, 0, 0, 0, 1))
    return rearrange(change, "b t c h w -> (b t) c h w")


class Bottleneck2d(nn.Module):
    """A ResNet bottleneck; `mix` and `middle` are where the nets differ."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.a = ConvNorm2d(inputs, inner)
        self.b = ConvNorm2d(inner, inner, 3, stride)
        self.c = ConvNorm2d(inner, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm2d(inputs, outputs, stride=stride)
        self.non_local: nn.Module | None = None
        """What follows the block."""

    def mix(self, x: Tensor, frames: int) -> Tensor:
        """The input of the first convolution."""
        return x

    def middle(self, x: Tensor, frames: int) -> Tensor:
        """From the first convolution to the last."""
        y: Tensor = self.b(x).relu()
        return y

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W], the frames of a clip in a row."""
        y = self.middle(self.a(self.mix(x, frames)).relu(), frames)
        out: Tensor = (self.shortcut(x) + self.c(y)).relu()
        if self.non_local is None:
            return out
        clips = rearrange(out, "(b t) c h w -> b c t h w", t=frames)
        seen: Tensor = self.non_local(clips)
        return rearrange(seen, "b c t h w -> (b t) c h w")


class ShiftBlock(Bottleneck2d):
    """TSM and MSNet: some channels come from the frames before and behind."""

    def mix(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]; same shape."""
        return shift_channels(x, frames)


class MotionBlock(Bottleneck2d):
    """STM: appearance over time beside the change to the next frame."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, inner, outputs, stride)
        few = inner // SQUEEZE
        self.time = TimeConv(inner)
        self.squeeze = ConvNorm2d(inner, few)
        self.transform = nn.Conv2d(few, few, 3, padding=1, groups=few, bias=False)
        self.expand = nn.Conv2d(few, inner, 1, bias=False)
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()

    def middle(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W], sides multiples of the stride."""
        few = self.squeeze(x)
        change = self.expand(change_to_next(few, self.transform(few), frames))
        y: Tensor = self.b(self.time(x, frames)).relu() + self.pool(change)
        return y


class ExciteBlock(Bottleneck2d):
    """TEA: channels that change are excited, then a Res2Net hierarchy over time and space."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        width = int(inner * CHUNK_SHARE)
        whole = CHUNKS * width
        super().__init__(inputs, whole, outputs, stride)
        del self.b
        few = whole // SQUEEZE
        self.first = stride > 1 or inputs != outputs
        """Whether it begins a stage: its chunks are apart."""
        self.squeeze = ConvNorm2d(whole, few)
        self.transform = nn.Conv2d(few, few, 3, padding=1, groups=few, bias=False)
        self.expand = ConvNorm2d(few, whole)
        self.times = nn.ModuleList(TimeConv(width) for _ in range(CHUNKS))
        self.spaces = nn.ModuleList(ConvNorm2d(width, width, 3, stride) for _ in range(CHUNKS - 1))
        self.pool = nn.AvgPool2d(3, stride, 1) if self.first else nn.Identity()

    def middle(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]."""
        few = self.squeeze(x)
        change = change_to_next(few, self.transform(few), frames).mean((2, 3), keepdim=True)
        x = x + x * (self.expand(change).sigmoid() - 0.5)
        *chunks, last = x.chunk(CHUNKS, dim=1)
        outs: list[Tensor] = []
        for chunk, time, space in zip(chunks, self.times[:-1], self.spaces, strict=True):
            z = chunk if self.first or not outs else chunk + outs[-1]
            outs.append(space(time(z, frames)).relu())
        outs.append(self.pool(self.times[-1](last, frames)))
        return torch.cat(outs, dim=1)


class MotionSqueeze(nn.Module):
    """MSNet: where each place goes in the next frame, as features added to those of the frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = ConvNorm2d(width, MATCH_WIDTH)
        kernels, widths = (7, 3, 3, 3), (3, 16, 32, 64, width)
        self.within = nn.ModuleList(
            ConvNorm2d(a, a, k, groups=a) for k, a in zip(kernels, widths[:-1], strict=True)
        )
        self.across = nn.ModuleList(ConvNorm2d(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]; same shape."""
        flow = self.displacements(x, frames)
        flow = torch.cat([flow, flow[:, -1:]], dim=1)  # the last frame moves as the one before
        y = rearrange(flow, "b t c h w -> (b t) c h w")
        for within, across in zip(self.within, self.across, strict=True):
            y = across(within(y).relu()).relu()
        return x + y

    def displacements(self, x: Tensor, frames: int) -> Tensor:
        """x: [B T, C, H, W]. Returns [B, T - 1, 3, H, W]: x and y in parts of the reach, from -1 to
        1, and the similarity of the best match."""
        x = self.reduce(x).relu()
        x = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
        clips = rearrange(x, "(b t) c h w -> b t c h w", t=frames)
        similar = correlate(clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)).relu()
        confidence, best = similar.max(1, keepdim=True)
        steps = torch.arange(-REACH, REACH + 1, device=x.device, dtype=x.dtype)
        down, right = (grid.flatten() for grid in torch.meshgrid(steps, steps, indexing="ij"))
        far = (down[:, None, None] - down[best]) ** 2 + (right[:, None, None] - right[best]) ** 2
        weights = (SHARPNESS * similar * (-far / (2 * SIGMA**2)).exp()).softmax(1)
        moves = [torch.einsum("nkhw,k->nhw", weights, way / REACH) for way in (right, down)]
        flow = torch.stack([*moves, confidence[:, 0]], dim=1)
        return rearrange(flow, "(b t) c h w -> b t c h w", t=frames - 1)


def correlate(now: Tensor, then: Tensor) -> Tensor:
    """now, then: [N, C, H, W]. Returns [N, 225, H, W]: the product of every place with those up to
    `REACH` pixels away in the other, rows of the displacement first; zero outside."""
    h, w = now.shape[2:]
    padded, side = F.pad(then, (REACH,) * 4), range(2 * REACH + 1)
    rows = [(now * padded[:, :, i : i + h, j : j + w]).sum(1) for i in side for j in side]
    return torch.stack(rows, dim=1)


@dataclass(frozen=True)
class Net2d:
    """What a net is made of."""

    block: Callable[[int, int, int, int], Bottleneck2d]
    squeeze: bool = False
    """Whether a motion module follows the second stage."""


NETS = {
    "tsm": Net2d(ShiftBlock),
    "stm": Net2d(MotionBlock),
    "tea": Net2d(ExciteBlock),
    "msnet": Net2d(ShiftBlock, squeeze=True),
}
NON_LOCAL = ((1, 0), (1, 2), (2, 0), (2, 2), (2, 4))
"""Stage and block, from 0, behind which a non-local block follows (official code of TSM)."""


class FrameNet(BlockModel, ABC):
    """A net of frames, or of pairs of them, that averages their logits."""

    drop: RngDropout
    head: nn.Linear

    @abstractmethod
    def encode(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns features of the frames or pairs [B, N, D]."""

    def embeddings(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns the input of the head, averaged over N, [B, D]."""
        return self.encode(clips).mean(1)

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W]. Returns logits [B, K], the mean over N."""
        logits: Tensor = self.head(self.drop(self.encode(clips)))
        return logits.mean(1)

    def begin_head(self) -> None:
        """Make the head small."""
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)


class FrameResNet(FrameNet):
    """Clips [B, 3, T, H, W] to logits [B, K]. T, H and W may differ from the config's."""

    def __init__(self, config: Conv2dConfig) -> None:
        super().__init__()
        self.config = config
        net = NETS[config.net]
        self.stem = ConvNorm2d(3, config.width, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages, inputs = nn.ModuleList(), config.width
        for stage, count in enumerate(config.blocks):
            inner = config.width * 2**stage
            outputs, stride = EXPANSION * inner, 1 if stage == 0 else 2
            blocks = [net.block(inputs, inner, outputs, stride)]
            blocks += [net.block(outputs, inner, outputs, 1) for _ in range(1, count)]
            self.stages.append(nn.ModuleList(blocks))
            inputs = outputs
        self.squeeze = MotionSqueeze(EXPANSION * 2 * config.width) if net.squeeze else None
        for stage, block in NON_LOCAL if config.non_local else ():
            width = EXPANSION * config.width * 2**stage
            blocks_here = self.blocks(stage)
            blocks_here[block].non_local = NonLocal(width, "unscaled", pool_first=False)
        self.drop = RngDropout(config.drop)
        self.head = nn.Linear(inputs, config.classes)
        init_weights(self)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [block for stage in range(4) for block in self.blocks(stage)]

    def blocks(self, stage: int) -> list[Bottleneck2d]:
        """The blocks of a stage."""
        blocks = self.stages[stage]
        assert isinstance(blocks, nn.ModuleList)
        return [block for block in blocks if isinstance(block, Bottleneck2d)]

    def encode(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns features of the frames [B, T, D]."""
        frames = clips.shape[2]
        x = self.pool(self.stem(rearrange(clips, "b c t h w -> (b t) c h w")).relu())
        for stage in range(4):
            if stage == 2 and self.squeeze is not None:
                x = self.squeeze(x, frames)
            for block in self.blocks(stage):
                x = self.run_block(block, x, frames)
        features: Tensor = rearrange(x.mean((2, 3)), "(b t) d -> b t d", t=frames)
        return features


def init_weights(model: FrameResNet) -> None:
    """Convolutions as He et al. for outputs; over time as the authors begin: a part of the channels
    looks ahead, a part back; non-local blocks begin as the identity; the head small."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, MotionBlock):
            begin_shifts(module.time, 1 / 4)
        elif isinstance(module, ExciteBlock):
            for number, time in enumerate(module.times):
                assert isinstance(time, TimeConv)
                begin_shifts(time, 1 / 2 if number == CHUNKS - 1 else 0, first=2)
        elif isinstance(module, NonLocal):
            nn.init.zeros_(module.norm.weight)
    model.begin_head()


def begin_shifts(time: nn.Conv1d, share: float, first: int = 0) -> None:
    """Let the first share of the channels hold the frame before (`first` 0) or behind (2), as many
    of the last the other one, the rest this."""
    weight, count = time.weight.data.zero_(), int(time.out_channels * share)
    weight[:count, 0, first] = 1
    weight[count : time.out_channels - count, 0, 1] = 1
    weight[time.out_channels - count :, 0, 2 - first] = 1


TSM = Conv2dConfig()
VARIANTS = {
    "tsm-r50": TSM,
    "tsm-r50-nl": replace(TSM, non_local=True),
    "stm-r50": Conv2dConfig("stm", frames=16),
    "tea-r50": Conv2dConfig("tea", frames=16),
    "msnet-r50": Conv2dConfig("msnet", frames=16),
}
"""The published shapes, for Kinetics-400."""

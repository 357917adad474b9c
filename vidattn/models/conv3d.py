"""Residual networks over space and time: I3D (arXiv:1705.07750 on ResNet-50, as in 1711.07971),
SlowFast (arXiv:1812.03982) and X3D (arXiv:2004.04730).

One network of one or two pathways. A table says what the three differ in: the stem, the frames that
the blocks look at, whether blocks are depthwise, and the head. Details follow PySlowFast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.config import Conv3dConfig
from vidattn.models.layers import BatchNorm, BlockModel, NonLocal, RngDropout

FAST_SHARE = 8
"""The fast pathway has an eighth of the slow one's channels."""
FUSED_SHARE = 2
"""A lateral convolution doubles the channels of the fast pathway."""
EXPANSION = 4  # of a bottleneck
X3D_EXPANSION = 2.25
X3D_FEATURES = 2048
SQUEEZE = 16  # channels for one of a squeeze-excite module, rounded to eights


class ConvNorm3d(nn.Module):
    """A convolution over time, height and width that keeps the size but for its stride, and its
    norm."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        stride: tuple[int, int, int] = (1, 1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, T, H, W]."""
        y: Tensor = self.norm(self.conv(x))
        return y


class SqueezeExcite(nn.Module):
    """Channels weighted by what all frames and places hold of them (arXiv:1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = round_width(width / SQUEEZE)
        self.reduce = nn.Conv3d(width, inner, 1)
        self.expand = nn.Conv3d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, T, H, W]; same shape."""
        means = x.mean((2, 3, 4), keepdim=True)
        y: Tensor = x * self.expand(self.reduce(means).relu()).sigmoid()
        return y


def round_width(width: float) -> int:
    """A multiple of 8 near `width`, at least nine tenths of it."""
    near = max(8, int(width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * width else near


class Bottleneck3d(nn.Module):
    """Fewer channels over time, then over space, then all channels again, and the input added.

    Depthwise, the middle convolution looks over space and time at once, and squeeze-excite and
    Swish follow it.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        kernel: int,
        stride: int,
        *,
        depthwise: bool = False,
        squeeze: bool = False,
    ) -> None:
        super().__init__()
        inputs, inner, outputs = widths
        step = (1, stride, stride)
        middle, groups = ((3, 3, 3), inner) if depthwise else ((1, 3, 3), 1)
        self.a = ConvNorm3d(inputs, inner, (kernel, 1, 1))
        self.b = ConvNorm3d(inner, inner, middle, step, groups)
        self.gate = SqueezeExcite(inner) if squeeze else nn.Identity()
        self.act = nn.SiLU() if depthwise else nn.ReLU()
        self.c = ConvNorm3d(inner, outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm3d(inputs, outputs, stride=step)
        self.non_local: nn.Module = nn.Identity()
        """What follows the block."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, T, H, W]."""
        y = self.c(self.act(self.gate(self.b(self.a(x).relu()))))
        out: Tensor = self.non_local((self.shortcut(x) + y).relu())
        return out


class Stem3d(nn.Module):
    """7x7 pixels of some frames, and a pool."""

    def __init__(self, width: int, kernel: int, step: int) -> None:
        super().__init__()
        self.unit = ConvNorm3d(3, width, (kernel, 7, 7), (step, 2, 2))
        self.pool = nn.MaxPool3d((1, 3, 3), (step, 2, 2), (0, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns [B, C, T, H / 4, W / 4]."""
        x: Tensor = self.pool(self.unit(clips).relu())
        return x


class SeparableStem(nn.Module):
    """3x3 pixels of a frame, then some frames of each channel (X3D)."""

    def __init__(self, width: int, kernel: int, step: int) -> None:
        super().__init__()
        self.space = nn.Conv3d(3, width, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.time = ConvNorm3d(width, width, (kernel, 1, 1), (step, 1, 1), groups=width)

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns [B, C, T, H / 2, W / 2]."""
        x: Tensor = self.time(self.space(clips)).relu()
        return x


@dataclass(frozen=True)
class Pathway:
    """What one pathway looks at."""

    stem_kernel: int
    """Frames that the stem looks at."""
    kernels: tuple[tuple[int, ...], ...]
    """Frames that the first convolutions of each stage's blocks look at, in turn."""
    share: int = 1
    """Its channels are those of the config, divided by this."""


@dataclass(frozen=True)
class Net3d:
    """What a net is made of."""

    pathways: tuple[Pathway, ...]
    stem: Callable[[int, int, int], nn.Module] = Stem3d
    depthwise: bool = False
    pool_stage: int = -1
    """The stage behind which pairs of frames are pooled."""
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)


NETS = {
    "i3d": Net3d((Pathway(5, ((3,), (3, 1), (3, 1), (1, 3))),), pool_stage=0),
    "slowfast": Net3d(
        (Pathway(1, ((1,), (1,), (3,), (3,))), Pathway(5, ((3,), (3,), (3,), (3,)), FAST_SHARE))
    ),
    "x3d": Net3d(
        (Pathway(5, ((1,), (1,), (1,), (1,))),),
        stem=SeparableStem,
        depthwise=True,
        strides=(2, 2, 2, 2),
    ),
}


class ResNet3d(BlockModel):
    """Clips [B, 3, T, H, W] to logits [B, K]. T, H and W may differ from the config's."""

    def __init__(self, config: Conv3dConfig) -> None:
        super().__init__()
        self.config = config
        net = NETS[config.net]
        self.stems = nn.ModuleList(
            net.stem(config.stem // path.share, path.stem_kernel, config.stem_step)
            for path in net.pathways
        )
        self.stages, self.laterals = nn.ModuleList(), nn.ModuleList()
        inputs = [config.stem // path.share for path in net.pathways]
        for stage in range(4):
            if len(inputs) == 2:
                self.laterals.append(Lateral(inputs[1], config))
                inputs[0] += FUSED_SHARE * inputs[1]
            paths = [
                nn.Sequential(*build_stage(config, stage, path, width))
                for path, width in zip(net.pathways, inputs, strict=True)
            ]
            self.stages.append(nn.ModuleList(paths))
            inputs = [stage_widths(config, stage, path)[1] for path in net.pathways]
        for stage, block in config.non_local:
            width = stage_widths(config, stage, net.pathways[0])[1]
            blocks = self.pathways(stage)[0]
            blocks[block].non_local = NonLocal(width, config.affinity)
        self.features = PooledFeatures(sum(inputs), config)
        self.drop = RngDropout(config.drop)
        self.head = nn.Linear(self.features.width, config.classes)
        init_weights(self)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [block for stage in range(4) for path in self.pathways(stage) for block in path]

    def pathways(self, stage: int) -> list[nn.Sequential]:
        """The blocks of each pathway in a stage."""
        paths = self.stages[stage]
        assert isinstance(paths, nn.ModuleList)
        return [path for path in paths if isinstance(path, nn.Sequential)]

    def encode(self, clips: Tensor) -> list[Tensor]:
        """clips: [B, 3, T, H, W]. Returns the maps [B, C, T', H / 32, W / 32] of each pathway."""
        net, maps = NETS[self.config.net], [clips]
        if len(net.pathways) == 2:
            maps = [clips[:, :, slow_frames(self.config, clips.shape[2])], clips]
        maps = [stem(x) for stem, x in zip(self.stems, maps, strict=True)]
        for number in range(4):
            if self.laterals:
                maps[0] = torch.cat([maps[0], self.laterals[number](maps[1], maps[0])], dim=1)
            paths = zip(self.pathways(number), maps, strict=True)
            maps = [self._run(path, x) for path, x in paths]
            if number == net.pool_stage:
                maps = [F.max_pool3d(x, (2, 1, 1)) for x in maps]
        return maps

    def _run(self, blocks: nn.Module, x: Tensor) -> Tensor:
        for block in blocks.children():
            x = self.run_block(block, x)
        return x

    def embeddings(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns the input of the head, averaged over places, [B, D]."""
        features: Tensor = self.features(self.encode(clips)).mean(1)
        return features

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W]. Returns logits [B, K]."""
        logits: Tensor = self.head(self.drop(self.features(self.encode(clips))))
        if self.config.readout != "probability" or logits.shape[1] == 1:
            return logits.mean(1)
        return logits.log_softmax(-1).logsumexp(1) - math.log(logits.shape[1])


class Lateral(nn.Module):
    """What the fast pathway hands to the slow one."""

    def __init__(self, width: int, config: Conv3dConfig) -> None:
        super().__init__()
        kernel, step = config.lateral_kernel, config.slow_step
        outputs = FUSED_SHARE * width
        self.conv = nn.Conv3d(
            width, outputs, (kernel, 1, 1), (step, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        normed = nn.Sequential(BatchNorm(outputs), nn.ReLU())
        self.norm = normed if config.lateral_norm else nn.Identity()

    def forward(self, fast: Tensor, slow: Tensor) -> Tensor:
        """fast: [B, C, T, H, W], slow: [B, _, S, H, W]. Returns [B, 2 C, S, H, W]."""
        y: Tensor = self.norm(self.conv(fast))
        return y[:, :, : slow.shape[2]]


class PooledFeatures(nn.Module):
    """The maps of all pathways, pooled over windows of the size that the head was trained for."""

    def __init__(self, width: int, config: Conv3dConfig) -> None:
        super().__init__()
        self.side = None if config.readout == "pooled" else math.ceil(config.size / 32)
        self.width = width
        if NETS[config.net].depthwise:
            inner = int(X3D_EXPANSION * width)
            self.before: nn.Module = ConvNorm3d(width, inner)
            self.behind: nn.Module = nn.Linear(inner, X3D_FEATURES, bias=False)
            self.act: nn.Module = nn.ReLU()
            self.width = X3D_FEATURES
        else:
            self.before = self.behind = self.act = nn.Identity()

    def forward(self, maps: list[Tensor]) -> Tensor:
        """maps: [B, C, T, H, W] of each pathway. Returns [B, places, D], averaged over time."""
        maps = [self.act(self.before(x)).mean(2) for x in maps]
        height, width = maps[0].shape[2:]
        if self.side is None:
            kernel = height, width
        else:
            kernel = min(self.side, height), min(self.side, width)
        pooled = torch.cat([F.avg_pool2d(x, kernel, stride=1) for x in maps], dim=1)
        places: Tensor = self.act(self.behind(rearrange(pooled, "b c h w -> b (h w) c")))
        return places


def stage_widths(config: Conv3dConfig, stage: int, path: Pathway) -> tuple[int, int]:
    """Inner channels of the blocks of a stage, and those behind it."""
    width = config.widths[stage] // path.share
    if NETS[config.net].depthwise:
        return int(X3D_EXPANSION * width), width
    return width, EXPANSION * width


def build_stage(
    config: Conv3dConfig, stage: int, path: Pathway, inputs: int
) -> Iterator[Bottleneck3d]:
    """The blocks of one pathway in a stage."""
    net = NETS[config.net]
    inner, outputs = stage_widths(config, stage, path)
    kernels = path.kernels[stage]
    temporal = config.temporal_blocks if stage == 2 else 0
    for i in range(config.blocks[stage]):
        yield Bottleneck3d(
            (inputs if i == 0 else outputs, inner, outputs),
            kernels[i % len(kernels)] if i < temporal or not temporal else 1,
            net.strides[stage] if i == 0 else 1,
            depthwise=net.depthwise,
            squeeze=net.depthwise and i % 2 == 0,
        )


def slow_frames(config: Conv3dConfig, frames: int) -> list[int]:
    """The frames of a clip that the slow pathway sees."""
    count = max(1, frames // config.slow_step)
    if config.slow_frames == "stepped":
        return [i * config.slow_step for i in range(count)]
    return [i * (frames - 1) // max(1, count - 1) for i in range(count)]


def init_weights(model: ResNet3d) -> None:
    """Convolutions as He et al. for outputs, the last norm of each residual at 0, the head small.

    Source: PySlowFast.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Bottleneck3d):
            nn.init.zeros_(module.c.norm.weight)
        elif isinstance(module, NonLocal):
            nn.init.zeros_(module.norm.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


I3D = Conv3dConfig("i3d", frames=8)
SLOWFAST = Conv3dConfig("slowfast")
X3D = Conv3dConfig(
    "x3d", frames=16, stem=24, widths=(24, 48, 96, 192), blocks=(3, 5, 11, 7), drop=0.5
)
R101 = (3, 4, 23, 3)
VARIANTS = {
    "i3d-r50": I3D,
    "i3d-r50-nln": replace(I3D, non_local=((1, 1), (1, 3), (2, 1), (2, 3), (2, 5))),
    "slowfast-r50-4x16": replace(SLOWFAST, slow_step=8, lateral_kernel=5),
    "slowfast-r50-8x8": SLOWFAST,
    "slowfast-r101-8x8": replace(SLOWFAST, blocks=R101, lateral_kernel=5),
    "slowfast-r101-16x8": replace(
        SLOWFAST, blocks=R101, lateral_kernel=5, frames=64, temporal_blocks=6
    ),
    "x3d-xs": replace(X3D, frames=4, size=160),
    "x3d-s": replace(X3D, frames=13, size=160),
    "x3d-m": X3D,
    "x3d-l": replace(X3D, size=312, blocks=(5, 10, 25, 15)),
    "x3d-xl": replace(X3D, size=312, blocks=(5, 10, 25, 15), stem=32, widths=(32, 72, 136, 280)),
}
"""The published shapes, for Kinetics-400."""

"""Histograms of optical flow: which way the cells of a clip move. Nothing in them is learned.

Small sets of clips teach motion by them better than by a small network. Source: I. Laptev et al.,
"Learning realistic human actions from movies", CVPR 2008; cells and directions are our own.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.config import FlowConfig
from vidattn.models.taught import average_cells

LEVELS = 255 * 0.225
"""Gray levels of a step of 1 in a normalized clip."""
SCALES, STEPS, WINDOW, FLATNESS = 3, 3, 7, 4.0
"""Of `estimate_flow`: halvings of the frame and one, steps at each, side of the window in pixels,
and the squared gradient, in gray levels, below which nothing is seen to move."""
LONGEST_STEP = 2.0
STILL = 0.2
"""Pixels from one frame to the next that are no motion yet."""


class FlowHistogram(nn.Module):
    """Clips [B, 3, T, H, W] to logits [B, K]; T, H and W may differ from the config."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Linear(config.cells**2 * config.directions, config.classes)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)  # taught models keep it unused: their files shall repeat

    def embeddings(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W]. Returns [B, cells x cells x directions]: the mean motion of
        each cell in each direction, pixels a frame, from 0 on."""
        with torch.autocast(clips.device.type, enabled=False):
            flow = estimate_flow(clips.float().mean(1) * LEVELS)  # [B, T - 1, 2, H, W]
            turns = torch.arange(self.config.directions, device=flow.device)
            angles = turns * (2 * math.pi / self.config.directions)
            speed = flow.square().sum(2, keepdim=True).sqrt()
            along = flow[:, :, :1] * angles.cos().view(-1, 1, 1)
            along = along + flow[:, :, 1:] * angles.sin().view(-1, 1, 1)
            near = (along - speed * math.cos(2 * math.pi / self.config.directions)).relu()
            total = (near * (speed > STILL)).sum(1) / max(flow.shape[1], 1)
            cells = average_cells(total, self.config.cells)
            return rearrange(cells, "b d h w -> b (h w d)")

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W]. Returns logits [B, K]."""
        logits: Tensor = self.head(self.embeddings(clips))
        return logits


def estimate_flow(gray: Tensor) -> Tensor:
    """The motion (x, y) of each pixel from each frame of [B, T, H, W] to the next, in pixels.

    gray: float, in levels of 0 to 255. Returns [B, T - 1, 2, H, W]. The method of Lucas and Kanade
    (1981), coarse to fine.
    """
    count, frames, height, width = gray.shape
    before, after = (
        gray[:, :-1].reshape(-1, 1, height, width),
        gray[:, 1:].reshape(-1, 1, height, width),
    )
    pairs = [(_blur(before), _blur(after))]
    while len(pairs) < SCALES and min(pairs[-1][0].shape[-2:]) >= 2 * WINDOW:
        pairs.append((F.avg_pool2d(pairs[-1][0], 2), F.avg_pool2d(pairs[-1][1], 2)))
    flow = torch.zeros_like(pairs[-1][0]).expand(-1, 2, -1, -1)
    for one, other in reversed(pairs):
        if flow.shape[-2:] != one.shape[-2:]:
            flow = 2 * F.interpolate(flow, one.shape[-2:], mode="bilinear")
        flow = _blur(_blur(_refine(one, other, flow)))
    return flow.view(count, frames - 1, 2, height, width)


def _refine(one: Tensor, other: Tensor, flow: Tensor) -> Tensor:
    """A better flow [N, 2, H, W] from `one` to `other`, [N, 1, H, W], at one scale."""
    height, width = one.shape[-2:]
    padded = F.pad(one, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    xx, yy = _mean(across * across) + FLATNESS, _mean(down * down) + FLATNESS
    xy = _mean(across * down)
    area = xx * yy - xy * xy
    y, x = torch.meshgrid(
        torch.arange(height, device=one.device),
        torch.arange(width, device=one.device),
        indexing="ij",
    )
    for _ in range(STEPS):
        places = torch.stack(
            [
                (x + flow[:, 0]) * (2 / max(width - 1, 1)) - 1,
                (y + flow[:, 1]) * (2 / max(height - 1, 1)) - 1,
            ],
            dim=-1,
        )
        moved = F.grid_sample(other, places, padding_mode="border", align_corners=True)
        change = moved - one
        right, below = _mean(across * change), _mean(down * change)
        step = torch.cat([xy * below - yy * right, xy * right - xx * below], dim=1) / area
        flow = flow + step.clamp(-LONGEST_STEP, LONGEST_STEP)
    return flow


def _mean(values: Tensor) -> Tensor:
    """The mean of the window around each pixel, as far as it lies inside."""
    rows, columns = (_near(int(side), values) for side in values.shape[-2:])
    return rows @ values @ columns.T  # at these sizes much faster than a pooling layer


def _near(side: int, like: Tensor) -> Tensor:
    """Weights [side, side], each row those of the mean of the window around one place."""
    place = torch.arange(side, device=like.device)
    near = ((place[:, None] - place).abs() <= WINDOW // 2).to(like.dtype)
    return near / near.sum(1, keepdim=True)


def _blur(values: Tensor) -> Tensor:
    """A binomial filter of 3 x 3 pixels."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 16

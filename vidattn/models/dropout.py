"""What is left out at random in training: whole branches, or single numbers.

A batch may be learned in parts, one after the other or by several processes. Every module here then
draws what the whole batch would draw and takes its own share, so that the parts change nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RngDropout(nn.Module):
    """Leaves out a share `rate` of its input in training and scales up the rest."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.part: tuple[range, int] | None = None
        """Which videos of a batch of how many the input comes from."""

    def kept(self, x: Tensor, *shape: int) -> Tensor:
        """What is kept of rows [R, ...], those of a video together: 0 or 1, [R, *shape]."""
        videos, of = self.part or (range(1), 1)
        rows = x.shape[0] // len(videos)
        drawn = torch.rand(of * rows, *shape, device=x.device)
        return (drawn[videos.start * rows : videos.stop * rows] >= self.rate).to(x.dtype)


class DropPath(RngDropout):
    """Stochastic depth: drops whole rows (axis 0).

    A row is whatever attention sees as one: a tube, a frame, or a video (official code).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity in eval mode or at rate 0."""
        if not self.training or self.rate == 0:
            return x
        return x * self.kept(x, *[1] * (x.ndim - 1)) / (1 - self.rate)


class Dropout(RngDropout):
    """Drops single numbers (arXiv:1207.0580)."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity in eval mode or at rate 0."""
        if not self.training or self.rate == 0:
            return x
        return x * self.kept(x, *x.shape[1:]) / (1 - self.rate)

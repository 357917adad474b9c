"""Stochastic depth and dropout that give the same result for a batch computed in parts.

A batch may be split over time or over processes. Every module here draws for the whole batch and
uses its own share, so that splitting changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RngDropout(nn.Module):
    """Drops a fraction `rate` of all numbers in training, scales up the rest (arXiv:1207.0580)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.batch_slice: tuple[range, int] | None = None
        """The samples in the input, and the number of samples in the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity in eval mode or at rate 0."""
        if not self.training or self.rate == 0:
            return x
        samples, total = self.batch_slice or (range(1), 1)
        rows = x.shape[0] // len(samples)
        draws = torch.rand(total * rows, *self.mask_shape(x), device=x.device)
        mask = draws[samples.start * rows : samples.stop * rows] >= self.rate
        return x * mask.to(x.dtype) / (1 - self.rate)

    def mask_shape(self, x: Tensor) -> torch.Size | list[int]:
        """The shape of the mask of one row: one draw per number."""
        return x.shape[1:]


class DropPath(RngDropout):
    """Stochastic depth: drops whole rows (axis 0).

    A row is one unit of attention: a tube, a frame, or a video (official code).
    """

    def mask_shape(self, x: Tensor) -> torch.Size | list[int]:
        """One draw per row."""
        return [1] * (x.ndim - 1)

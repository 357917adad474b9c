"""Batch normalization (arXiv:1502.03167) for maps of any number of axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON, MOMENTUM = 1e-5, 0.1


class BatchNorm(nn.Module):
    """PyTorch's batch norm without its count of batches, which nothing here needs.

    In training, parts of a batch that are computed apart, such as those of processes, are
    normalized by statistics of their own.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, ...]; same shape."""
        statistics = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(
            x, *statistics, self.weight, self.bias, self.training, MOMENTUM, EPSILON
        )

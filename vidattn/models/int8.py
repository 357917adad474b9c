"""Linear layers that multiply in 8-bit integers, through oneDNN.

A weight has one scale for each output channel. Every token has a range of its own, found when it
comes, so nothing needs calibrating and what else is in a batch changes nothing: a window's scores
do not depend on its neighbours, and a film that begins in the dark is not measured by its darkness.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

WEIGHT_LEVELS = 127
FULL, HALF = 255, 127
"""Steps from the least to the largest value of a token."""


def can_multiply_int8() -> bool:
    """Whether torch has oneDNN with the two operators that take 8-bit integers."""
    names = ("qlinear_prepack", "qlinear_pointwise")
    here = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(here) and all(hasattr(torch.ops.onednn, name) for name in names)


@functools.cache
def token_levels() -> int:
    """How many steps the values of a token may have, for the processor to add them up exactly.

    Processors without VNNI add pairs of products in 16 bits, which clip silently. So it is tried.
    """
    x = torch.full((64, 256), FULL, dtype=torch.uint8)
    weight = torch.full((64, 256), WEIGHT_LEVELS, dtype=torch.int8)
    found = _product(x, _packed(weight), torch.ones(64))
    return FULL if bool((found == 256 * FULL * WEIGHT_LEVELS).all()) else HALF


class Int8Linear(nn.Module):
    """A linear layer in 8-bit integers: inputs and weights are rounded, sums are exact."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(1).clamp_min(1e-30) / WEIGHT_LEVELS
        whole = (weight / self.scale[:, None]).round()
        self.sums = whole.sum(1) * self.scale
        self.weight = _packed(whole.to(torch.int8))
        self.bias = linear.bias.detach()
        self.levels = token_levels()
        self.nearest = torch.tensor(0.5)  # conversion to integers cuts off

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [..., D]. Returns float32 [..., D']."""
        least = x.amin(-1, keepdim=True)
        step = (x.amax(-1, keepdim=True) - least).clamp_min_(1e-30) / self.levels
        whole = torch.addcmul(self.nearest - least / step, x, 1 / step).to(torch.uint8)
        y = _product(whole, self.weight, self.scale)
        torch.addcmul(self.bias, y, step, out=y)
        return y.addcmul_(least, self.sums)


def _packed(weight: Tensor) -> Tensor:
    """A weight int8 [D', D] in the layout that the kernels want."""
    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
    return packed


def _product(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """x uint8 [..., D] times a packed weight with a scale for each channel [D']: float32."""
    plain: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    y: Tensor = torch.ops.onednn.qlinear_pointwise(x, 1.0, 0, weight, scale, zeros, *plain)
    return y

"""Linear layers that multiply 8-bit integers, through oneDNN.

A weight has one scale per output channel. Every token has a range of its own, measured at run time:
nothing needs calibration, and the scores of a window depend neither on the rest of its batch nor on
how dark the beginning of the video is.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHT_LEVELS = 127
FULL, HALF = 255, 127
"""Steps from the least to the largest value of a token."""


def can_multiply_int8() -> bool:
    """Whether torch has oneDNN with the two operators for 8-bit integers."""
    names = ("qlinear_prepack", "qlinear_pointwise")
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available) and all(hasattr(torch.ops.onednn, name) for name in names)


@functools.cache
def token_levels() -> int:
    """Levels per token that this processor still adds up exactly: FULL or HALF, by trial.

    Processors without VNNI add pairs of products in 16 bits, which saturate silently.
    """
    x = torch.full((64, 256), FULL, dtype=torch.uint8)
    weight = torch.full((64, 256), WEIGHT_LEVELS, dtype=torch.int8)
    product = _multiply(x, _pack(weight), torch.ones(64))
    return FULL if bool((product == 256 * FULL * WEIGHT_LEVELS).all()) else HALF


class Int8Linear(nn.Module):
    """A linear layer in 8-bit integers: inputs and weights are rounded, sums are exact."""

    def __init__(
        self, linear: nn.Linear, dtype: torch.dtype = torch.float32, *, gelu: bool = False
    ) -> None:
        super().__init__()
        self.dtype, self.gelu = dtype, gelu
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(1).clamp_min(1e-30) / WEIGHT_LEVELS
        rounded = (weight / self.scale[:, None]).round()
        self.sums = rounded.sum(1) * self.scale
        self.weight = _pack(rounded.to(torch.int8))
        self.bias = linear.bias.detach()
        self.levels = token_levels()
        self.rounding = torch.tensor(0.5)  # conversion to integers truncates

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x: [..., D]. Returns [..., D'], with `add` added if given, in the dtype of the layer."""
        x = x.float()
        least = x.amin(-1, keepdim=True)
        step = (x.amax(-1, keepdim=True) - least).clamp_min_(1e-30) / self.levels
        rounded = torch.addcmul(self.rounding - least / step, x, 1 / step).to(torch.uint8)
        y = _multiply(rounded, self.weight, self.scale)
        torch.addcmul(self.bias, y, step, out=y)
        y.addcmul_(least, self.sums)
        y = F.gelu(y) if self.gelu else y
        return (y if add is None else y.add_(add)).to(self.dtype)


def _pack(weight: Tensor) -> Tensor:
    """A weight int8 [D', D] in the layout of the kernels."""
    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
    return packed


def _multiply(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """x uint8 [..., D] times a packed weight with a scale for each channel [D']: float32."""
    plain: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    y: Tensor = torch.ops.onednn.qlinear_pointwise(x, 1.0, 0, weight, scale, zeros, *plain)
    return y

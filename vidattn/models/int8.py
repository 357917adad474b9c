"""Linear layers that multiply 8-bit integers, through oneDNN.

A weight has one scale per output channel. Every token has a range of its own, measured at run time,
which needs no calibration; or all tokens of a layer share one, see `calibrate`, which is faster and
less precise. Either way the scores of a window do not depend on the rest of its batch.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidattn.config.models import LayerRange
from vidattn.errors import WeightsError

WEIGHT_LEVELS = 127
FULL, HALF = 255, 127
"""Steps from the least to the largest value of a token."""
SLACK = 0.05
"""Share of its width by which values may leave a range. With it, motion-tiny was off by at most
0.086 in 72 pairs of a calibration and a video; without, by up to 0.31."""


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
        self,
        linear: nn.Linear,
        dtype: torch.dtype = torch.float32,
        *,
        gelu: bool = False,
        name: str = "",
    ) -> None:
        super().__init__()
        self.name = name
        """Of the layer in the model that it stands for."""
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(1).clamp_min(1e-30) / WEIGHT_LEVELS
        rounded = (weight / self.scale[:, None]).round()
        self.sums = rounded.sum(1) * self.scale
        self.weight = _pack(rounded.to(torch.int8))
        self.bias = linear.bias.detach()
        self.dtype, self.gelu, self.levels = dtype, gelu, token_levels()
        self.rounding = torch.tensor(0.5)  # conversion to integers truncates
        self.seen: list[Tensor] | None = None
        """Where set, the least and the largest value of each input, [2], is noted there."""
        self.range: LayerRange | None = None
        """Of all inputs; None: each token has its own."""
        self.steps: Steps | None = None
        """Those that cover `range`."""
        self.next: Steps | None = None
        """Where set, outputs are rounded to these steps, uint8."""

    def cover(self, least: float, most: float) -> None:
        """Round inputs to the same steps for all tokens from now on."""
        self.range = LayerRange(self.name, least, most)
        self.steps = Steps.covering(least, most, self.levels)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x: [..., D], or the same rounded to `steps`. Returns [..., D'], with `add` added if
        given, in the dtype of the layer."""
        if self.steps is not None:
            return self._multiply_static(self.steps, x, add)
        x = x.float()
        least, most = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        if self.seen is not None:
            self.seen.append(torch.stack([least.amin(), most.amax()]))
        step = (most - least).clamp_min_(1e-30) / self.levels
        rounded = torch.addcmul(self.rounding - least / step, x, 1 / step).to(torch.uint8)
        y = _multiply(rounded, self.weight, self.scale)
        torch.addcmul(self.bias, y, step, out=y)
        y.addcmul_(least, self.sums)
        y = F.gelu(y) if self.gelu else y
        return (y if add is None else y.add_(add)).to(self.dtype)

    def _multiply_static(self, steps: Steps, x: Tensor, add: Tensor | None) -> Tensor:
        x = x if x.dtype == torch.uint8 else steps.round(x)
        zeros = torch.zeros(len(self.scale), dtype=torch.int32)
        given = x, steps.size, steps.zero, self.weight, self.scale, zeros
        multiply = torch.ops.onednn.qlinear_pointwise
        after: tuple[Any, ...] = ("gelu", [], "none") if self.gelu else ("none", [], "")
        y: Tensor
        if add is not None:
            out: tuple[Any, ...] = (1.0, 0, self.dtype, 1.0, 0, "add", 1.0, "none", [], "")
            y = multiply.binary(*given, add.contiguous(), self.bias, *out)
        elif self.next is not None:
            out_steps = self.next.size, self.next.zero, torch.uint8
            y = multiply(*given, self.bias, *out_steps, *after)
        else:
            y = multiply(*given, self.bias, 1.0, 0, self.dtype, *after)
        return y


@dataclass(frozen=True)
class Steps:
    """Numbers as multiples of a step size: 0 to `levels` for values around zero."""

    size: float
    zero: int
    """The multiple that stands for zero."""
    levels: int

    @classmethod
    def covering(cls, least: float, most: float, levels: int) -> Steps:
        """Steps from the least value to the largest, and over zero."""
        least, most = min(least, 0.0), max(most, 0.0)
        size = max(most - least, 1e-30) / levels
        return cls(size, round(-least / size), levels)

    def round(self, x: Tensor) -> Tensor:
        """The nearest steps, uint8; values beyond the ends become the ends."""
        zero = torch.tensor(float(self.zero), dtype=x.dtype)
        steps = torch.add(zero, x, alpha=1 / self.size)
        # In two conversions: torch is five times as fast at each as at the one to uint8.
        return steps.round_().clamp_(0, self.levels).to(torch.int16).to(torch.uint8)


def calibrate(model: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    """A copy of `model` whose Int8Linear layers have steps that cover all inputs in `run(copy)`.

    Packed weights are shared. Faster than a range for each token, since nothing is measured; values
    beyond what was seen are cut off.
    """
    copied = _copy(model)
    layers = _layers(copied)
    for layer in layers:
        layer.seen = []
    run(copied)
    for layer in layers:
        if layer.seen:
            least, most = torch.stack(layer.seen).unbind(1)
            layer.cover(float(least.amin()), float(most.amax()))
        layer.seen = None
    return _join_steps(copied)


def list_ranges(model: nn.Module) -> tuple[LayerRange, ...]:
    """The ranges that `calibrate` gave to the layers of a model."""
    return tuple(layer.range for layer in _layers(model) if layer.range is not None)


def are_within(inner: Iterable[LayerRange], outer: Iterable[LayerRange]) -> bool:
    """Whether ranges leave others of the same layers by at most SLACK of their width."""
    known = {one.layer: one for one in outer}

    def fits(one: LayerRange) -> bool:
        wide = known[one.layer]
        slack = SLACK * (wide.most - wide.least)
        return wide.least - slack <= one.least and one.most <= wide.most + slack

    return all(map(fits, inner))


def use_ranges(model: nn.Module, ranges: Iterable[LayerRange], where: str) -> nn.Module:
    """The copy that `calibrate` made, from its ranges and the same model.

    Raises WeightsError that begins with `where` for ranges of other layers.
    """
    copied, known = _copy(model), {one.layer: one for one in ranges}
    layers = {layer.name: layer for layer in _layers(copied)}
    if wrong := sorted(layers.keys() ^ known.keys()):
        raise WeightsError(
            f"{where}: its int8 calibration is of other layers than the model has: {wrong[0]}, ...",
            hint="vidattn models export MODEL --layout vidattn --int8 VIDEO -o FILE makes it anew",
        )
    for name, layer in layers.items():
        layer.cover(known[name].least, known[name].most)
    return _join_steps(copied)


def _layers(model: nn.Module) -> list[Int8Linear]:
    return [module for module in model.modules() if isinstance(module, Int8Linear)]


def _join_steps(model: nn.Module) -> nn.Module:
    """The model, whose layers give each other inputs that are rounded already."""
    for module in model.modules():
        first, last = getattr(module, "first", None), getattr(module, "last", None)
        if isinstance(first, Int8Linear) and isinstance(last, Int8Linear):
            first.next = last.steps  # nothing lies between the layers of an MLP
    return model


def _copy(module: nn.Module) -> nn.Module:
    """Modules with attributes of their own, and the same tensors."""
    copied = copy.copy(module)
    copied._modules = {
        name: None if child is None else _copy(child) for name, child in module._modules.items()
    }
    return copied


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

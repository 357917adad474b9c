"""8-bit linear layers compared with the same rounding in float64, and with float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.models.builders import SMALL
from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models import int8
from vidattn.models.classifier import build_model
from vidattn.models.fused import fuse
from vidattn.models.fused_layers import FrozenLinear
from vidattn.models.int8 import Int8Linear, calibrate, can_multiply_int8, token_levels

pytestmark = pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
SHAPE = SMALL | {"width": 128}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def multiply_in_float64(linear: nn.Linear, x: Tensor, levels: int) -> Tensor:
    """The same rounding, multiplied in float64."""
    scale = linear.weight.abs().amax(1, keepdim=True) / 127
    least = x.double().amin(-1, keepdim=True)
    step = (x.double().amax(-1, keepdim=True) - least) / levels
    rounded = torch.floor((x - least) / step + 0.5) * step + least
    return rounded @ ((linear.weight / scale).round() * scale).double().T + linear.bias


@pytest.mark.parametrize("shape", [(7, 48), (2, 3, 768), (1, 1, 64)])
def test_sums_are_exact_once_values_are_rounded(shape: tuple[int, ...]) -> None:
    linear = nn.Linear(shape[-1], 40)
    x = torch.randn(shape) * torch.logspace(-2, 2, shape[-2])[:, None]
    result, exact = Int8Linear(linear)(x), linear(x)
    scale = exact.abs().amax(-1, keepdim=True)
    # A value halfway between two steps may be rounded to either.
    error = ((result - multiply_in_float64(linear, x, token_levels())).abs() / scale).amax()
    assert error < 2e-3
    assert 5 * error < ((result - exact).abs() / scale).amax() < 0.05


def test_extreme_values_do_not_overflow() -> None:
    linear = nn.Linear(512, 64, bias=False)
    linear.weight.fill_(1.0)
    linear.bias = nn.Parameter(torch.zeros(64))
    for sign in (1, -1):
        result = Int8Linear(linear)(torch.full((64, 512), float(sign)))
        torch.testing.assert_close(result, torch.full((64, 64), 512.0 * sign))


def test_a_token_is_independent_of_the_others() -> None:
    layer = Int8Linear(nn.Linear(96, 32))
    x = torch.randn(5, 96)
    alone = layer(x[:1])
    x[1:] *= 1e4
    torch.testing.assert_close(layer(x)[:1], alone)


def test_a_token_of_zeros_gives_the_bias() -> None:
    linear = nn.Linear(16, 8)
    torch.testing.assert_close(Int8Linear(linear)(torch.zeros(1, 16))[0], linear.bias)


@pytest.mark.parametrize("scheme", ["divided", "space", "joint", "stam"])
def test_logits_are_close_to_float32(scheme: str) -> None:
    torch.manual_seed(0)
    stam = StamConfig(**SHAPE, time_heads=2, time_hidden=128)
    model = build_model(stam if scheme == "stam" else TimeSformerConfig(scheme, **SHAPE))
    for parameter in model.eval().parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape))
    clips = torch.randn(2, 3, 4, 64, 64)
    exact, fast = model(clips), fuse(model, torch.int8)
    assert any(isinstance(m, Int8Linear) for m in fast.blocks.modules())
    assert not any(isinstance(m, nn.Linear | FrozenLinear) for m in fast.blocks.modules())
    assert 0 < (fast(clips) - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_range_for_all_tokens_is_close_where_values_lie_in_it() -> None:
    model = nn.ModuleDict({"first": Int8Linear(nn.Linear(64, 96), gelu=True)})
    model["last"] = Int8Linear(nn.Linear(96, 64))
    x, add = torch.randn(50, 64), torch.randn(50, 64)

    def run(model: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(model, nn.ModuleDict)
        y: Tensor = model["last"](model["first"](x), add=add)
        return y

    exact = run(model, x)
    copied = calibrate(model, lambda m: run(m, x))
    assert 0 < (run(copied, x) - exact).abs().max() < 0.05
    assert torch.equal(run(model, x), exact), "the original has no range of its own"
    # What lies beyond what was seen is cut off, and does not wrap around.
    low, high = x.amin(), x.amax()
    torch.testing.assert_close(run(copied, 3 * x), run(copied, (3 * x).clamp(low, high)))


def test_processors_that_saturate_get_fewer_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    saturated = torch.full((64, 64), 256 / 2 * (2**15 - 1))
    monkeypatch.setattr(int8, "_multiply", lambda *_: saturated)
    token_levels.cache_clear()
    assert token_levels() == int8.HALF
    monkeypatch.undo()
    token_levels.cache_clear()
    assert token_levels() in (int8.HALF, int8.FULL)

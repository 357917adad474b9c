"""Products in 8-bit integers, beside the same arithmetic in float64 and beside float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models import int8
from vidattn.models.fused import fuse
from vidattn.models.int8 import Int8Linear, can_multiply_int8, token_levels
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer

pytestmark = pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
SMALL = {"classes": 5, "frames": 4, "size": 64, "width": 128, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def by_hand(linear: nn.Linear, x: Tensor, levels: int) -> Tensor:
    """The same rounding, multiplied in float64."""
    channel = linear.weight.abs().amax(1, keepdim=True) / 127
    least = x.double().amin(-1, keepdim=True)
    token = (x.double().amax(-1, keepdim=True) - least) / levels
    near = torch.floor((x - least) / token + 0.5) * token + least
    return near @ ((linear.weight / channel).round() * channel).double().T + linear.bias


@pytest.mark.parametrize("shape", [(7, 48), (2, 3, 768), (1, 1, 64)])
def test_sums_are_exact_once_values_are_rounded(shape: tuple[int, ...]) -> None:
    linear = nn.Linear(shape[-1], 40)
    x = torch.randn(shape) * torch.logspace(-2, 2, shape[-2])[:, None]
    got, exact = Int8Linear(linear)(x), linear(x)
    most = exact.abs().amax(-1, keepdim=True)
    # A value just between two steps may be rounded to either.
    off = ((got - by_hand(linear, x, token_levels())).abs() / most).amax()
    assert off < 2e-3
    assert 5 * off < ((got - exact).abs() / most).amax() < 0.05


def test_extreme_values_do_not_overflow() -> None:
    linear = nn.Linear(512, 64, bias=False)
    linear.weight.fill_(1.0)
    linear.bias = nn.Parameter(torch.zeros(64))
    for sign in (1, -1):
        got = Int8Linear(linear)(torch.full((64, 512), float(sign)))
        torch.testing.assert_close(got, torch.full((64, 64), 512.0 * sign))


def test_a_token_does_not_depend_on_what_else_is_there() -> None:
    layer = Int8Linear(nn.Linear(96, 32))
    x = torch.randn(5, 96)
    alone = layer(x[:1])
    x[1:] *= 1e4
    torch.testing.assert_close(layer(x)[:1], alone)


def test_a_token_of_zeros_gives_the_bias() -> None:
    linear = nn.Linear(16, 8)
    torch.testing.assert_close(Int8Linear(linear)(torch.zeros(1, 16))[0], linear.bias)


@pytest.mark.parametrize("scheme", ["divided", "space", "joint", "stam"])
def test_models_answer_almost_as_in_float32(scheme: str) -> None:
    torch.manual_seed(0)
    model: nn.Module
    if scheme == "stam":
        model = Stam(StamConfig(**SMALL, time_heads=2, time_hidden=128))
    else:
        model = TimeSformer(TimeSformerConfig(scheme, **SMALL))
    for parameter in model.eval().parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape))
    clips = torch.randn(2, 3, 4, 64, 64)
    exact, fast = model(clips), fuse(model, torch.int8)
    assert not any(isinstance(m, nn.Linear) for m in fast.twin.blocks.modules())
    assert 0 < (fast(clips) - exact).abs().max() < 0.1 * exact.abs().max()


def test_processors_that_clip_get_fewer_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    def clips(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        return torch.full((64, 64), 256 / 2 * (2**15 - 1))

    monkeypatch.setattr(int8, "_multiply", clips)
    token_levels.cache_clear()
    assert token_levels() == int8.HALF
    monkeypatch.undo()
    token_levels.cache_clear()
    assert token_levels() in (int8.HALF, int8.FULL)

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tests.models.builders import noise, tiny
from vidattn.models import fused, timesformer
from vidattn.models.fused import can_pack, fuse
from vidattn.models.fused_layers import (
    LOG2_E,
    SHORT,
    FrozenLinear,
    OneQuery,
    attend_rows,
    attend_tubes,
)
from vidattn.models.timesformer import SelfAttention

PACK = [False, pytest.param(True, marks=pytest.mark.skipif(not fused.can_pack(), reason="oneDNN"))]


@pytest.mark.parametrize("pack", PACK, ids=["plain", "packed"])
@torch.inference_mode()
def test_bf16_is_close_and_returns_float32(pack: bool) -> None:
    if pack and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this processor")
    model, clips = tiny(), noise(2, 3, 4, 64, 64)
    logits, expected = fuse(model, torch.bfloat16, pack=pack)(clips), model(clips)
    assert logits.dtype == torch.float32
    assert 0 < (logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_the_original_model_is_unchanged() -> None:
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fuse(model, pack=fused.can_pack())(noise())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert type(model.blocks[-1]) is timesformer.Block


def test_without_packing_only_merged_weights_are_copied() -> None:
    model = tiny()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    copies = {
        name: tensor
        for name, module in fuse(model, pack=False).named_modules()
        for tensor in vars(module).values()
        if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in own
    }
    assert set(copies) == {"blocks.0.steps.0.proj", "last.first.0.proj"}


def test_a_model_of_another_family_is_returned_unchanged() -> None:
    linear = nn.Linear(2, 2)
    assert fuse(linear) is linear


@pytest.mark.skipif(not fused.can_pack(), reason="oneDNN")
def test_wide_models_are_packed_where_that_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def packs() -> bool:
        return any(getattr(m, "packed", False) for m in fuse(tiny()).modules())

    monkeypatch.setattr(fused, "is_packing_faster", lambda: True)
    assert not packs()
    monkeypatch.setattr(fused, "MIN_PACKED_WIDTH", 32)
    assert packs()
    monkeypatch.setattr(fused, "is_packing_faster", lambda: False)
    assert not packs()


HEADS, WIDTH = 2, 16


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention within rows [R, N, D], written out."""
    q, k, v = (rearrange(x, "r n (h d) -> r h n d", h=HEADS) for x in (q, k, v))
    weights = (scale * q @ k.transpose(2, 3)).softmax(3)
    return rearrange(weights @ v, "r h n d -> r n (h d)")


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("tokens", [1, 5, SHORT, SHORT + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_rows_and_tubes_are_attention_along_either_axis(
    dtype: torch.dtype, tokens: int, scale: float
) -> None:
    qkv = torch.randn(7, tokens, 3 * WIDTH).to(dtype)
    expected = attend(*qkv.float().chunk(3, -1), scale)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    rows = attend_rows(qkv, HEADS, scale * LOG2_E)
    tubes = attend_tubes(qkv.transpose(0, 1), HEADS, scale * LOG2_E).transpose(0, 1)
    for found in (rows, tubes):
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_may_lie_beyond_the_exponents_of_numbers(sign: int) -> None:
    keys = 20 * torch.eye(SHORT + 1) if sign > 0 else torch.full((SHORT + 1, SHORT + 1), 20.0)
    values = torch.randn(SHORT + 1, SHORT + 1)
    qkv = torch.cat([sign * keys, keys, values], 1)[None].bfloat16()
    expected = values if sign > 0 else values.mean(0, keepdim=True).expand_as(values)
    found = attend_rows(qkv, 1, LOG2_E)[0].float()  # of scores of 400, or all of -6,800
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("pack", [False, *([True] if can_pack() else [])])
@torch.inference_mode()
def test_a_linear_layer_does_what_follows_it(pack: bool) -> None:
    linear, x, add = nn.Linear(WIDTH, 8), torch.randn(3, 5, WIDTH), torch.randn(3, 5, 8)
    plain = FrozenLinear(linear, torch.float32, pack)
    torch.testing.assert_close(plain(x), linear(x))
    torch.testing.assert_close(plain(x, add), linear(x) + add)
    with_gelu = FrozenLinear(linear, torch.float32, pack, gelu=True)
    torch.testing.assert_close(with_gelu(x), F.gelu(linear(x)), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_one_query_is_the_first_token_of_full_attention() -> None:
    norm, full = nn.LayerNorm(WIDTH), SelfAttention(WIDTH, HEADS)
    rows = torch.randn(6, 9, WIDTH)
    one = OneQuery(norm, full.qkv, full.proj, HEADS, torch.float32)
    torch.testing.assert_close(one(rows), full(norm(rows))[:, 0], rtol=1e-5, atol=1e-6)

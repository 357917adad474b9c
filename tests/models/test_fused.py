import pytest
import torch
from torch import Tensor, nn

from tests.models.builders import noise, tiny
from vidattn.models import fused, timesformer
from vidattn.models.fused import fuse

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

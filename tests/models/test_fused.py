from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidattn.config import TimeSformerConfig
from vidattn.models import fused as subject
from vidattn.models import timesformer
from vidattn.models.fused import fuse
from vidattn.models.timesformer import TimeSformer

PACK = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(not subject.can_pack(), reason="oneDNN")),
]


def model_of(**change: Any) -> TimeSformer:
    """A seeded model with nothing left at zero, in eval mode."""
    shape = {"classes": 5, "frames": 4, "size": 64, "width": 32, "depth": 2, "heads": 2}
    torch.manual_seed(0)
    model = TimeSformer(TimeSformerConfig(**(shape | change))).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model


def clip(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pack", PACK, ids=["plain", "packed"])
@torch.inference_mode()
def test_bf16_is_near_and_answers_in_float32(pack: bool) -> None:
    if pack and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this processor")
    model = model_of()
    logits = fuse(model, torch.bfloat16, pack=pack)(clip(2, 3, 4, 64, 64))
    assert logits.dtype == torch.float32
    expected = model(clip(2, 3, 4, 64, 64))
    assert 0 < (logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_the_model_it_was_made_from_stays_as_it_was() -> None:
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = fuse(model, pack=subject.can_pack())
    fast(clip(1, 3, 4, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert type(model.blocks[-1]) is timesformer.Block


def test_without_packing_only_folded_weights_are_copied() -> None:
    model = model_of()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    copies = [
        name
        for name, p in fuse(model, pack=False).named_parameters()
        if p.untyped_storage().data_ptr() not in own
    ]
    assert len(copies) == 4
    assert all(".steps.time.attn.proj." in name or ".first." in name for name in copies)


def test_a_model_of_another_family_stays_itself() -> None:
    linear = nn.Linear(2, 2)
    assert fuse(linear) is linear


@pytest.mark.skipif(not subject.can_pack(), reason="oneDNN")
def test_wide_models_are_packed_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    def packs() -> bool:
        return any(isinstance(m, subject.FrozenLinear) for m in fuse(model_of()).modules())

    monkeypatch.setattr(subject, "is_packing_faster", lambda: True)
    assert not packs()
    monkeypatch.setattr(subject, "MIN_PACKED_WIDTH", 32)
    assert packs()
    monkeypatch.setattr(subject, "is_packing_faster", lambda: False)
    assert not packs()

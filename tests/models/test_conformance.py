"""The promises of every model, whatever its scheme: one suite over all of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.builders import noise
from vidattn import weights
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.models import fused, stam, timesformer
from vidattn.models.classifier import Classifier, ModelCard, build_model
from vidattn.models.fused import FusedModel, can_pack, fuse

KEYS = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text())
SHAPES = [(2, 3, 2, 64, 96), (1, 3, 6, 32, 128)]
"""Other lengths, not square; one has as many patches as the config, in another shape."""


@torch.no_grad()
def test_a_clip_is_independent_of_its_batch(model: nn.Module, clips: Tensor) -> None:
    alone = torch.cat([model(clip[None]) for clip in clips])
    torch.testing.assert_close(model(clips), alone, rtol=0, atol=1e-5)
    other = torch.cat([clips[:1], 9 * clips[1:]])
    torch.testing.assert_close(model(other)[:1], alone[:1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_same_clips_have_the_same_logits_to_the_bit(model: nn.Module, clips: Tensor) -> None:
    logits = model(clips)
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    for form in (model, fuse(model)):
        assert torch.equal(form(clips), form(clips.clone()))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@torch.no_grad()
def test_other_lengths_and_sizes_keep_time_and_space_apart(
    model: nn.Module, independent_frames: bool, shape: tuple[int, ...]
) -> None:
    clips = noise(*shape, seed=2)
    logits = model(clips)
    assert logits.shape == (shape[0], 5)
    for t, y, x in [(0, 0, 0), (-1, -1, -1), (0, -1, 0), (-1, 0, -1)]:
        other = clips.clone()
        other[:, :, t, y, x] += 3
        assert (model(other) - logits).abs().max() > 1e-7, "every pixel counts"
    if independent_frames:
        torch.testing.assert_close(model(clips.flip(2)), logits, rtol=0, atol=1e-5)
        frames = clips.transpose(1, 2).flatten(0, 1)[:, :, None]
        mean = model.features(frames)[0].view(shape[0], shape[2], -1).mean(1)
        torch.testing.assert_close(model.head(model.norm(mean)), logits, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_order_of_frames_matters_where_frames_meet_in_time(
    model: nn.Module, name: str, independent_frames: bool, clips: Tensor
) -> None:
    ignored = independent_frames or name in ("positions: none", "positions: space")
    change = (model(clips) - model(clips[:, :, [2, 0, 3, 1]])).abs().max()
    assert change < 1e-5 if ignored else change > 1e-4


@torch.no_grad()
def test_files_restore_models(model: nn.Module, name: str, clips: Tensor, tmp_path: Path) -> None:
    classifier = Classifier(model, ClipConfig(frames=4), tuple("abcde"), card=ModelCard(name))
    again = weights.load(weights.save(classifier, tmp_path / "model.safetensors")).model
    assert again.config == model.config
    assert torch.equal(again(clips), model(clips))
    assert again.state_dict().keys() == model.state_dict().keys()


def test_tensor_names_and_shapes_are_stable(model: nn.Module, name: str) -> None:
    """Weights files of users contain these names; a change needs a way to read the old ones."""
    state = model.state_dict()
    assert {key: "x".join(map(str, value.shape)) for key, value in state.items()} == KEYS[name]


def test_every_parameter_learns(model: nn.Module, clips: Tensor) -> None:
    model.train()
    nn.functional.cross_entropy(model(clips), torch.tensor([0, 1])).backward()
    assert [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("form", ["plain", "fused"])
@torch.inference_mode()
def test_chunks_change_memory_and_not_the_result(
    model: nn.Module, form: str, clips: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fuse(model) if form == "fused" else model
    expected, sizes, apply_in_chunks = model(clips), [], timesformer.apply_in_chunks

    def record(function: object, rows: Tensor) -> Tensor:
        return apply_in_chunks(lambda x: sizes.append(x.shape[0]) or function(x), rows)  # type: ignore[operator]

    monkeypatch.setattr(timesformer, "CPU_CHUNK", 20 * model.config.width)
    for module in (timesformer, stam, fused):
        monkeypatch.setattr(module, "apply_in_chunks", record)
    torch.testing.assert_close(model(clips), expected, rtol=0, atol=1e-5)
    assert len(sizes) > 4


class _NoWaiting(TorchDispatchMode):
    """Fails on operations whose result the processor must know before it can go on."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.equal,
        ), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
def test_a_forward_pass_never_waits_for_the_device(model: nn.Module, clips: Tensor) -> None:
    for form in (fuse(model, pack=False), fuse(model, torch.bfloat16, pack=False)):
        with _NoWaiting():
            assert form(clips).ndim == 2


@torch.inference_mode()
def test_fusing_and_packing_change_only_rounding(model: nn.Module, clips: Tensor) -> None:
    for pack in sorted({False, can_pack()}):
        fast = fuse(model, pack=pack)
        assert isinstance(fast, FusedModel)
        for x in (clips, *(noise(*shape, seed=2) for shape in SHAPES)):
            torch.testing.assert_close(fast(x), model(x), rtol=1e-5, atol=1e-4)


def test_checkpoints_keep_gradients(config: TimeSformerConfig | StamConfig, clips: Tensor) -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = build_model(config).train()
        model.activation_checkpointing = recompute
        for module in model.modules():
            if isinstance(module, timesformer.DropPath):
                module.rate = 0.5  # the second forward pass must draw the same
        model(clips).logsumexp(-1).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)

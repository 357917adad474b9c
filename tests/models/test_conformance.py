"""What every model promises, whatever its scheme: one suite over all of them."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidattn import weights
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.models import stam, timesformer
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.fused import FusedModel, can_pack, fuse
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer

KEYS = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text())
SHAPES = [(2, 3, 2, 64, 96), (1, 3, 6, 32, 128)]
"""Other lengths, not square, one with as many patches as the config has in another shape."""


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_a_video_does_not_see_its_batch(model: nn.Module, clips: Tensor) -> None:
    alone = torch.cat([model(one[None]) for one in clips])
    torch.testing.assert_close(model(clips), alone, rtol=0, atol=1e-5)
    other = torch.cat([clips[:1], 9 * clips[1:]])
    torch.testing.assert_close(model(other)[:1], alone[:1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_same_clips_have_the_same_logits_to_the_bit(model: nn.Module, clips: Tensor) -> None:
    first = model(clips)
    assert first.shape == (2, 5)
    assert first.isfinite().all()
    for again in (model, fuse(model)):
        assert torch.equal(again(clips), again(clips.clone()))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@torch.no_grad()
def test_other_lengths_and_sizes_keep_time_and_space_apart(
    model: nn.Module, alone: bool, shape: tuple[int, ...]
) -> None:
    film = noise(*shape)
    logits = model(film)
    assert logits.shape == (shape[0], 5)
    for t, y, x in [(0, 0, 0), (-1, -1, -1), (0, -1, 0), (-1, 0, -1)]:
        other = film.clone()
        other[:, :, t, y, x] += 3
        assert (model(other) - logits).abs().max() > 1e-7, "every pixel is seen"
    if alone:
        torch.testing.assert_close(model(film.flip(2)), logits, rtol=0, atol=1e-5)
        frames = film.transpose(1, 2).flatten(0, 1)[:, :, None]
        mean = torch.stack([model.features(frames)[0]]).view(*shape[:1], shape[2], -1).mean(1)
        torch.testing.assert_close(model.head(model.norm(mean)), logits, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_order_of_frames_matters_where_frames_meet_in_time(
    model: nn.Module, name: str, alone: bool, clips: Tensor
) -> None:
    placeless = alone or name in ("positions: none", "positions: space")
    moved = (model(clips) - model(clips[:, :, [2, 0, 3, 1]])).abs().max()
    assert moved < 1e-5 if placeless else moved > 1e-4


@torch.no_grad()
def test_a_file_gives_back_the_same_model(
    model: nn.Module, name: str, clips: Tensor, tmp_path: Path
) -> None:
    labels = tuple("abcde")
    mine = Classifier(model, ClipConfig(frames=4), labels, card=ModelCard(name))
    again = weights.load(weights.save(mine, tmp_path / "model.safetensors"))
    assert again.model.config == model.config
    assert torch.equal(again.model(clips), model(clips))
    assert again.model.state_dict().keys() == model.state_dict().keys()


def test_the_names_and_shapes_of_tensors_stay(model: nn.Module, name: str) -> None:
    """Weights files of users hold these names; a change here must come with a way to read them."""
    found = {key: "x".join(map(str, value.shape)) for key, value in model.state_dict().items()}
    assert found == KEYS[name]


def test_every_parameter_learns(model: nn.Module, clips: Tensor) -> None:
    model.train()
    nn.functional.cross_entropy(model(clips), torch.tensor([0, 1])).backward()
    still = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("form", ["plain", "folded"])
@torch.inference_mode()
def test_chunks_change_the_memory_and_not_the_result(
    model: nn.Module, form: str, clips: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fuse(model) if form == "folded" else model
    whole, rows, chunked = model(clips), [], timesformer.apply_in_chunks

    def watched(function: object, given: Tensor) -> Tensor:
        return chunked(lambda some: rows.append(some.shape[0]) or function(some), given)  # type: ignore[operator]

    monkeypatch.setattr(timesformer, "CHUNK_TOKENS", 20)
    monkeypatch.setattr(timesformer, "apply_in_chunks", watched)
    monkeypatch.setattr(stam, "apply_in_chunks", watched)
    torch.testing.assert_close(model(clips), whole, rtol=0, atol=1e-5)
    assert len(rows) > 4, "it was cut"


@torch.inference_mode()
def test_folding_and_packing_change_only_rounding(model: nn.Module, clips: Tensor) -> None:
    for pack in sorted({False, can_pack()}):
        fast = fuse(model, pack=pack)
        assert isinstance(fast, FusedModel)
        for film in (clips, *(noise(*shape) for shape in SHAPES)):
            torch.testing.assert_close(fast(film), model(film), rtol=1e-5, atol=1e-4)


def test_checkpointing_changes_no_gradient(
    config: TimeSformerConfig | StamConfig, clips: Tensor
) -> None:
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        model = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
        model.train().activation_checkpointing = again
        for module in model.modules():
            if isinstance(module, timesformer.DropPath):
                module.rate = 0.5  # what is drawn must be drawn alike the second time
        model(clips).logsumexp(-1).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)

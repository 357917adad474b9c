"""The promises of convolutional networks, whatever the net."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import mostly_slow
from tests.models.builders import make, noise
from vidattn import weights
from vidattn.config import BigLittleConfig, ClipConfig, Conv2dConfig, Conv3dConfig, ModelConfig
from vidattn.errors import RecipeError
from vidattn.models.classifier import Classifier, Model, ModelCard
from vidattn.models.flops import count_macs

WIDTHS, BLOCKS = (8, 16, 32, 64), (1, 2, 1, 1)
CONV3D = Conv3dConfig("i3d", 5, 4, 64, stem=8, widths=WIDTHS, blocks=BLOCKS)
CONV2D = Conv2dConfig("tsm", 5, 4, 64, width=32, blocks=BLOCKS)
SMALL: dict[str, ModelConfig] = {
    "i3d": replace(CONV3D, non_local=((1, 1),)),
    "slowfast": replace(CONV3D, net="slowfast", stem=16, widths=(16, 16, 32, 64), slow_step=2),
    "x3d": replace(CONV3D, net="x3d", widths=(8, 16, 24, 32)),
    "tsm": replace(CONV2D, non_local=False),
    "stm": replace(CONV2D, net="stm"),
    "tea": replace(CONV2D, net="tea", width=64),
    "msnet": replace(CONV2D, net="msnet"),
    "blvnet": BigLittleConfig(5, 4, 64, width=16, blocks=(2, 2, 2, 1)),
}


@pytest.fixture(params=mostly_slow(SMALL, "i3d", "slowfast", "tsm", "blvnet"))
def model(request: pytest.FixtureRequest) -> Model:
    return make(SMALL[request.param])


@torch.no_grad()
def test_a_clip_is_independent_of_its_batch_and_its_order_counts(model: Model) -> None:
    clips = noise(2, 3, 4, 64, 64)
    logits = model(clips)
    assert logits.shape == (2, 5)
    torch.testing.assert_close(
        torch.cat([model(clip[None]) for clip in clips]), logits, rtol=1e-4, atol=1e-5
    )
    assert (model(clips.flip(2)) - logits).abs().max() > 1e-4
    assert model.embeddings(clips).shape == (2, model.head.in_features)


@torch.no_grad()
def test_other_lengths_and_sizes_have_logits(model: Model) -> None:
    for shape in ((1, 3, 6, 64, 96), (1, 3, 2, 96, 64)):
        assert model(noise(*shape)).isfinite().all()


def test_every_weight_learns_and_recomputing_changes_no_gradient(model: Model) -> None:
    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(noise(2, 3, 4, 64, 64)).square().sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain = gradients()
    assert len(plain) == len(list(model.parameters()))
    model.activation_checkpointing = True
    for a, b in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_files_restore_networks(model: Model, tmp_path: Path) -> None:
    classifier = Classifier(model, ClipConfig(frames=4), tuple("abcde"), card=ModelCard("net"))
    again = weights.load(weights.save(classifier, tmp_path / "model.safetensors")).model
    clips = noise(1, 3, 4, 64, 64)
    assert again.config == model.config
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(again(clips), model(clips))  # kernels depend on where values lie


@pytest.mark.parametrize("net", mostly_slow(SMALL, "slowfast", "tsm"))
def test_operations_grow_with_frames_and_pixels(net: str) -> None:
    config = SMALL[net]
    once = count_macs(config)
    assert count_macs(config, frames=8) > 1.5 * once
    assert count_macs(config, size=128) > 2 * once


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(RecipeError, match="frames must be even"):
        BigLittleConfig(frames=3)
    with pytest.raises(RecipeError, match="drop"):
        replace(CONV3D, drop=1.0)
    with pytest.raises(RecipeError, match="blocks"):
        replace(CONV2D, blocks=(0, 1, 1, 1))


def test_a_stage_of_two_nets_has_two_blocks() -> None:
    with pytest.raises(RecipeError, match=r"model\.blocks must be 2 or more in front"):
        BigLittleConfig(blocks=(3, 1, 6, 3))

"""Heads of one's own classes on a frozen model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import tiny_classifier
from vidattn import weights
from vidattn.config import (
    Conv2dConfig,
    FlowConfig,
    ModelConfig,
    StamConfig,
    TaughtConfig,
    TimeSformerConfig,
)
from vidattn.config.serialization import from_plain
from vidattn.errors import WeightsError
from vidattn.models.classifier import Classifier, build_taught
from vidattn.models.layers import ClipModel
from vidattn.models.taught import TaughtModel, zoom_to_motion

TIMESFORMER = TimeSformerConfig(
    classes=3, frames=4, size=32, patch=16, width=32, depth=2, heads=2, drop_path=0.0
)
BACKBONES = (
    TIMESFORMER,
    replace(TIMESFORMER, attention="space"),
    StamConfig(3, 4, 32, 16, 32, 2, 2, 2.0, 1, 2, 64),
    Conv2dConfig(classes=3, frames=4, size=32, width=4, blocks=(1, 1, 1, 1)),
    FlowConfig(classes=3, frames=4, size=32),
)


def taught(backbone: ModelConfig | FlowConfig = TIMESFORMER, **changes: object) -> TaughtModel:
    torch.manual_seed(0)
    config = replace(
        TaughtConfig(backbone, 2, frames=4, size=32),
        **changes,  # type: ignore[arg-type]
    )
    model = build_taught(config).eval()
    for parameter in model.head.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda config: config.kind)
@pytest.mark.parametrize("head", ["linear", "neighbors", "kernel"])
def test_every_backbone_carries_every_head(backbone: ModelConfig | FlowConfig, head: str) -> None:
    model = taught(backbone, head=head, pieces=2, levels=(1, 2), examples=5)
    clips = torch.randn(3, 3, 8, 32, 32)
    with torch.inference_mode():
        logits = model(clips)
        alone = model(clips[1:2])
    assert isinstance(model, ClipModel)
    assert logits.shape == (3, 2)
    torch.testing.assert_close(alone, logits[1:2])


def test_the_embedding_of_one_piece_begins_with_that_of_the_backbone() -> None:
    model = taught(grid=2)
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.inference_mode():
        frames = model.encode_frames(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 4))
        found = model.embeddings(frames)
        assert found.shape == (2, 5 * 32)
        torch.testing.assert_close(model.backbone.head(found[:, :32]), model.backbone(clips))


def test_levels_compare_parts_of_a_window() -> None:
    model = taught(pieces=2, levels=(1, 2), grid=0)
    tokens = torch.arange(2 * 32.0)[None]
    first, second = tokens[:, :32], tokens[:, 32:]
    expected = torch.cat([(first + second) / 2, first, second], dim=1)
    torch.testing.assert_close(super(type(model.head), model.head).forward(tokens), expected)


def test_level_0_is_the_mean_and_the_spread_of_tokens_wherever_they_are() -> None:
    model = taught(pieces=2, levels=(0,), grid=1)
    tokens = torch.randn(3, 4, 32)  # of two pieces with two cells each
    pool = super(type(model.head), model.head).forward
    expected = torch.cat([tokens.mean(1), tokens.std(1, correction=0)], dim=1)
    torch.testing.assert_close(pool(tokens.flatten(1)), expected)
    torch.testing.assert_close(pool(tokens.flip(1).flatten(1)), expected)


def test_heads_compare_shares_of_motion_whatever_its_amount() -> None:
    flow = FlowConfig(cells=1, directions=2, even_motion=1e-4)
    model = taught(flow, pieces=2, levels=(1, 2))
    pool = super(type(model.head), model.head).forward
    motion = torch.tensor([[0.0, 3.0, 1.0, 0.0]])
    torch.testing.assert_close(
        pool(motion) ** 2 * 8, torch.tensor([[0.5, 1.5, 0, 3, 1, 0]]) * 4 / 3, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(pool(7 * motion), pool(motion), atol=2e-3, rtol=0)
    torch.testing.assert_close(pool(0 * motion), torch.full((1, 6), 6**-0.5))
    before = from_plain(FlowConfig, {"cells": 1, "directions": 2})  # of older weights
    model = taught(before, pieces=2, levels=(1, 2))
    pool = super(type(model.head), model.head).forward
    torch.testing.assert_close(pool(7 * motion), pool(motion))
    assert not pool(0 * motion).any()


def test_zoom_shows_the_square_that_moves() -> None:
    clips = torch.zeros(1, 3, 4, 96, 128)
    for frame in range(4):
        clips[0, :, frame, 40:60, 20 + 4 * frame : 30 + 4 * frame] = 1
    still = torch.rand(1, 3, 1, 96, 128).expand(-1, -1, 4, -1, -1)
    zoomed = zoom_to_motion(clips, 24)
    assert zoomed.shape == (1, 3, 4, 24, 24)
    assert zoomed.mean() > 4 * clips.mean()
    torch.testing.assert_close(zoom_to_motion(still, 96), still[..., 16:112])


def test_a_taught_model_is_saved_with_all_it_needs(tmp_path: Path) -> None:
    clip = replace(tiny_classifier().clip, frames=8, short_side=32, crop=32)
    model = taught(pieces=2, zoom=True, size=16)
    made = Classifier(model, clip, ("a", "b"), activation="sigmoid", thresholds=(0.3, 0.6))
    loaded = weights.load(weights.save(made, tmp_path / "own.safetensors"))
    assert loaded.model.config == model.config
    assert (loaded.activation, loaded.thresholds) == ("sigmoid", (0.3, 0.6))
    clips = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(clips), model(clips))


def test_sigmoid_scores_each_label_for_itself() -> None:
    made = Classifier(taught(), tiny_classifier().clip, ("a", "b"), activation="sigmoid")
    logits = torch.tensor([[0.0, 2.0], [0.0, 4.0]])
    torch.testing.assert_close(made.scores(logits), torch.tensor([0.0, 3.0]).sigmoid())
    mean = replace(made, averaging="probability").scores(logits)
    torch.testing.assert_close(mean, logits.sigmoid().mean(0))


def test_thresholds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 thresholds for 2 labels"):
        Classifier(taught(), tiny_classifier().clip, ("a", "b"), thresholds=(0.5,))
    made = Classifier(taught(), tiny_classifier().clip, ("a", "b"), thresholds=(0.5, 0.25))
    path = weights.save(made, tmp_path / "own.safetensors")
    path.write_bytes(path.read_bytes().replace(b"[0.5,0.25]", b"[0.5,1.25]"))
    with pytest.raises(WeightsError, match="thresholds are not one from 0 to 1"):
        weights.load(path)

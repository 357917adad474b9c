"""Logits of the official code, from weights and inputs that anybody can make again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidattn.config import TimeSformerConfig
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import key_maps, safetensors_file

GOLDEN = json.loads((Path(__file__).parent / "golden" / "timesformer.json").read_text())
SHAPES = ["2x3x4x64x64", "1x3x6x64x64", "1x3x4x96x64", "1x3x4x96x96", "1x3x8x32x128"]
Fill = Callable[..., dict[str, np.ndarray]]


def tiny(attention: str) -> TimeSformerConfig:
    return TimeSformerConfig(
        attention, classes=10, frames=4, size=64, width=96, depth=3, heads=4, drop_path=0
    )


def official_state(config: TimeSformerConfig, fill: Fill) -> dict[str, Tensor]:
    """Known values under official names, as ours."""
    with torch.device("meta"):
        expected = TimeSformer(config).state_dict()
        empty = key_maps.from_ours(expected, "official", config)
    values = fill({name: tuple(value.shape) for name, value in empty.items()})
    state = {name: torch.from_numpy(value) for name, value in values.items()}
    return key_maps.to_ours(state, "official", expected)


def from_official(config: TimeSformerConfig, fill: Fill) -> Any:
    return safetensors_file.build_model(config, official_state(config, fill), "known values")


def known_clip(shape: str) -> Tensor:
    sizes = [int(n) for n in shape.split("x")]
    return torch.from_numpy(np.random.RandomState(0).standard_normal(sizes).astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@torch.no_grad()
def test_logits_match_the_official_code(attention: str, shape: str, known_values: Fill) -> None:
    logits = from_official(tiny(attention), known_values)(known_clip(shape))
    torch.testing.assert_close(logits, torch.tensor(GOLDEN[attention][shape]), rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_the_base_model_has_the_logits_of_the_official_code(known_values: Fill) -> None:
    golden = GOLDEN["base"]
    logits = from_official(TimeSformerConfig(), known_values)(known_clip(golden["input"]))[0]
    torch.testing.assert_close(logits[:8], torch.tensor(golden["first8"]), rtol=0, atol=1e-4)
    assert logits.argmax() == golden["argmax"]
    assert logits.sum().item() == pytest.approx(golden["sum"], abs=1e-2)
    assert logits.abs().sum().item() == pytest.approx(golden["abs_sum"], abs=1e-2)


@pytest.mark.parametrize("attention", ["divided", "joint"])
@torch.no_grad()
def test_logits_are_those_of_transformers(attention: str, known_values: Fill) -> None:
    transformers = pytest.importorskip("transformers")
    config = tiny(attention)
    theirs = transformers.TimesformerForVideoClassification(
        transformers.TimesformerConfig(
            image_size=64,
            patch_size=16,
            num_frames=4,
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=384,
            attention_type=f"{attention}_space_time",
            num_labels=10,
        )
    ).eval()
    ours = from_official(config, known_values)
    theirs.load_state_dict(key_maps.from_ours(ours.state_dict(), "hf", config))
    clip = known_clip("2x3x4x64x64")
    expected = theirs(clip.transpose(1, 2)).logits  # [B, T, C, H, W], and only T == num_frames
    torch.testing.assert_close(ours(clip), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", key_maps.LAYOUTS)
@pytest.mark.parametrize("attention", key_maps.ATTENTION_TYPES)
def test_foreign_layouts_change_nothing(attention: str, layout: str, known_values: Fill) -> None:
    config = tiny(attention)
    ours = official_state(config, known_values)
    back = key_maps.to_ours(key_maps.from_ours(ours, layout, config), layout, ours)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)

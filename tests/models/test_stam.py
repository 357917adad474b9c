import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidattn.config import StamConfig
from vidattn.errors import RecipeError, UsageError
from vidattn.models.stam import Stam
from vidattn.weights import key_maps

GOLDEN = json.loads((Path(__file__).parent / "golden" / "stam.json").read_text())
TINY = StamConfig(classes=10, frames=4, size=64, width=96, depth=3, heads=4, time_depth=2)
Fill = Callable[..., dict[str, np.ndarray]]


def from_official(config: StamConfig, fill: Fill) -> Stam:
    with torch.device("meta"):
        empty = key_maps.STAM.from_ours(Stam(config).state_dict())
    values = fill({name: tuple(value.shape) for name, value in empty.items()})
    state = {name: torch.from_numpy(value) for name, value in values.items()}
    return key_maps.build_stam(state, Path("known values"), config)


def known_clip(batch: int, frames: int, size: int) -> Tensor:
    """The official input is [B * T, 3, H, W]."""
    noise = np.random.RandomState(0).standard_normal((batch, frames, 3, size, size))
    return torch.from_numpy(noise.astype(np.float32)).transpose(1, 2)


@torch.no_grad()
def test_logits_match_the_official_code(known_values: Fill) -> None:
    logits = from_official(TINY, known_values)(known_clip(2, 4, 64))
    torch.testing.assert_close(logits, torch.tensor(GOLDEN["tiny"]), rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_the_paper_model_has_the_logits_of_the_official_code(known_values: Fill) -> None:
    golden = GOLDEN["full"]
    logits = from_official(StamConfig(), known_values)(known_clip(1, 16, 224))[0]
    torch.testing.assert_close(logits[:8], torch.tensor(golden["first8"]), rtol=0, atol=1e-4)
    assert logits.argmax() == golden["argmax"]
    assert logits.sum().item() == pytest.approx(golden["sum"], abs=1e-2)


@pytest.mark.parametrize(
    "frames, count", [(8, 119_199_376), (16, 119_205_520), (32, 119_217_808), (64, 119_242_384)]
)
def test_parameter_counts_are_those_of_the_released_models(frames: int, count: int) -> None:
    with torch.device("meta"):
        model = Stam(StamConfig(frames=frames))
    assert sum(p.numel() for p in model.parameters()) == count


@torch.no_grad()
def test_other_lengths_and_sizes_are_resized(known_values: Fill) -> None:
    model = from_official(TINY, known_values)
    assert model(known_clip(1, 6, 96)).shape == (1, 10)
    with pytest.raises(UsageError, match="do not divide"):
        model(known_clip(1, 4, 70))


@pytest.mark.parametrize("change", [{"size": 65}, {"heads": 5}, {"time_depth": 0}])
def test_an_impossible_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        StamConfig(**change)

"""Small seeded models and clips."""

from typing import Any

import torch
from torch import Tensor

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.classifier import Model, build_model

SMALL = {"classes": 5, "frames": 4, "size": 64, "width": 32, "depth": 2, "heads": 2}
"""The shape of small models, whose clips are [B, 3, 4, 64, 64]: 4 frames of 4 x 4 patches."""
STAM = StamConfig(**SMALL, time_depth=2, time_heads=4, time_hidden=48)


def small(attention: str = "divided", **changes: Any) -> TimeSformerConfig:
    return TimeSformerConfig(attention, **(SMALL | {"drop_path": 0.0} | changes))


def make(config: TimeSformerConfig | StamConfig) -> Model:
    """A seeded model without zeros, in eval mode."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def tiny(attention: str = "divided", **changes: Any) -> Any:
    return make(small(attention, **changes))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers, by default one clip."""
    return torch.randn(shape or (1, 3, 4, 64, 64), generator=torch.Generator().manual_seed(seed))

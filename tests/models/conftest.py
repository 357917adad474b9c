"""A small model of every kind, with nothing left at zero, in eval mode."""

import pytest
import torch
from torch import Tensor, nn

from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.stam import Stam
from vidattn.models.timesformer import ORDERS, SCHEMES, TimeSformer

SMALL = {"classes": 5, "frames": 4, "size": 64, "width": 32, "depth": 2, "heads": 2}


def timesformer(**change: object) -> TimeSformerConfig:
    return TimeSformerConfig(**(SMALL | {"drop_path": 0.0} | change))  # type: ignore[arg-type]


CONFIGS: dict[str, TimeSformerConfig | StamConfig] = {
    **{name: timesformer(attention=name) for name in SCHEMES},
    **{f"divided, {order}": timesformer(order=order) for order in ORDERS if order != "time-space"},
    **{f"positions: {which}": timesformer(positions=which) for which in ("none", "space")},
    "space, positions: none": timesformer(attention="space", positions="none"),
    "one block": timesformer(depth=1),
    "stam": StamConfig(**SMALL, time_depth=2, time_heads=4, time_hidden=48),
}
ALONE = {"space", "space, positions: none"}
"""Whose frames never meet."""


@pytest.fixture(params=CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config(name: str) -> TimeSformerConfig | StamConfig:
    return CONFIGS[name]


@pytest.fixture
def alone(name: str) -> bool:
    return name in ALONE


@pytest.fixture
def model(config: TimeSformerConfig | StamConfig) -> nn.Module:
    torch.manual_seed(0)
    model = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model.eval()


@pytest.fixture
def clips() -> Tensor:
    """[2, 3, 4, 64, 64]"""
    return torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))

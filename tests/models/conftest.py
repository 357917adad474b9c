"""A small model of every kind, without zeros, in eval mode."""

import pytest
from torch import Tensor, nn

from tests.models.builders import STAM, make, noise, small
from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.timesformer import ORDERS, SCHEMES

CONFIGS: dict[str, TimeSformerConfig | StamConfig] = {
    **{name: small(name) for name in SCHEMES},
    **{f"divided, {order}": small(order=order) for order in ORDERS if order != "time-space"},
    **{f"positions: {which}": small(positions=which) for which in ("none", "space")},
    "space, positions: none": small("space", positions="none"),
    "one block": small(depth=1),
    "stam": STAM,
}


@pytest.fixture(params=CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config(name: str) -> TimeSformerConfig | StamConfig:
    return CONFIGS[name]


@pytest.fixture
def independent_frames(name: str) -> bool:
    """Whether attention never joins frames."""
    return name in ("space", "space, positions: none")


@pytest.fixture
def model(config: TimeSformerConfig | StamConfig) -> nn.Module:
    return make(config)


@pytest.fixture
def clips() -> Tensor:
    """[2, 3, 4, 64, 64]"""
    return noise(2, 3, 4, 64, 64)

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer


@pytest.fixture
def tiny() -> Classifier:
    """A small random classifier of three classes, whose clips are [B, 3, 4, 32, 32]."""
    torch.manual_seed(0)
    config = TimeSformerConfig(
        classes=3, frames=4, size=32, patch=16, width=64, depth=2, heads=1, drop_path=0.1
    )
    return Classifier(
        TimeSformer(config).eval(),
        ClipConfig(frames=4, step_seconds=0.5, short_side=40, crop=32, mean=(0.1, 0.2, 0.3)),
        ("dive", "swim", "плавать"),
        "probability",
        ModelCard("tiny", "Apache-2.0", "a test", "nothing", "top-1 33.3", ("a note",)),
    )


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees, or fills, the cache of whoever runs it; none reaches a network."""
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

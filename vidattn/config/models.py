"""The shapes of models: frozen values that check themselves, stored in the header of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidattn.config.checks import MAX_COUNT, require_shape
from vidattn.errors import RecipeError


@dataclass(frozen=True)
class TimeSformerConfig:
    """The shape of a TimeSformer; the defaults are the paper's base model (arXiv:2102.05095)."""

    attention: str = "divided"
    """A name in `vidattn.models.timesformer.SCHEMES`."""
    classes: int = 400
    frames: int = 8
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Stochastic-depth rate of the last block; the first has 0 (official code)."""
    positions: Literal["none", "space", "space-time"] = "space-time"
    """Learned position embeddings (Table 4); attention "space" never has one of time."""
    order: Literal["time-space", "space-time", "parallel"] = "time-space"
    """Order of divided attention: one after the other, or both on the same tokens."""
    kind: Literal["timesformer"] = "timesformer"

    def __post_init__(self) -> None:
        counts = "classes frames size patch width depth heads mlp_ratio"
        require_shape("model", self, counts, ("size", "patch"), ("width", "heads"))
        if not 0 <= self.drop_path < 1:
            raise RecipeError(f"model.drop_path must lie in [0, 1), got {self.drop_path}")


@dataclass(frozen=True)
class StamConfig:
    """The shape of a STAM; the defaults are the paper's 16-frame model (arXiv:2103.13915)."""

    classes: int = 400
    frames: int = 16
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    time_depth: int = 6
    """Layers of the transformer over the frames."""
    time_heads: int = 8
    time_hidden: int = 2048
    kind: Literal["stam"] = "stam"

    def __post_init__(self) -> None:
        counts = " ".join(name for name in vars(self) if name != "kind")
        ratios = ("size", "patch"), ("width", "heads"), ("width", "time_heads")
        require_shape("model", self, counts, *ratios)


ModelConfig = TimeSformerConfig | StamConfig
"""The shape of a model; in JSON `kind` names which, a TimeSformer by default."""


@dataclass(frozen=True)
class TemporalConfig:
    """The shape of a head over the windows of a video, and the origin of its embeddings."""

    classes: int = 2
    vector: int = 768
    """Length of an embedding; set by the training videos."""
    windows: int = 64
    """Learned time positions from the first to the last window; others are interpolated."""
    width: int = 128
    depth: int = 2
    """Layers of the transformer; 0 is the mean of the windows, whatever their order."""
    heads: int = 4
    mlp_ratio: float = 2.0
    drop: float = 0.1
    """Share of the windows that training drops at random."""
    model: str = ""
    """The name of the model of the embeddings, and the sha256 of its file."""
    sha256: str = ""
    window_seconds: float = 0.0
    stride_seconds: float = 0.0

    def __post_init__(self) -> None:
        counts = "classes vector windows width heads mlp_ratio"
        require_shape("temporal_head", self, counts, ("width", "heads"))
        if not (0 <= self.depth <= MAX_COUNT and 0 <= self.drop < 1):
            raise RecipeError("temporal_head.depth must be 0 or more, temporal_head.drop in [0, 1)")

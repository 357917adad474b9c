"""Settings of models, clips and training runs."""

from vidattn.config.models import (
    BigLittleConfig,
    Conv2dConfig,
    Conv3dConfig,
    ModelConfig,
    StamConfig,
    TemporalConfig,
    TimeSformerConfig,
)
from vidattn.config.schema import (
    Averaging,
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    ViewConfig,
)

__all__ = [
    "Averaging",
    "BigLittleConfig",
    "ClipConfig",
    "Conv2dConfig",
    "Conv3dConfig",
    "DataConfig",
    "ModelConfig",
    "OptimConfig",
    "Recipe",
    "StamConfig",
    "TemporalConfig",
    "TimeSformerConfig",
    "ViewConfig",
]

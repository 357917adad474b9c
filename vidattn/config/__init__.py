"""Settings of models, clips and training runs."""

from vidattn.config.models import (
    BackboneStamConfig,
    BigLittleConfig,
    Conv2dConfig,
    Conv3dConfig,
    FlowConfig,
    HfConfig,
    Int8Calibration,
    ModelConfig,
    StamConfig,
    TaughtConfig,
    TemporalConfig,
    TimeSformerConfig,
)
from vidattn.config.schema import (
    Activation,
    Averaging,
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    ViewConfig,
)

__all__ = [
    "Activation",
    "Averaging",
    "BackboneStamConfig",
    "BigLittleConfig",
    "ClipConfig",
    "Conv2dConfig",
    "Conv3dConfig",
    "DataConfig",
    "FlowConfig",
    "HfConfig",
    "Int8Calibration",
    "ModelConfig",
    "OptimConfig",
    "Recipe",
    "StamConfig",
    "TaughtConfig",
    "TemporalConfig",
    "TimeSformerConfig",
    "ViewConfig",
]

"""What a model, a clip and a training run are made of."""

from vidattn.config.schema import (
    Averaging,
    ClipConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    StamConfig,
    TemporalConfig,
    TimeSformerConfig,
    ViewConfig,
)

__all__ = [
    "Averaging",
    "ClipConfig",
    "DataConfig",
    "ModelConfig",
    "OptimConfig",
    "Recipe",
    "StamConfig",
    "TemporalConfig",
    "TimeSformerConfig",
    "ViewConfig",
]

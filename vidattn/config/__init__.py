"""Settings of models, clips and training runs."""

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

"""Settings of models, clips and training runs."""

from vidattn.config.models import ModelConfig, StamConfig, TemporalConfig, TimeSformerConfig
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

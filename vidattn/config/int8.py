"""The calibration of a model for 8-bit integers, as a weights file holds it."""

from __future__ import annotations

from dataclasses import dataclass

from vidattn.errors import RecipeError

MAX_FLOAT = 3.4e38
"""No input of a layer is larger: float32 ends there."""


@dataclass(frozen=True)
class LayerRange:
    """The range of the inputs of a linear layer."""

    layer: str
    """The name of the layer in the model, such as "blocks.0.mlp.0"."""
    least: float
    most: float

    def __post_init__(self) -> None:
        if not -MAX_FLOAT <= self.least <= self.most <= MAX_FLOAT:  # nor NaN
            raise RecipeError(f"int8.ranges: {self.layer} has {self.least} to {self.most}")


@dataclass(frozen=True)
class Int8Calibration:
    """What clips of real videos have shown about a model in 8-bit integers."""

    digest: str
    """Of the classifier when it was calibrated, see `Classifier.digest`."""
    levels: int
    """Steps of a range on the processor that compared the scores with float32."""
    clips: int
    same_label: int
    """Clips with the same best label as in float32."""
    max_difference: float
    """The largest difference of a score."""
    ranges: tuple[LayerRange, ...] = ()
    """Of every layer in 8-bit integers; empty where each token keeps a range of its own."""

    def __post_init__(self) -> None:
        if not 0 <= self.same_label <= self.clips or not self.clips:
            raise RecipeError(f"int8: {self.same_label} same labels in {self.clips} clips")
        if not 0 < self.levels <= 255:
            raise RecipeError(f"int8.levels must be from 1 to 255, got {self.levels}")
        if not 0 <= self.max_difference <= 1:
            raise RecipeError(f"int8.max_difference must be from 0 to 1, got {self.max_difference}")
        if len({one.layer for one in self.ranges}) < len(self.ranges):
            raise RecipeError("int8.ranges: a layer has two")

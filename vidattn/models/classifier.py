"""A model together with all that is needed to use it rightly: clips, labels, averaging, origin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.config import (
    Averaging,
    ClipConfig,
    ModelConfig,
    StamConfig,
    TemporalConfig,
    TimeSformerConfig,
)
from vidattn.errors import VideoError
from vidattn.models.fused import fuse
from vidattn.models.stam import Stam
from vidattn.models.temporal_head import TemporalHead
from vidattn.models.timesformer import TimeSformer


@dataclass(frozen=True)
class Card:
    """Where a model comes from and what may be done with it."""

    name: str
    license: str = ""
    """An SPDX identifier, such as Apache-2.0 or CC-BY-NC-4.0; empty when unknown."""
    source: str = ""
    """The URL, hub id or recipe the weights come from."""
    training_data: str = ""
    expect: str = ""
    """Published scores with their views, such as "K400 top-1 77.69, top-5 93.45 (3x1)"."""
    notes: tuple[str, ...] = ()
    """What was assumed rather than read when the file was opened, one sentence each."""
    sha256: str = ""
    """Of the file the weights were read from; empty for a model that was never in a file."""


@dataclass
class Classifier:
    """A model and how to feed and read it.

    `model` takes clips float [B, 3, T, H, W], prepared as `clip` says, to logits [B, K], and
    `labels` names its K classes in order.
    """

    model: nn.Module
    clip: ClipConfig
    labels: tuple[str, ...]
    averaging: Averaging = "logit"
    card: Card = field(default_factory=lambda: Card("unnamed"))
    temperature: float = 1.0
    """What averaged logits are divided by before they become probabilities; fitted on labelled
    videos it makes them mean what they say (arXiv:1706.04599, Sec. 4.2). Never changes an order."""
    threshold: float | None = None
    """The score below which nothing happens, as far as that was found on annotated videos."""
    _fast: tuple[object, nn.Module] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        classes = getattr(getattr(self.model, "config", None), "classes", len(self.labels))
        if classes != len(self.labels):
            raise ValueError(f"the model has {classes} classes, but {len(self.labels)} labels")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"a temperature is > 0 and finite, got {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"a threshold lies in [0, 1], got {self.threshold}")

    def fast(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """What `model`, in eval mode, runs as where it is; see `vidattn.models.fused`.

        Made once, and again when the weights change (other than through `.data`, which hides it).
        """
        state = _Weights(self.model, dtype)
        if self._fast is None or self._fast[0] != state:
            self._fast = state, fuse(self.model, dtype)
        return self._fast[1]

    def averaged(self, logits: Tensor) -> Tensor:
        """Logits [..., K] of one clip seen in V views, from those of each view [..., V, K].

        Float32. Their mean, or the logarithm of the mean of their probabilities, as the authors of
        the weights did; not yet divided by the temperature.
        """
        logits = logits.float()
        if self.averaging == "logit":
            return logits.mean(-2)
        return logits.log_softmax(-1).logsumexp(-2) - math.log(logits.shape[-2])

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities [..., K] of one clip seen in V views, from their logits [..., V, K].

        Float32; averages as `averaged` does, then applies the temperature. Raises VideoError
        E_NONFINITE where finite logits are too large for that.
        """
        found = (self.averaged(logits) / self.temperature).softmax(-1)
        if not found.isfinite().all():
            raise VideoError("the model's scores are not finite", code="E_NONFINITE")
        return found


class _Weights:
    """The weights of a model at one moment: the same tensors in the same place, unchanged since,
    compare equal."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.tensors = tuple(model.parameters())
        places = {t.device for t in self.tensors}  # moving a model keeps its parameters' identity
        versions = (t._version for t in self.tensors if not t.is_inference())
        self.versions = (dtype, places, *versions)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Weights)
            and self.versions == other.versions
            and len(self.tensors) == len(other.tensors)
            and all(a is b for a, b in zip(self.tensors, other.tensors, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


Model = TimeSformer | Stam
"""What takes clips, and can be trained, saved and loaded."""

KINDS: dict[str, tuple[type, Callable[[Any], Model | TemporalHead]]] = {
    "timesformer": (TimeSformerConfig, TimeSformer),
    "stam": (StamConfig, Stam),
    "temporal": (TemporalConfig, TemporalHead),
}
"""What a weights file may hold: the kind's name, its config class, and how to build the model."""


def build_model(config: ModelConfig) -> Model:
    """A model of that shape with initial values."""
    model = KINDS[config.kind][1](config)
    assert not isinstance(model, TemporalHead)
    return model


def kind_of(model: nn.Module) -> str:
    """The name in KINDS of a model. Raises ValueError for a model of another family."""
    config = getattr(model, "config", None)
    for name, (config_class, _) in KINDS.items():
        if type(config) is config_class:
            return name
    raise ValueError(f"{type(model).__name__} is none of {', '.join(KINDS)}")

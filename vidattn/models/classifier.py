"""A model with everything needed to use it correctly: clips, labels, averaging, model card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.config import (
    Activation,
    Averaging,
    BackboneStamConfig,
    BigLittleConfig,
    ClipConfig,
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
from vidattn.errors import VideoError
from vidattn.io.files import sha256
from vidattn.models import biglittle, conv2d, conv3d
from vidattn.models.biglittle import BigLittle
from vidattn.models.conv2d import FrameResNet
from vidattn.models.conv3d import ResNet3d
from vidattn.models.flow import FlowHistogram
from vidattn.models.foreign import HfModel, build_hf_model
from vidattn.models.fused import fuse
from vidattn.models.stam import BackboneStam, Stam
from vidattn.models.taught import TaughtModel
from vidattn.models.temporal_head import TemporalHead
from vidattn.models.timesformer import TimeSformer

SAMPLED = 1024
"""Values of a tensor by which another one is told from it."""


@dataclass(frozen=True)
class ModelCard:
    """The origin, license and published scores of a model."""

    name: str
    license: str = ""
    """An SPDX identifier, such as Apache-2.0 or CC-BY-NC-4.0; empty when unknown."""
    source: str = ""
    """The URL, hub id or recipe the weights come from."""
    training_data: str = ""
    expect: str = ""
    """Published scores with their views, such as "K400 top-1 77.69, top-5 93.45 (3x1)"."""
    notes: tuple[str, ...] = ()
    """Assumptions made because the file says nothing, one sentence each."""
    sha256: str = ""
    """The digest of the weights file; empty for a model that was never in a file."""


@dataclass
class Classifier:
    """A model with its input format and its labels.

    `model` maps clips float [B, 3, T, H, W], prepared as `clip` says, to logits [B, K]; `labels`
    names its K classes in order. `segment` and all else that scores puts it into eval mode, on the
    device that was asked for, and leaves it so.
    """

    model: nn.Module
    clip: ClipConfig
    labels: tuple[str, ...]
    averaging: Averaging = "logit"
    card: ModelCard = field(default_factory=lambda: ModelCard("unnamed"))
    temperature: float = 1.0
    """Divisor of the averaged logits before the activation, fitted on labeled videos to calibrate
    the probabilities (arXiv:1706.04599, Sec. 4.2). Never changes the ranking."""
    threshold: float | None = None
    """Score below which a window is background; fitted on annotated videos."""
    activation: Activation = "softmax"
    thresholds: tuple[float, ...] = ()
    """The score from which each label holds, of a model of several labels at once; empty: 0.5."""
    active_examples: tuple[float, ...] = ()
    """How likely something happens in labeled videos in which it does, rising
    (`vidattn.inference.whole_video`); empty for a model without a class of blank videos."""
    int8: Int8Calibration | None = None
    """What was found about the model in 8-bit integers; see `int8_calibration`."""
    warnings: tuple[str, ...] = ()
    """What whoever reads a result must know first, such as that this model stands in for another
    one; part of every timeline, and of no weights file."""
    path: str = field(default="", compare=False)
    """Of the file or folder it was read from, for messages; empty for other models."""
    _fused: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        classes = getattr(getattr(self.model, "config", None), "classes", len(self.labels))
        if classes != len(self.labels):
            raise ValueError(f"the model has {classes} classes, but {len(self.labels)} labels")
        if not self.clip.step_seconds:
            raise ValueError("the clip has no step_seconds, which training sets")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be > 0 and finite, got {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {self.threshold}")
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.labels)} labels")

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which fuse the model anew: packed 8-bit weights have no bytes."""
        return {**self.__dict__, "_fused": {}}

    def fused_model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The fastest form of `model` in eval mode, see `vidattn.models.fused`.

        Cached until the weights change (changes through `.data` go unnoticed).
        """
        tensors = tuple(self.model.parameters())
        versions = [None if t.is_inference() else t._version for t in tensors]
        key = [(id(t), t.device) for t in tensors], versions
        if self._fused.get("key") != key:
            self._fused.clear()
            self._fused.update(key=key, tensors=tensors)  # which keeps their ids unique
        if dtype not in self._fused:
            self._fused[dtype] = fuse(self.model, dtype)
        model: nn.Module = self._fused[dtype]
        return model

    def digest(self) -> str:
        """64 digits for what the scores of a clip depend on: some values of every tensor, the form
        of clips, wherever the model looks, and how logits become scores."""
        clip = self.clip
        sizes = clip.frames, clip.step_seconds, clip.short_side, clip.crop
        colors = clip.channels, clip.mean, clip.std
        parts = [json.dumps([sizes, colors, self.temperature, self.activation])]
        for name, tensor in sorted(self.model.state_dict().items()):
            flat = tensor.detach().flatten()
            some = flat[:: max(1, len(flat) // SAMPLED)].cpu().double()
            parts.append(f"{name} {list(tensor.shape)} {sha256(some.numpy().tobytes())}")
        return sha256("\n".join(parts))

    def int8_calibration(self) -> Int8Calibration | None:
        """`int8`, unless the model has changed since, by training or a temperature."""
        return self.int8 if self.int8 and self.int8.digest == self.digest() else None

    def look_at(self, area: str | None = None, mask: str | None = None) -> Classifier:
        """The same model, looking at another area of the picture, and blind to other ones.

        area, mask: as of `ClipConfig`; None leaves them as they are. Raises RecipeError.
        """
        clip = replace(
            self.clip,
            area=self.clip.area if area is None else area,
            mask=self.clip.mask if mask is None else mask,
        )
        other = copy(self)
        other.clip, other._fused = clip, self._fused
        return other

    def average_views(self, logits: Tensor) -> Tensor:
        """Logits float32 [..., K] of a clip from those of its V views, [..., V, K].

        The mean, or the logarithm of the mean of the probabilities, as the authors of the weights
        did. The temperature is not applied.
        """
        return average_views(logits, self.averaging, self.activation)

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities float32 [..., K] of a clip from the logits of its V views, [..., V, K].

        Averages like `average_views`, then applies the temperature. Raises VideoError E_NONFINITE
        where finite logits overflow.
        """
        cooled = self.average_views(logits) / self.temperature
        scores = cooled.sigmoid() if self.activation == "sigmoid" else cooled.softmax(-1)
        if not scores.isfinite().all():
            raise VideoError("the model's scores are not finite", code="E_NONFINITE")
        return scores


def average_views(
    logits: Tensor, averaging: Averaging, activation: Activation = "softmax"
) -> Tensor:
    """See `Classifier.average_views`."""
    logits = logits.float()
    if averaging == "logit":
        return logits.mean(-2)
    if activation == "sigmoid":
        return logits.sigmoid().mean(-2).logit(eps=1e-6)
    return logits.log_softmax(-1).logsumexp(-2) - math.log(logits.shape[-2])


Model = TimeSformer | Stam | BackboneStam | ResNet3d | FrameResNet | BigLittle
"""A model of clips that can be trained, saved and loaded."""


def build_taught(config: TaughtConfig) -> TaughtModel:
    """A new model of that shape with initial values."""
    return TaughtModel(config, KINDS[config.backbone.kind][1](config.backbone))


Kind = Model | FlowHistogram | HfModel | TemporalHead | TaughtModel
KINDS: dict[str, tuple[type, Callable[[Any], Kind]]] = {
    "timesformer": (TimeSformerConfig, TimeSformer),
    "stam": (StamConfig, Stam),
    "backbone-stam": (BackboneStamConfig, BackboneStam),
    "conv3d": (Conv3dConfig, ResNet3d),
    "conv2d": (Conv2dConfig, FrameResNet),
    "biglittle": (BigLittleConfig, BigLittle),
    "flow": (FlowConfig, FlowHistogram),
    "temporal": (TemporalConfig, TemporalHead),
    "taught": (TaughtConfig, build_taught),
    "hf": (HfConfig, build_hf_model),
}
"""The kinds of model in weights files: name, config class, and constructor."""

VARIANTS: dict[str, ModelConfig] = {
    **conv3d.VARIANTS,
    **conv2d.VARIANTS,
    **biglittle.VARIANTS,
}
"""Shapes of convolutional networks that have a name."""


def build_model(config: ModelConfig) -> Model:
    """A new model of that shape with initial values."""
    model = KINDS[config.kind][1](config)
    assert isinstance(model, Model)
    return model


def find_kind(config: object) -> str:
    """The name in KINDS of the config of a model. Raises ValueError for anything else."""
    for name, (config_class, _) in KINDS.items():
        if type(config) is config_class:
            return name
    raise ValueError(f"{type(config).__name__} is none of {', '.join(KINDS)}")

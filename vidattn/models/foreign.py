"""Models of clips that others compute: networks of transformers, graphs for other runtimes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidattn.config import HfConfig
from vidattn.errors import RecipeError, UsageError, WeightsError
from vidattn.io.text import first_line

BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError)
"""The errors of transformers, depending on what is wrong in the settings of a network."""


class HfModel(nn.Module):
    """A network for video classification that transformers has built: clips to logits."""

    def __init__(self, network: nn.Module, config: HfConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    @property
    def head(self) -> nn.Module:
        """From pooled features [B, D] to logits [B, K]; no linear layer in every network."""
        head = self.network.classifier
        assert isinstance(head, nn.Module)
        return head

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns logits [B, K]. Raises UsageError for another T."""
        config, frames = self.config, clips.shape[2]
        if frames != config.frames and not config.any_length:
            raise UsageError(
                f"a {config.network} of transformers takes clips of {config.frames} frames, "
                f"not of {frames}",
                hint="leave --frames out",
            )
        logits: Tensor = self.network(clips.transpose(1, 2).contiguous()).logits
        return logits

    def embeddings(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns the pooled features of which the head makes logits,
        [B, D]."""
        found: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            self(clips)
        finally:
            hook.remove()
        return found[0]


def load_transformers() -> Any:
    """The package. Raises WeightsError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        hint = "pip install 'vidattn[hf]'"
        raise WeightsError("needs the package transformers", hint=hint) from error
    return transformers


def build_hf_model(config: HfConfig) -> HfModel:
    """A network of transformers of random values. Raises RecipeError for settings of none."""
    transformers = load_transformers()
    try:
        settings = transformers.AutoConfig.for_model(
            config.network, **json.loads(config.settings) | {"num_labels": config.classes}
        )
        auto = transformers.AutoModelForVideoClassification
        network = auto.from_config(settings, trust_remote_code=False)
    except BROKEN as error:
        raise RecipeError(
            f"no network of transformers: {first_line(error)}",
            hint="another version of transformers may know it",
        ) from error
    return HfModel(network, config)


class ExportedModel(nn.Module):
    """A graph that another runtime runs: clips to logits. It has no parameters."""

    def __init__(
        self, run: Callable[[np.ndarray], np.ndarray], config: Any, frames: int | None
    ) -> None:
        """run: from clips float32 [B, 3, T, H, W] to logits [B, K]. config: the shape of the model
        that was exported. frames: the only length of clips that the graph takes; None: any."""
        super().__init__()
        self.run, self.config, self.frames = run, config, frames

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]. Returns logits [B, K]. Raises UsageError for another T."""
        count = clips.shape[2]
        if self.frames not in (None, count):
            raise UsageError(
                f"the graph takes clips of {self.frames} frames, not of {count}",
                hint="leave --frames out, or export the model with --dynamic-frames",
            )
        logits = self.run(clips.detach().float().cpu().contiguous().numpy())
        return torch.from_numpy(logits).to(clips.device)

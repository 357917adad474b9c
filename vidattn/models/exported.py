"""A model that another runtime computes, as a model of clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidattn.errors import UsageError


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

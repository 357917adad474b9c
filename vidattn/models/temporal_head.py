"""A head over the windows of a film: their vectors in, one label for all of it out.

As STAM (arXiv:2103.13915, Sec. 3) puts a small transformer over what an image model saw of each
frame, this puts one over what a video model saw of each window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.config import TemporalConfig
from vidattn.errors import UsageError


class TemporalHead(nn.Module):
    """Vectors of windows [B, N, D] to logits [B, K]; rows of NaN are no windows.

    Any number of windows: their places between the first and the last of the film are what is
    learned. Of depth 0 it takes the mean of the windows, whatever their order.
    """

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.norm = nn.LayerNorm(config.vector)
        self.enter = nn.Linear(config.vector, width)
        if config.depth:
            self.cls = nn.Parameter(torch.zeros(width))
            self.time = nn.Parameter(torch.zeros(config.windows, width))
            hidden = int(width * config.mlp_ratio)
            layer = nn.TransformerEncoderLayer(
                width, config.heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.over_time = nn.TransformerEncoder(
                layer, config.depth, nn.LayerNorm(width), enable_nested_tensor=False
            )
            nn.init.trunc_normal_(self.cls, std=0.02)
            nn.init.trunc_normal_(self.time, std=0.02)
        self.head = nn.Linear(width, config.classes)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: float32 [B, N, D]. Returns logits [B, K]. Raises UsageError for another D."""
        if vectors.shape[-1] != self.config.vector:
            raise UsageError(
                f"vectors of {vectors.shape[-1]} numbers for a head that takes {self.config.vector}"
            )
        there = vectors.isfinite().all(-1)
        x = self.enter(self.norm(vectors.masked_fill(~there[..., None], 0.0)))
        if not self.config.depth:
            x = x.masked_fill(~there[..., None], 0.0).sum(1) / there.sum(1).clamp(min=1)[:, None]
            return self._named(x)
        cls = self.cls.expand(len(x), 1, -1)
        x = torch.cat([cls, x + self._places(there)], dim=1)
        absent = torch.cat([torch.zeros_like(there[:, :1]), ~there], dim=1)
        return self._named(self.over_time(x, src_key_padding_mask=absent)[:, 0])

    def _named(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x)
        return logits

    def _places(self, there: Tensor) -> Tensor:
        """What tells windows [B, N] their places, [B, N, width], linear between learned ones."""
        number = torch.arange(there.shape[1], device=there.device)
        last = (there * number).amax(1, keepdim=True).clamp(min=1)
        at = (number / last).clamp(max=1) * (len(self.time) - 1)
        low = at.floor().long().clamp(max=max(len(self.time) - 2, 0))
        high = (low + 1).clamp(max=len(self.time) - 1)
        return torch.lerp(self.time[low], self.time[high], (at - low)[..., None])

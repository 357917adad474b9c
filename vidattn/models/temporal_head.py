"""A head over the windows of a video: their embeddings in, one label for the whole video out.

STAM (arXiv:2103.13915, Sec. 3) puts a small transformer over the frame embeddings of an image
model; this head puts one over the window embeddings of a video model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidattn.config import TemporalConfig
from vidattn.errors import UsageError


class TemporalHead(nn.Module):
    """Embeddings of windows [B, N, D] to logits [B, K]; rows of NaN are padding.

    N is free: learned positions are interpolated between the first and the last window. Depth 0
    averages the windows, in whatever order.
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

    def forward(self, embeddings: Tensor) -> Tensor:
        """embeddings: float32 [B, N, D]. Returns logits [B, K]. Raises UsageError for another D."""
        size, expected = embeddings.shape[-1], self.config.vector
        if size != expected:
            raise UsageError(f"embeddings of size {size} for a head that takes {expected}")
        present = embeddings.isfinite().all(-1)
        x = self.enter(self.norm(embeddings.masked_fill(~present[..., None], 0.0)))
        if self.config.depth:
            x = torch.cat([self.cls.expand(x.shape[0], 1, -1), x + self._positions(present)], dim=1)
            padding = torch.cat([torch.zeros_like(present[:, :1]), ~present], dim=1)
            pooled = self.over_time(x, src_key_padding_mask=padding)[:, 0]
        else:
            total = x.masked_fill(~present[..., None], 0.0).sum(1)
            pooled = total / present.sum(1).clamp(min=1)[:, None]
        logits: Tensor = self.head(pooled)
        return logits

    def _positions(self, present: Tensor) -> Tensor:
        """Position embeddings [B, N, width] of windows [B, N], interpolated linearly."""
        number = torch.arange(present.shape[1], device=present.device)
        last = (present * number).amax(1, keepdim=True).clamp(min=1)
        at = (number / last).clamp(max=1) * (len(self.time) - 1)
        low = at.floor().long().clamp(max=max(len(self.time) - 2, 0))
        high = (low + 1).clamp(max=len(self.time) - 1)
        return torch.lerp(self.time[low], self.time[high], (at - low)[..., None])

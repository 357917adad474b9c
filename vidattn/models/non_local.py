"""Non-local blocks (arXiv:1711.07971): every place of a clip looks at every other."""

from __future__ import annotations

from collections.abc import Callable

from einops import rearrange
from torch import Tensor, nn

from vidattn.models.batch_norm import BatchNorm

Affinity = Callable[[Tensor, int], Tensor]
"""Similarities [B, P, Q] of places, and the length of what was compared, to weights [B, P, Q]."""
AFFINITIES: dict[str, Affinity] = {
    "softmax": lambda similar, width: (similar * width**-0.5).softmax(-1),
    "unscaled": lambda similar, width: similar.softmax(-1),
    "dot": lambda similar, width: similar / similar.shape[-1],
}


class NonLocal(nn.Module):
    """Adds to every place what all places hold, weighted by similarity; halves of the image's sides
    are pooled for those looked at."""

    def __init__(self, width: int, affinity: str = "softmax", *, pool_first: bool = True) -> None:
        super().__init__()
        inner = width // 2
        self.affinity = AFFINITIES[affinity]
        self.pool_first = pool_first
        """Whether the pool comes before the convolutions (PySlowFast) or behind them (TSM)."""
        self.query, self.key, self.value = (nn.Conv3d(width, inner, 1) for _ in range(3))
        self.out = nn.Conv3d(inner, width, 1)
        self.norm = BatchNorm(width)
        self.pool = nn.MaxPool3d((1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, T, H, W]; same shape."""
        if self.pool_first:
            pooled = self.pool(x)
            key, value = self.key(pooled), self.value(pooled)
        else:
            key, value = self.pool(self.key(x)), self.pool(self.value(x))
        query = rearrange(self.query(x), "b c t h w -> b (t h w) c")
        similar = query @ rearrange(key, "b c t h w -> b c (t h w)")
        weights = self.affinity(similar, query.shape[-1])
        y = weights @ rearrange(value, "b c t h w -> b (t h w) c")
        y = rearrange(y, "b (t h w) c -> b c t h w", t=x.shape[2], h=x.shape[3])
        out: Tensor = x + self.norm(self.out(y.to(x.dtype)))
        return out

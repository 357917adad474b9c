"""What models of several families share: their form, dropout, batch norm, non-local blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class BlockModel(nn.Module):
    """A model whose blocks may keep no activations for the backward pass."""

    activation_checkpointing = False
    """Whether the backward pass recomputes every block instead of storing its activations."""

    def run_block(self, block: nn.Module, *given: Any) -> Any:
        """The output of a block."""
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *given, use_reentrant=False)
        return block(*given)


class ClipModel(BlockModel, ABC):
    """A model whose logits are `head` of `embeddings` of the tokens from `encode_frames`.

    Overlapping clips share the work of `encode_frames` (`vidattn.models.flops.count_frame_macs`):
    for STAM all but the small transformer over time, for attention "space" everything, otherwise
    the patch embedding alone, because the first attention step already mixes frames.
    """

    head: Any
    """A module, from embeddings to logits."""

    @abstractmethod
    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], of any videos. Returns tokens [N, ...], a row per frame."""

    @abstractmethod
    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns the input of the head,
        [B, D]."""

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns logits [B, K]."""
        logits: Tensor = self.head(self.embeddings(tokens))
        return logits

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W], H and W as the model takes. Returns logits [B, K]."""
        tokens = self.encode_frames(rearrange(clips, "b c t h w -> (b t) c h w"))
        return self.classify_frames(rearrange(tokens, "(b t) ... -> b t ...", b=clips.shape[0]))


class RngDropout(nn.Module):
    """Drops a fraction `rate` of all numbers in training, scales up the rest (arXiv:1207.0580).

    A batch may be split over time or over processes: draws are for the whole batch, of which each
    part uses its own share, so that splitting changes nothing.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.batch_slice: tuple[range, int] | None = None
        """The samples in the input, and the number of samples in the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity in eval mode or at rate 0."""
        if not self.training or self.rate == 0:
            return x
        samples, total = self.batch_slice or (range(1), 1)
        rows = x.shape[0] // len(samples)
        draws = torch.rand(total * rows, *self.mask_shape(x), device=x.device)
        mask = draws[samples.start * rows : samples.stop * rows] >= self.rate
        return x * mask.to(x.dtype) / (1 - self.rate)

    def mask_shape(self, x: Tensor) -> torch.Size | list[int]:
        """The shape of the mask of one row: one draw per number."""
        return x.shape[1:]


class DropPath(RngDropout):
    """Stochastic depth: drops whole rows (axis 0).

    A row is one unit of attention: a tube, a frame, or a video (official code).
    """

    def mask_shape(self, x: Tensor) -> torch.Size | list[int]:
        """One draw per row."""
        return [1] * (x.ndim - 1)


EPSILON, MOMENTUM = 1e-5, 0.1


class BatchNorm(nn.Module):
    """PyTorch's batch norm (arXiv:1502.03167) without its count of batches, for any number of axes.

    In training, parts of a batch that are computed apart, such as those of processes, are
    normalized by statistics of their own.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, ...]; same shape."""
        statistics = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(
            x, *statistics, self.weight, self.bias, self.training, MOMENTUM, EPSILON
        )


Affinity = Callable[[Tensor, int], Tensor]
"""Similarities [B, P, Q] of places, and the length of what was compared, to weights [B, P, Q]."""
AFFINITIES: dict[str, Affinity] = {
    "softmax": lambda similar, width: (similar * width**-0.5).softmax(-1),
    "unscaled": lambda similar, width: similar.softmax(-1),
    "dot": lambda similar, width: similar / similar.shape[-1],
}


class NonLocal(nn.Module):
    """Adds to every place of a clip what all places hold, weighted by similarity
    (arXiv:1711.07971); halves of the image's sides are pooled for those looked at."""

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

"""What models of several families have in common, as far as others rely on it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from einops import rearrange
from torch import Tensor, nn


@runtime_checkable
class FrameWise(Protocol):
    """A model whose forward pass is `from_frames` of the tokens that `per_frame` gives.

    How much of the work that shares is `vidattn.models.flops.count_frame_macs`: all but the small
    transformer over time for STAM, all for a TimeSformer with attention "space", the patch
    embedding alone for every other one, whose first attention step already mixes frames.
    """

    def per_frame(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], of any videos. Returns tokens [N, ...], a row per frame."""

    def from_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...], rows of `per_frame` in the order of time. Returns logits [B, K]."""


@runtime_checkable
class PatchWise(Protocol):
    """A model that knows, up to its last block, which patch of which frame a token stands for."""

    norm: nn.LayerNorm
    head: nn.Linear

    def features(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """clips: [B, 3, T, H, W]. Returns the tokens after the last block, before the final norm:
        that of the class [B, D] and those of the patches [B, T, h, w, D]."""


@runtime_checkable
class EmbeddingModel(FrameWise, Protocol):
    """One whose `from_frames` is `head` of the vectors that `vectors` gives."""

    @property
    def head(self) -> nn.Linear:
        """From vectors [B, D] to logits [B, K]."""

    def vectors(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] as of `from_frames`. Returns [B, D]."""


def from_clips(model: FrameWise, clips: Tensor) -> Tensor:
    """Clips [B, 3, T, H, W] to logits [B, K], nothing shared."""
    tokens = model.per_frame(rearrange(clips, "b c t h w -> (b t) c h w"))
    return model.from_frames(rearrange(tokens, "(b t) ... -> b t ...", b=clips.shape[0]))

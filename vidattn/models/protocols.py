"""The protocols that models of several families share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from einops import rearrange
from torch import Tensor, nn


@runtime_checkable
class FramewiseModel(Protocol):
    """A model whose forward pass is `classify_frames` of the tokens from `encode_frames`.

    Overlapping clips share the work of `encode_frames` (`vidattn.models.flops.count_frame_macs`):
    for STAM all but the small transformer over time, for attention "space" everything, otherwise
    the patch embedding alone, because the first attention step already mixes frames.
    """

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], of any videos. Returns tokens [N, ...], a row per frame."""

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns logits [B, K]."""


@runtime_checkable
class PatchwiseModel(Protocol):
    """A model whose tokens stand for one patch of one frame each, up to its last block."""

    if TYPE_CHECKING:  # from Python 3.12 on, isinstance does not see the submodules of a module
        norm: nn.LayerNorm
        head: nn.Linear

    def features(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """clips: [B, 3, T, H, W]. Returns the tokens after the last block, before the final norm:
        class token [B, D] and patches [B, T, h, w, D]."""


@runtime_checkable
class EmbeddingModel(FramewiseModel, Protocol):
    """A framewise model whose logits are `head` of its `embeddings`."""

    if TYPE_CHECKING:

        @property
        def head(self) -> nn.Linear:
            """From embeddings [B, D] to logits [B, K]."""

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] as for `classify_frames`. Returns [B, D]."""


class ClipModel(nn.Module, ABC):
    """A framewise model; the logits are `head` of its `embeddings`, unless it says otherwise."""

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

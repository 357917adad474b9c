"""STAM (arXiv:2103.13915): an image transformer on every frame, then a small one over the frames.

Facts that the paper leaves open follow the official code: LayerNorm with eps 1e-5, no attention
between frames below the top, and a temporal part that is post-norm with ReLU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidattn.config import StamConfig
from vidattn.errors import UsageError
from vidattn.models.dropout import Dropout
from vidattn.models.protocols import from_clips
from vidattn.models.timesformer import SelfAttention, in_chunks, resize_space, resize_time

DROPOUT = 0.1  # of the transformer over the frames, official code


class FrameBlock(nn.Module):
    """A block of the image transformer: pre-norm attention, then pre-norm MLP."""

    def __init__(self, config: StamConfig) -> None:
        super().__init__()
        hidden = int(config.width * config.mlp_ratio)
        self.attn_norm = nn.LayerNorm(config.width)
        self.attn = SelfAttention(config.width, config.heads)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: [B * T, 1 + N, D], the class token of each frame first; same shape."""
        x = x + self.attn(self.attn_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class TimeLayer(nn.TransformerEncoderLayer):
    """A layer of the transformer over the frames: post-norm, ReLU, dropout 0.1 (official code).

    In eval mode it is PyTorch's own; in training its dropout is that of the whole batch.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__(width, heads, hidden, dropout=0.0, batch_first=True)
        # Of the hidden numbers, and of what attention and the MLP add.
        for name in ("dropout", "dropout1", "dropout2"):
            setattr(self, name, Dropout(DROPOUT))
        self.attn_drop = Dropout(DROPOUT)

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        """x: [B, N, D]; every token sees every other, there are no masks. Same shape."""
        own = self.self_attn
        q, k, v = rearrange(
            F.linear(x, own.in_proj_weight, own.in_proj_bias),
            "b n (three k d) -> three b k n d",
            three=3,
            k=own.num_heads,
        )
        seen = self.attn_drop((q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1))
        y = own.out_proj(rearrange(seen @ v, "b k n d -> b n (k d)"))
        out: Tensor = self.dropout1(y)
        return out


class Stam(nn.Module):
    """Clips [B, 3, T, H, W] to logits [B, K]. T, H and W may differ from the config's."""

    def __init__(self, config: StamConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpoint = False
        """Whether gradients compute every block again instead of keeping what it made."""
        width, side = config.width, config.size // config.patch
        self.patch = nn.Conv2d(3, width, config.patch, config.patch)
        self.cls = nn.Parameter(torch.zeros(width))
        self.cls_pos = nn.Parameter(torch.zeros(width))
        self.pos = nn.Parameter(torch.zeros(side, side, width))
        self.blocks = nn.ModuleList(FrameBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.time_cls = nn.Parameter(torch.zeros(width))
        self.time_cls_pos = nn.Parameter(torch.zeros(width))
        self.time = nn.Parameter(torch.zeros(config.frames, width))
        self.over_time = nn.TransformerEncoder(
            TimeLayer(width, config.time_heads, config.time_hidden),
            config.time_depth,
            nn.LayerNorm(width),
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(width, config.classes)
        init_weights(self)

    def layers(self) -> list[nn.Module]:
        """The parts that are computed one after the other, as large as they come."""
        return [*self.blocks, *self.over_time.layers]

    def before(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What the first block sees of frames [N, 3, H, W]: class tokens [N, D] and patches
        [N, h, w, D], placed."""
        height, width = frames.shape[2:]
        if height % self.config.patch or width % self.config.patch:
            raise UsageError(
                f"{width}x{height} pixels do not divide into the model's patches of "
                f"{self.config.patch}x{self.config.patch}"
            )
        x = rearrange(self.patch(frames), "n d h w -> n h w d")
        cls = repeat(self.cls + self.cls_pos, "d -> n d", n=x.shape[0])
        return cls, x + resize_space(self.pos, *x.shape[1:3])

    def per_frame(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], H and W multiples of the patch. Returns vectors [N, D]."""
        cls, x = self.before(frames)
        x = torch.cat([cls[:, None], rearrange(x, "n h w d -> n (h w) d")], dim=1)
        again = self.checkpoint and torch.is_grad_enabled()
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if again else in_chunks(block, x)
        vectors: Tensor = self.norm(x[:, 0])
        return vectors

    def before_time(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What the transformer over the frames sees: a class token [B, D] and vectors [B, T, D]."""
        cls = repeat(self.time_cls + self.time_cls_pos, "d -> b d", b=tokens.shape[0])
        return cls, tokens + resize_time(self.time, tokens.shape[1])

    def vectors(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, D] of `per_frame`, in the order of time. Returns what the head sees of
        each clip, [B, D]."""
        cls, x = self.before_time(tokens)
        x = self.over_time(torch.cat([cls[:, None], x], dim=1))
        first: Tensor = x[:, 0]
        return first

    def from_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, D] of `per_frame`, in the order of time. Returns logits [B, K]."""
        logits: Tensor = self.head(self.vectors(tokens))
        return logits

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W], H and W multiples of the patch. Returns logits [B, K]."""
        return from_clips(self, clips)


def init_weights(model: Stam) -> None:
    """Linear weights and embeddings: normal, folded at two deviations, std .02; biases zero.

    Source: official code. The patch convolution keeps PyTorch's own initial values.
    """
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    weights += [m.in_proj_weight for m in model.modules() if isinstance(m, nn.MultiheadAttention)]
    weights += [model.cls, model.cls_pos, model.pos, model.time_cls, model.time_cls_pos, model.time]
    for weight in weights:
        weight.data.normal_().fmod_(2).mul_(0.02)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

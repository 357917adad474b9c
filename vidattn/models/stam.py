"""STAM (arXiv:2103.13915): an image transformer on every frame, then a small one over the frames.

Details that the paper leaves open follow the official code: LayerNorm with eps 1e-5, attention
within frames only below the top, and a post-norm transformer over time with ReLU.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vidattn.config import BackboneStamConfig, StamConfig
from vidattn.errors import RecipeError
from vidattn.models.layers import ClipModel, RngDropout
from vidattn.models.timesformer import (
    SelfAttention,
    apply_in_chunks,
    require_whole_patches,
    resize_space,
    resize_time,
)

DROPOUT = 0.1  # of the transformer over time, official code


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
    """A layer of the transformer over time: post-norm, ReLU, dropout 0.1 (official code).

    PyTorch's own in eval mode; in training, dropout draws for the whole batch, see `RngDropout`.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__(width, heads, hidden, dropout=0.0, batch_first=True)
        # Of the hidden activations, and of the outputs of attention and MLP.
        for name in ("dropout", "dropout1", "dropout2"):
            setattr(self, name, RngDropout(DROPOUT))
        self.attn_drop = RngDropout(DROPOUT)

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        """x: [B, N, D]; every token sees every other, without masks. Same shape."""
        own = self.self_attn
        qkv = F.linear(x, own.in_proj_weight, own.in_proj_bias)
        q, k, v = rearrange(qkv, "b n (three k d) -> three b k n d", three=3, k=own.num_heads)
        weights = self.attn_drop((q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1))
        y = own.out_proj(rearrange(weights @ v, "b k n d -> b n (k d)"))
        out: Tensor = self.dropout1(y)
        return out


class OverTime(ClipModel):
    """A transformer over tokens of frames, [B, T, D], from the image model of a subclass, which
    calls `add_time` behind its own parts."""

    time_cls: nn.Parameter
    time_cls_pos: nn.Parameter
    time: nn.Parameter
    over_time: nn.TransformerEncoder
    head: nn.Linear

    def add_time(self, config: StamConfig | BackboneStamConfig, width: int) -> None:
        """Add class token, times, layers and head. width: D."""
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

    def add_class_token(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens: [B, T, D]. Returns the input of the transformer over time: class token [B, D] and
        tokens with times."""
        cls = repeat(self.time_cls + self.time_cls_pos, "d -> b d", b=tokens.shape[0])
        return cls, tokens + resize_time(self.time, tokens.shape[1])

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, D] from `encode_frames`, in time order. Returns the input of the head,
        [B, D]."""
        cls, x = self.add_class_token(tokens)
        y: Tensor = self.over_time(torch.cat([cls[:, None], x], dim=1))
        return y[:, 0]


class Stam(OverTime):
    """Clips [B, 3, T, H, W] to logits [B, K]. T, H and W may differ from the config's."""

    def __init__(self, config: StamConfig) -> None:
        super().__init__()
        self.config = config
        width, side = config.width, config.size // config.patch
        self.patch = nn.Conv2d(3, width, config.patch, config.patch)
        self.cls = nn.Parameter(torch.zeros(width))
        self.cls_pos = nn.Parameter(torch.zeros(width))
        self.pos = nn.Parameter(torch.zeros(side, side, width))
        self.blocks = nn.ModuleList(FrameBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.add_time(config, width)
        init_weights(self, (self.cls, self.cls_pos, self.pos))

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [*self.blocks, *self.over_time.layers]

    def embed_patches(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """frames: [N, 3, H, W]. Returns the input of the first block: class tokens [N, D] and
        patches [N, h, w, D], with positions."""
        require_whole_patches(frames, self.config.patch)
        x = rearrange(self.patch(frames), "n d h w -> n h w d")
        cls = repeat(self.cls + self.cls_pos, "d -> n d", n=x.shape[0])
        return cls, x + resize_space(self.pos, *x.shape[1:3])

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], H and W multiples of the patch. Returns tokens [N, D]."""
        cls, x = self.embed_patches(frames)
        x = torch.cat([cls[:, None], rearrange(x, "n h w d -> n (h w) d")], dim=1)
        for block in self.blocks:
            x = apply_in_chunks(partial(self.run_block, block), x)
        tokens: Tensor = self.norm(x[:, 0])
        return tokens


def init_weights(
    model: OverTime, embeddings: Iterable[Tensor] = (), skip: nn.Module | None = None
) -> None:
    """Linear weights and embeddings: normal, std .02, wrapped at two deviations; biases: zero.

    embeddings: those below the transformer over time. skip: a part that keeps its values, as the
    patch convolution does. Source: official code.
    """
    kept = set(skip.modules()) if skip else set()
    modules = [module for module in model.modules() if module not in kept]
    weights = [m.weight for m in modules if isinstance(m, nn.Linear)]
    weights += [m.in_proj_weight for m in modules if isinstance(m, nn.MultiheadAttention)]
    weights += [*embeddings, model.time_cls, model.time_cls_pos, model.time]
    for weight in weights:
        weight.data.normal_().fmod_(2).mul_(0.02)
    for module in modules:
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class BackboneStam(OverTime):
    """Clips [B, 3, T, H, W] to logits [B, K]. T may differ from the config's.

    Overlapping windows share the backbone's work on their frames, by far most of it. A backbone
    keeps its activations.
    """

    def __init__(self, config: BackboneStamConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, config.size)
        width = count_features(self.backbone)
        if width % config.time_heads:
            raise RecipeError(
                f"model.time_heads {config.time_heads} does not divide the {width} features of "
                f"{config.backbone}"
            )
        self.add_time(config, width)
        init_weights(self, skip=self.backbone)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return [self.backbone, *self.over_time.layers]

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W]. Returns the pooled features of the backbone, [N, D]."""
        features: Tensor = self.backbone(frames)
        return features


def build_backbone(name: str, size: int) -> nn.Module:
    """An image model of timm without its head, of random values: images to features [N, D].

    size: of the images, for models of one size alone. Raises RecipeError for a name that timm does
    not have; names of places, such as hf-hub:..., are none.
    """
    import timm

    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name}*")[:3])
        raise RecipeError(
            f"model.backbone {name!r}: timm has no architecture of that name",
            hint=f"timm has {close}" if close else "timm.list_models() shows them",
        )
    known = timm.get_pretrained_cfg(name)
    options: Any = {"img_size": size} if known and known.fixed_input_size else {}
    backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    return backbone


def count_features(backbone: nn.Module) -> int:
    """The length D of the features of an image model of timm."""
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    assert isinstance(width, int)
    return width

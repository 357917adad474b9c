"""TimeSformer (arXiv:2102.05095), from top to bottom: schemes, attention, block, model.

Tokens are two tensors: patches [B, T, H, W, D] on their grid, and the class token [B, D]. A scheme
is a row of a table: for each attention step of a block, the tokens that meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from vidattn.config import TimeSformerConfig
from vidattn.errors import RecipeError, UsageError
from vidattn.models.layers import ClipModel, DropPath

EPS = 1e-6  # of every LayerNorm; official code, vit.py
CHUNK_TOKENS = 2**15
"""Tokens per call of attention or an MLP without gradients. At width 768 their widest layer takes
400 MB; 96 frames of 224 pixels (18,817 tokens) are still one chunk."""
CPU_CHUNK = 2**21
"""Numbers per such call on a CPU, which takes longer for more than its caches hold: at width 768
2,730 tokens; 96 frames in int8 take 0.43 of the time of one chunk, in float32 0.83, bf16 0.91."""


@dataclass(frozen=True)
class StepSpec:
    """One attention step of a block: which tokens meet."""

    name: str
    groups: str
    """An einops pattern of three axes: rows, the tokens that meet in a row, width."""
    cls: bool
    """Whether the class token joins each row; its copies are averaged afterwards."""
    grid: str = "b t h w d"
    """The pattern of the patches; an axis in parentheses is split in two halves or two strides."""
    split: tuple[str, ...] = ()
    """The axes out of t, h, w that `grid` splits; the factors of 2 are called t2, h2 and w2."""
    out: bool = False
    """Whether the step ends in an extra linear layer, zero-initialized."""

    def sizes(self, patches: Tensor) -> dict[str, int]:
        """Axis lengths of the two patterns for patches [B, T, H, W, D].

        Raises UsageError for an odd axis that would be halved.
        """
        sizes = dict(zip("bthw", patches.shape[:4], strict=True))
        for axis in self.split:
            if sizes[axis] % 2:
                raise UsageError(
                    f"the {self.name} attention step halves {axis}, which is odd: {sizes[axis]}",
                    hint="use an even number of frames, and of patches per row and column",
                )
            sizes |= {axis: sizes[axis] // 2, f"{axis}2": 2}
        return sizes

    def rows(self, cls: Tensor, x: Tensor) -> Tensor:
        """Rows [R, N, D] of tokens that meet; with `cls`, each starts with a class token copy."""
        rows: Tensor = rearrange(x, f"{self.grid} -> {self.groups}", **self.sizes(x))
        if not self.cls:
            return rows
        copies = rows.shape[0] // cls.shape[0]
        return torch.cat([repeat(cls, "b d -> (b c) 1 d", c=copies), rows], dim=1)

    def restore(self, rows: Tensor, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows in the shapes of `cls` and `x`; class token copies are averaged, else zeros."""
        sizes = self.sizes(x)
        if not self.cls:
            return torch.zeros_like(cls), rearrange(rows, f"{self.groups} -> {self.grid}", **sizes)
        to_cls = reduce(rows[:, 0], "(b c) d -> b d", "mean", b=cls.shape[0])
        return to_cls, rearrange(rows[:, 1:], f"{self.groups} -> {self.grid}", **sizes)


SCHEMES: dict[str, tuple[StepSpec, ...]] = {
    "space": (StepSpec("space", "(b t) (h w) d", cls=True),),
    "time": (StepSpec("time", "(b h w) t d", cls=True),),
    "joint": (StepSpec("joint", "b (t h w) d", cls=True),),
    "divided": (
        StepSpec("time", "(b h w) t d", cls=False, out=True),
        StepSpec("space", "(b t) (h w) d", cls=True),
    ),
    "local-global": (
        StepSpec(
            "local", "(b h2 w2) (t h w) d", False, "b t (h2 h) (w2 w) d", ("h", "w"), out=True
        ),
        StepSpec(
            "global", "(b t2 h2 w2) (t h w) d", True, "b (t t2) (h h2) (w w2) d", ("t", "h", "w")
        ),
    ),
    "axial": (
        StepSpec("time", "(b h w) t d", cls=False, out=True),
        StepSpec("width", "(b t h) w d", cls=False, out=True),
        StepSpec("height", "(b t w) h d", cls=True),
    ),
}
"""Attention schemes by name (arXiv:2102.05095, Sec. 3 and Fig. 2).

All but the last step of a block end in an extra, zero-initialized linear layer, so a fresh divided
block with image weights equals the block of the image model. Space, joint and divided agree with
the official code. The others were never released and are our reading of the paper: local-global
attends within the four quarters of the frame over all frames, then among every second patch along
time, height and width; axial attends along time, width and height in turn; as in divided, only the
last step includes the class token. Time is not in the paper; its class token joins every tube.
"""

TIME, SPACE = SCHEMES["divided"]
ORDERS: dict[str, tuple[StepSpec, ...]] = {
    "time-space": (TIME, SPACE),
    "space-time": (SPACE, replace(TIME, cls=True)),
    "parallel": (replace(TIME, cls=True), SPACE),
}
"""The steps of divided attention by `TimeSformerConfig.order` (the paper: -0.5 and -0.4 points).

Neither alternative was released. In both the class token also joins the tubes, because no later
step would pass the result of attention over time on to it.
"""


def attention_steps(config: TimeSformerConfig) -> tuple[StepSpec, ...]:
    """The attention steps of every block. Raises RecipeError for an unknown scheme or order."""
    if config.attention not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise RecipeError(f"no attention scheme {config.attention!r}", hint=f"known: {known}")
    if config.attention == "divided":
        return ORDERS[config.order]
    if config.order != TimeSformerConfig.order:
        raise RecipeError(f"{config.attention} attention has no order {config.order!r}")
    return SCHEMES[config.attention]


def apply_in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply `function` to independent rows [R, ..., D], so many of them at a time.

    Saves memory without gradients (with them, all rows go at once); rounding moves logits by less
    than 1e-5.
    """
    tokens = CPU_CHUNK // rows.shape[-1] if rows.device.type == "cpu" else CHUNK_TOKENS
    size = max(1, tokens // max(1, rows.shape[1:-1].numel()))
    if torch.is_grad_enabled() or size >= rows.shape[0]:
        return function(rows)
    return torch.cat([function(chunk) for chunk in rows.chunk(-(-rows.shape[0] // size))])


class SelfAttention(nn.Module):
    """Multi-head self-attention over the middle axis of [rows, tokens, D]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: [R, N, D]; every token of a row sees every token of that row. Returns [R, N, D]."""
        attend = attention if x.device.type == "cpu" else F.scaled_dot_product_attention
        return self.merge_heads(attend(*self.split_heads(x)))

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [R, heads, N, D / heads] of [R, N, D]."""
        q, k, v = rearrange(self.qkv(x), "r n (three k d) -> three r k n d", three=3, k=self.heads)
        return q, k, v

    def merge_heads(self, y: Tensor) -> Tensor:
        """Project the outputs [R, heads, N, D / heads] of the heads to [R, N, D]."""
        out: Tensor = self.proj(rearrange(y, "r k n d -> r n (k d)"))
        return out


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention [R, heads, N, D], written out where that beats the fused kernel: on a CPU, with
    gradients, in small groups."""
    if not q.requires_grad or q.shape[2] > 64:
        return F.scaled_dot_product_attention(q, k, v)
    scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores.softmax(-1) @ v


class AttentionStep(nn.Module):
    """A residual branch of a block: norm, then attention among the tokens of `spec.groups`."""

    def __init__(self, spec: StepSpec, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.attn = SelfAttention(width, heads)
        self.drop = DropPath(drop)
        self.out = nn.Linear(width, width) if spec.out else nn.Identity()

    def forward(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls: [B, D]; x: [B, T, H, W, D]. Returns the changes to add to both, same shapes."""
        return self.spec.restore(apply_in_chunks(self.branch, self.spec.rows(cls, x)), cls, x)

    def branch(self, rows: Tensor) -> Tensor:
        """rows: [R, N, D], independent of one another. Same shape."""
        y: Tensor = self.out(self.drop(self.attn(self.norm(rows))))
        return y


class Block(nn.Module):
    """The attention steps of a scheme, then the MLP. Pre-norm, residual throughout."""

    def __init__(self, config: TimeSformerConfig, drop: float) -> None:
        super().__init__()
        self.parallel = config.order == "parallel"
        self.steps = nn.ModuleDict(
            {
                a.name: AttentionStep(a, config.width, config.heads, drop)
                for a in attention_steps(config)
            }
        )
        hidden = int(config.width * config.mlp_ratio)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width)
        )
        self.drop = DropPath(drop)

    def forward(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls: [B, D]; x: [B, T, H, W, D]; returns both, same shapes."""
        given = cls, x
        for step in self.steps.values():
            to_cls, to_x = step(*(given if self.parallel else (cls, x)))
            cls, x = cls + to_cls, x + to_x
        return self.apply_mlp(cls, x)

    def apply_mlp(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens after the residual MLP; same shapes."""
        # One tensor: stochastic depth must drop the class token and patches of a video together.
        tokens = torch.cat([cls[:, None], rearrange(x, "b t h w d -> b (t h w) d")], dim=1)
        y = apply_in_chunks(self.mlp_branch, tokens.flatten(0, 1)).view_as(tokens)
        tokens = tokens + self.drop(y)
        return tokens[:, 0], tokens[:, 1:].view_as(x)

    def mlp_branch(self, tokens: Tensor) -> Tensor:
        """tokens: [..., D], independent of one another. Same shape."""
        y: Tensor = self.mlp(self.norm(tokens))
        return y


class TimeSformer(ClipModel):
    """Clips [B, 3, T, H, W] to logits [B, K]. T, H and W may differ from the config's.

    With attention "space" every frame is an independent image with its own class token and no time
    embedding; the class tokens are averaged over frames before the final norm (official code).
    """

    def __init__(self, config: TimeSformerConfig) -> None:
        super().__init__()
        self.config = config
        self.space_only = config.attention == "space"
        """Whether frames stay independent until their class tokens are averaged."""
        side = config.size // config.patch
        self.patch = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.cls = nn.Parameter(torch.zeros(config.width))
        placed, timed = config.positions != "none", config.positions == "space-time"
        self.cls_pos = zero_parameter(config.width) if placed else None
        self.pos = zero_parameter(side, side, config.width) if placed else None
        self.time = (
            zero_parameter(config.frames, config.width) if timed and not self.space_only else None
        )
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.head = nn.Linear(config.width, config.classes)
        init_weights(self)

    def layers(self) -> list[nn.Module]:
        """The largest modules that run one after the other."""
        return list(self.blocks)

    def embed_patches(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]. Returns patches [N, h, w, D] with positions in space only."""
        require_whole_patches(frames, self.config.patch)
        x: Tensor = rearrange(self.patch(frames), "n d h w -> n h w d")
        return x if self.pos is None else x + resize_space(self.pos, *x.shape[1:3])

    def run_blocks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run patches [B, T, h, w, D] and a class token through all blocks: [B, D], same shape."""
        cls, x = self.add_class_token(x)
        for block in self.blocks:
            cls, x = self.run_block(block, cls, x)
        return cls, x

    def add_class_token(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input of the first block: class token [B, D], patches [B, T, h, w, D] with times."""
        cls = self.cls if self.cls_pos is None else self.cls + self.cls_pos
        if self.time is not None:
            x = x + resize_time(self.time, x.shape[1])[:, None, None]
        return repeat(cls, "d -> b d", b=x.shape[0]), x

    def features(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens after the last block, before the final norm: [B, D] and [B, T, h, w, D]."""
        batch = clips.shape[0]
        x = self.embed_patches(rearrange(clips, "b c t h w -> (b t) c h w"))
        if not self.space_only:
            return self.run_blocks(rearrange(x, "(b t) h w d -> b t h w d", b=batch))
        cls, x = self.run_blocks(x[:, None])
        cls = reduce(cls, "(b t) d -> b d", "mean", b=batch)
        return cls, rearrange(x, "(b t) 1 h w d -> b t h w d", b=batch)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: float [N, 3, H, W], H and W multiples of the patch. Returns patches [N, h, w, D];
        with attention "space", class tokens [N, D] after all blocks."""
        x = self.embed_patches(frames)
        return self.run_blocks(x[:, None])[0] if self.space_only else x

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns the input of the head,
        [B, D]."""
        cls = tokens.mean(1) if self.space_only else self.run_blocks(tokens)[0]
        normed: Tensor = self.norm(cls)
        return normed


def zero_parameter(*shape: int) -> nn.Parameter:
    """A learned embedding, initially zero."""
    return nn.Parameter(torch.zeros(shape))


def require_whole_patches(frames: Tensor, patch: int) -> None:
    """Raise UsageError unless frames [N, 3, H, W] divide into patches of `patch` pixels."""
    height, width = frames.shape[2:]
    if height % patch or width % patch:
        raise UsageError(
            f"{width}x{height} pixels do not divide into the model's patches of {patch}x{patch}"
        )


def resize_space(pos: Tensor, height: int, width: int) -> Tensor:
    """Resize a position embedding [h0, w0, D] to [height, width, D], nearest neighbor.

    As in the official code (vit.py), a grid of another shape with the same number of patches is not
    resized but reshaped in row-major order.
    """
    if pos.shape[0] * pos.shape[1] == height * width:
        return pos.reshape(height, width, -1)
    grid = rearrange(pos, "h w d -> 1 d h w")
    return rearrange(F.interpolate(grid, (height, width), mode="nearest"), "1 d h w -> h w d")


def resize_time(time: Tensor, frames: int) -> Tensor:
    """Resize a time embedding [T0, D] to [frames, D], nearest neighbor (official code)."""
    if time.shape[0] == frames:
        return time
    line = rearrange(time, "t d -> 1 d t")
    return rearrange(F.interpolate(line, frames, mode="nearest"), "1 d t -> t d")


def init_weights(model: TimeSformer) -> None:
    """Set all initial values (official code, vit.py).

    Linear weights, class and position embeddings: normal, std .02, truncated at +-2. Biases, the
    time embedding and the extra linear layers of attention steps: zero.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, AttentionStep) and isinstance(module.out, nn.Linear):
            nn.init.zeros_(module.out.weight)
    # In the official code the class and position embeddings share one parameter of [N + 1, D].
    for learned in (model.cls, model.cls_pos, model.pos):
        if learned is not None:
            nn.init.trunc_normal_(learned, std=0.02)

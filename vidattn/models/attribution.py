"""What an answer rests on: attention followed from the class token back to the patches.

`rollout` is attention rollout (arXiv:2005.00928): each attention step is (I + A) / 2, with A the
mean over heads, MLPs are left out, and the maps of all steps are multiplied. It follows the blocks
as they are: in divided attention the first map joins the patches of one place over time and leaves
the class token alone; the second joins each frame with a copy of the class token, and the class
token gets the mean of its copies. `relevance` weights every entry with what it does to the logit of
one class, in the manner of arXiv:2103.15679, Eq. 5 and 6: R + (grad A * A)+ R, mean over heads.

Neither needs the maps between all tokens, (T * H * W)^2 numbers: a row vector, the weight of every
token in the final class token, goes back through the steps, each of which is computed again from
what the block was given. Nothing in the forward pass knows of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.models.stam import FrameBlock, Stam
from vidattn.models.timesformer import (
    SCHEMES,
    Attend,
    AttentionStep,
    Block,
    SelfAttention,
    TimeSformer,
)

LIMIT = 2**24
"""Entries of attention that are there at once: 64 MB of them."""
(SPACE,), (JOINT,) = SCHEMES["space"], SCHEMES["joint"]


@dataclass(frozen=True)
class Attribution:
    """How much of the final class token comes from where."""

    patches: Tensor
    """[B, T, h, w]; of a rollout, they and `cls` sum to 1."""
    cls: Tensor
    """[B]: what comes from class tokens themselves, which have seen nothing."""


@dataclass(frozen=True)
class Attended:
    """One attention step while it is looked at: queries, keys, values, and what was found,
    [R, heads, N, d] each."""

    attend: Attend
    q: Tensor
    k: Tensor
    v: Tensor
    found: Tensor

    def carried(self, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """Row vectors [R, N] times the attention of their rows.

        gradient: of `found`; the attention is then weighted with its own gradient, which is
        gradient @ v^T, and what lowers the logit is left out.
        """
        rows, heads, tokens, width = self.q.shape
        some = max(1, LIMIT // (heads * tokens * tokens))
        queries = tokens if some > 1 else max(1, min(tokens, LIMIT // (heads * tokens)))
        carried = torch.zeros_like(weights)
        for r in (slice(i, i + some) for i in range(0, rows, some)):
            for n in (slice(i, i + queries) for i in range(0, tokens, queries)):
                scores = self.q[r, :, n] @ self.k[r].transpose(-2, -1)
                attention = (scores * width**-0.5).softmax(-1)
                if gradient is not None:
                    gain = gradient[r, :, n] @ self.v[r].transpose(-2, -1)
                    attention = (attention * gain).clamp_(min=0)
                carried[r] += torch.einsum("rn,rknm->rm", weights[r, n], attention) / heads
        return carried


Stage = tuple[Attended, ...]
"""Attention steps that see the same tokens: one, or several in parallel."""
Tokens = tuple[Tensor, Tensor]
"""A class token [B, D] and patches [B, T, h, w, D]."""
Weights = tuple[Tensor, Tensor]
"""Of a class token [B, 1] and of patches [B, T, h, w, 1]."""


def rollout(model: TimeSformer | Stam, clips: Tensor) -> Attribution:
    """Attention rollout of clips [B, 3, T, H, W], whatever the class.

    Memory grows with the number of tokens, not with its square; time is that of two forward passes.
    """
    with torch.no_grad():
        return _followed(model, clips, None)


def relevance(model: TimeSformer | Stam, clips: Tensor, classes: Tensor) -> Attribution:
    """What in clips [B, 3, T, H, W] speaks for `classes`, int64 [B]; not normalised, >= 0.

    Takes one forward and one backward pass, a block at a time.
    """
    with torch.no_grad():
        return _followed(model, clips, classes)


def _followed(model: TimeSformer | Stam, clips: Tensor, classes: Tensor | None) -> Attribution:
    if isinstance(model, Stam):
        return _of_stam(model, clips, classes)
    batch = clips.shape[0]
    x = model.embed(rearrange(clips, "b c t h w -> (b t) c h w"))
    x = x[:, None] if model.alone else rearrange(x, "(b t) h w d -> b t h w d", b=batch)
    chain = _Chain(list(model.blocks), model.before(x))
    each = chain.last[0].shape[0] // batch  # class tokens of a clip: one, or one for each frame

    def logits(cls: Tensor) -> Tensor:
        whole = rearrange(cls, "(b t) d -> b t d", b=batch).mean(1)
        found: Tensor = model.head(model.norm(whole))
        return found

    slope = None if classes is None else _slope(logits, chain.last[0], classes)
    start = clips.new_full((batch * each, 1), 1 / each)
    (cls, patches), _ = chain.followed(start, slope)
    patches = rearrange(patches, "(b e) t h w 1 -> b (e t) h w", b=batch)
    return Attribution(patches, cls.view(batch, each).sum(1))


def _of_stam(model: Stam, clips: Tensor, classes: Tensor | None) -> Attribution:
    """Over the frames first, then within each, with the weight that the frame has."""
    batch = clips.shape[0]
    cls, x = model.before(rearrange(clips, "b c t h w -> (b t) c h w"))
    within = _Chain(list(model.blocks), (cls, x[:, None]))
    vectors = model.norm(within.last[0])
    cls, x = model.before_time(rearrange(vectors, "(b t) d -> b t d", b=batch))
    over = _Chain(list(model.over_time.layers), (cls, x[:, :, None, None]))

    def logits(cls: Tensor) -> Tensor:
        normed = cls if model.over_time.norm is None else model.over_time.norm(cls)
        found: Tensor = model.head(normed)
        return found

    slope = None if classes is None else _slope(logits, over.last[0], classes)
    (own, frames), slopes = over.followed(clips.new_ones(batch, 1), slope)
    if slopes is not None:
        with torch.enable_grad():
            leaf = within.last[0].detach().requires_grad_()
            pulled = rearrange(slopes[1], "b t 1 1 d -> (b t) d")
            (slope,) = torch.autograd.grad(model.norm(leaf), leaf, pulled)
    start = rearrange(frames, "b t 1 1 one -> (b t) one")
    (cls, patches), _ = within.followed(start, slope)
    patches = rearrange(patches, "(b t) 1 h w 1 -> b t h w", b=batch)
    return Attribution(patches, own[:, 0] + cls.view(batch, -1).sum(1))


def _slope(logits: Callable[[Tensor], Tensor], cls: Tensor, classes: Tensor) -> Tensor:
    """The gradient of the logits of `classes` with respect to class tokens."""
    with torch.enable_grad():
        leaf = cls.detach().requires_grad_()
        chosen = logits(leaf).gather(1, classes[:, None]).sum()
        slope: Tensor = torch.autograd.grad(chosen, leaf)[0]
    return slope


class _Chain:
    """Blocks and what each of them was given."""

    def __init__(self, blocks: Sequence[nn.Module], tokens: Tokens) -> None:
        self.blocks = blocks
        self.given = []
        for block in blocks:
            self.given.append(tokens)
            tokens = _seen(block, *tokens)[0]
        self.last = tokens

    def followed(self, start: Tensor, slope: Tensor | None) -> tuple[Weights, Tokens | None]:
        """Weights of the tokens before the first block, from those of the final class tokens.

        start: [B, 1]. slope: the gradient of the final class tokens, or None for a rollout. Returns
        also the gradient before the first block.
        """
        patches = self.last[1]
        weights: Weights = start, patches.new_zeros(*patches.shape[:4], 1)
        slopes = None if slope is None else (slope, torch.zeros_like(patches))
        while self.given:
            block, tokens = self.blocks[len(self.given) - 1], self.given.pop()
            gradients: Iterator[Tensor] = iter(())
            if slopes is None:
                stages = _seen(block, *tokens)[1]
            else:
                stages, slopes, gradients = _pulled(block, tokens, slopes)
            weights = _back(stages, weights, gradients)
        return weights, slopes


def _back(stages: Sequence[Stage], weights: Weights, gradients: Iterator[Tensor]) -> Weights:
    """Weights of what a block was given, from those of what it made.

    gradients: of what each step found, in the order in which the steps are undone; empty for a
    rollout, whose rows sum to 1 since residual and attention share them evenly.
    """
    for stage in reversed(stages):
        cls, x = weights
        found = [next(gradients, None) for _ in stage]
        if not any(gradient is not None for gradient in found):
            cls = cls / (1 + sum(step.attend.cls for step in stage))
            x = x / (1 + len(stage))
        kept = cls, x
        for step, gradient in zip(reversed(stage), found, strict=True):
            to_cls, to_x = _undone(step, *kept, gradient)
            cls, x = cls + to_cls, x + to_x
        weights = cls, x
    return weights


def _undone(step: Attended, cls: Tensor, x: Tensor, gradient: Tensor | None) -> Weights:
    """Weights of the tokens that a step read, from those of the tokens it wrote to."""
    rows = step.q.shape[0]
    copies = rows // cls.shape[0]
    # `rows` makes copies and `back` takes their mean; carried back, each is the other transposed.
    written = step.attend.rows(cls / copies, x)[..., 0]
    read = step.carried(written, gradient)
    to_cls, to_x = step.attend.back(read[..., None], cls, x)
    return to_cls * copies, to_x


def _pulled(
    block: nn.Module, tokens: Tokens, slopes: Tokens
) -> tuple[list[Stage], Tokens, Iterator[Tensor]]:
    """A block's attention, the gradient of its tokens, and that of what its steps found, the last
    first; from the gradient of what it made."""
    with torch.enable_grad():
        leaves = tuple(t.detach().requires_grad_() for t in tokens)
        made, stages = _seen(block, leaves[0], leaves[1])
        found = [step.found for stage in stages for step in stage]
        cls, x, *rest = torch.autograd.grad(
            made, (*leaves, *found), slopes, allow_unused=True, materialize_grads=True
        )
    stages = [
        tuple(Attended(s.attend, *(t.detach() for t in (s.q, s.k, s.v, s.found))) for s in stage)
        for stage in stages
    ]
    return stages, (cls, x), reversed(rest)


def _seen(block: nn.Module, cls: Tensor, x: Tensor) -> tuple[Tokens, list[Stage]]:
    """What a block makes of tokens, and its attention on the way; as its forward pass does it."""
    if isinstance(block, Block):
        return _block(block, cls, x)
    if isinstance(block, FrameBlock):
        return _frame_block(block, cls, x)
    assert isinstance(block, nn.TransformerEncoderLayer)
    return _time_layer(block, cls, x)


def _block(block: Block, cls: Tensor, x: Tensor) -> tuple[Tokens, list[Stage]]:
    given, steps = (cls, x), list[Attended]()
    for step in block.steps.values():
        assert isinstance(step, AttentionStep)
        source = given if block.parallel else (cls, x)
        seen = _attended(step.attend, step.attn, step.norm(step.attend.rows(*source)))
        made = step.out(step.attn.joined(seen.found))
        to_cls, to_x = step.attend.back(made, *source)
        cls, x = cls + to_cls, x + to_x
        steps.append(seen)
    stages: list[Stage] = [tuple(steps)] if block.parallel else [(step,) for step in steps]
    return block.fed(cls, x), stages


def _frame_block(block: FrameBlock, cls: Tensor, x: Tensor) -> tuple[Tokens, list[Stage]]:
    rows = SPACE.rows(cls, x)
    seen = _attended(SPACE, block.attn, block.attn_norm(rows))
    rows = rows + block.attn.joined(seen.found)
    rows = rows + block.mlp(block.mlp_norm(rows))
    return SPACE.back(rows, cls, x), [(seen,)]


def _time_layer(
    layer: nn.TransformerEncoderLayer, cls: Tensor, x: Tensor
) -> tuple[Tokens, list[Stage]]:
    """Of STAM: norms come after the sums, and the MLP has a ReLU."""
    rows, attn = JOINT.rows(cls, x), layer.self_attn
    qkv = F.linear(rows, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = rearrange(qkv, "r n (three k d) -> three r k n d", three=3, k=attn.num_heads)
    seen = Attended(JOINT, q, k, v, F.scaled_dot_product_attention(q, k, v))
    rows = layer.norm1(rows + attn.out_proj(rearrange(seen.found, "r k n d -> r n (k d)")))
    rows = layer.norm2(rows + layer.linear2(F.relu(layer.linear1(rows))))
    return JOINT.back(rows, cls, x), [(seen,)]


def _attended(attend: Attend, attn: SelfAttention, rows: Tensor) -> Attended:
    q, k, v = attn.heads_of(rows)
    return Attended(attend, q, k, v, F.scaled_dot_product_attention(q, k, v))

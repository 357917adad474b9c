"""Attribution: attention followed from the final class token back to the patches.

`rollout` is attention rollout (arXiv:2005.00928): each attention step is (I + A) / 2, with A the
mean over heads; MLPs are left out, and the maps of all steps are multiplied. It follows the blocks
as they are: in divided attention the first map joins the patches of one place over time and leaves
the class token alone; the second joins each frame with a copy of the class token, and the class
token gets the mean of its copies. `relevance` weights every entry by its effect on the logit of one
class, in the manner of arXiv:2103.15679, Eq. 5 and 6: R + (grad A * A)+ R, mean over heads.

Neither of them stores the maps between all tokens, (T * H * W)^2 numbers: a row vector, the weight
of every token in the final class token, is propagated back through the steps, each recomputed from
the input of its block. The forward pass of the models knows nothing of this.

`grad_cam` is for convolutional networks: last feature maps, weighted with their gradient. The value
of a cell is the sum over channels of map times gradient of the logit. Behind average pooling this
is Grad-CAM (arXiv:1610.02391) before its ReLU; where the head is linear, the cells add up to the
logit less its bias (arXiv:2011.08891).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidattn.models.biglittle import BigLittle
from vidattn.models.conv2d import FrameResNet
from vidattn.models.conv3d import ResNet3d
from vidattn.models.stam import FrameBlock, Stam
from vidattn.models.timesformer import (
    SCHEMES,
    AttentionStep,
    Block,
    SelfAttention,
    StepSpec,
    TimeSformer,
)

MAX_ENTRIES = 2**24
"""Entries of attention maps held at once: 64 MB."""
(SPACE,), (JOINT,) = SCHEMES["space"], SCHEMES["joint"]


@dataclass(frozen=True)
class Attribution:
    """The share of each token in the final class token."""

    patches: Tensor
    """[B, T, h, w]; for a rollout, they and `cls` sum to 1."""
    cls: Tensor
    """[B]: the share of the class tokens themselves, which carry nothing of the clip."""


@dataclass(frozen=True)
class AttentionTrace:
    """One recomputed attention step: queries, keys, values and output, [R, heads, N, d] each."""

    spec: StepSpec
    q: Tensor
    k: Tensor
    v: Tensor
    output: Tensor

    def propagate(self, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """Row vectors [R, N] times the attention of their rows.

        gradient: of `output`. If given, attention is weighted by its own gradient, gradient @ v^T,
        and entries that lower the logit are left out.
        """
        rows, heads, tokens, width = self.q.shape
        row_chunk = max(1, MAX_ENTRIES // (heads * tokens * tokens))
        chunk = tokens if row_chunk > 1 else max(1, min(tokens, MAX_ENTRIES // (heads * tokens)))
        result = torch.zeros_like(weights)
        for r in (slice(i, i + row_chunk) for i in range(0, rows, row_chunk)):
            for n in (slice(i, i + chunk) for i in range(0, tokens, chunk)):
                scores = self.q[r, :, n] @ self.k[r].transpose(-2, -1)
                attention = (scores * width**-0.5).softmax(-1)
                if gradient is not None:
                    gain = gradient[r, :, n] @ self.v[r].transpose(-2, -1)
                    attention = (attention * gain).clamp_(min=0)
                result[r] += torch.einsum("rn,rknm->rm", weights[r, n], attention) / heads
        return result


Stage = tuple[AttentionTrace, ...]
"""Attention steps with the same input: one, or several in parallel."""
Tokens = tuple[Tensor, Tensor]
"""A class token [B, D] and patches [B, T, h, w, D]."""
Weights = tuple[Tensor, Tensor]
"""The weights of a class token [B, 1] and of patches [B, T, h, w, 1]."""


@torch.no_grad()
def rollout(model: TimeSformer | Stam, clips: Tensor) -> Attribution:
    """Attention rollout of clips [B, 3, T, H, W], independent of the class.

    Memory is linear in the number of tokens; time is that of two forward passes.
    """
    return _attribute(model, clips, None)


@torch.no_grad()
def relevance(model: TimeSformer | Stam, clips: Tensor, classes: Tensor) -> Attribution:
    """The evidence in clips [B, 3, T, H, W] for `classes`, int64 [B]; >= 0, not normalized.

    Takes one forward and one backward pass, a block at a time.
    """
    return _attribute(model, clips, classes)


def _attribute(model: TimeSformer | Stam, clips: Tensor, classes: Tensor | None) -> Attribution:
    if isinstance(model, Stam):
        return _attribute_stam(model, clips, classes)
    batch = clips.shape[0]
    x = model.embed_patches(rearrange(clips, "b c t h w -> (b t) c h w"))
    x = x[:, None] if model.space_only else rearrange(x, "(b t) h w d -> b t h w d", b=batch)
    chain = _Chain(list(model.blocks), model.add_class_token(x))
    copies = chain.output[0].shape[0] // batch  # class tokens of a clip: one, or one per frame

    def classify(cls: Tensor) -> Tensor:
        mean = rearrange(cls, "(b t) d -> b t d", b=batch).mean(1)
        return model.head(model.norm(mean))  # type: ignore[no-any-return]

    gradient = _class_gradient(classify, chain.output[0], classes)
    start = clips.new_full((batch * copies, 1), 1 / copies)
    (cls, patches), _ = chain.propagate(start, gradient)
    patches = rearrange(patches, "(b e) t h w 1 -> b (e t) h w", b=batch)
    return Attribution(patches, cls.view(batch, copies).sum(1))


def _attribute_stam(model: Stam, clips: Tensor, classes: Tensor | None) -> Attribution:
    """Propagate over the frames first, then within each frame by the weight of that frame."""
    batch = clips.shape[0]
    cls, x = model.embed_patches(rearrange(clips, "b c t h w -> (b t) c h w"))
    within = _Chain(list(model.blocks), (cls, x[:, None]))
    tokens = model.norm(within.output[0])
    cls, x = model.add_class_token(rearrange(tokens, "(b t) d -> b t d", b=batch))
    over = _Chain(list(model.over_time.layers), (cls, x[:, :, None, None]))

    def classify(cls: Tensor) -> Tensor:
        normed = cls if model.over_time.norm is None else model.over_time.norm(cls)
        return model.head(normed)  # type: ignore[no-any-return]

    gradient = _class_gradient(classify, over.output[0], classes)
    (own, frames), gradients = over.propagate(clips.new_ones(batch, 1), gradient)
    if gradients is not None:
        with torch.enable_grad():
            leaf = within.output[0].detach().requires_grad_()
            upstream = rearrange(gradients[1], "b t 1 1 d -> (b t) d")
            (gradient,) = torch.autograd.grad(model.norm(leaf), leaf, upstream)
    start = rearrange(frames, "b t 1 1 one -> (b t) one")
    (cls, patches), _ = within.propagate(start, gradient)
    patches = rearrange(patches, "(b t) 1 h w 1 -> b t h w", b=batch)
    return Attribution(patches, own[:, 0] + cls.view(batch, -1).sum(1))


def _class_gradient(
    classify: Callable[[Tensor], Tensor], cls: Tensor, classes: Tensor | None
) -> Tensor | None:
    """The gradient of the logits of `classes` with respect to class tokens, if any."""
    if classes is None:
        return None
    with torch.enable_grad():
        leaf = cls.detach().requires_grad_()
        total = classify(leaf).gather(1, classes[:, None]).sum()
        return torch.autograd.grad(total, leaf)[0]


class _Chain:
    """Blocks with the input of each and the output of the last."""

    def __init__(self, blocks: Sequence[nn.Module], tokens: Tokens) -> None:
        self.blocks = blocks
        self.inputs = []
        for block in blocks:
            self.inputs.append(tokens)
            tokens = _trace_block(block, *tokens)[0]
        self.output = tokens

    def propagate(self, start: Tensor, gradient: Tensor | None) -> tuple[Weights, Tokens | None]:
        """Weights of the tokens before the first block, from those of the final class tokens.

        start: [B, 1]. gradient: of the final class tokens, or None for a rollout. Also returns the
        gradients before the first block.
        """
        patches = self.output[1]
        weights: Weights = start, patches.new_zeros(*patches.shape[:4], 1)
        gradients = None if gradient is None else (gradient, torch.zeros_like(patches))
        while self.inputs:
            block, tokens = self.blocks[len(self.inputs) - 1], self.inputs.pop()
            step_gradients: Iterator[Tensor] = iter(())
            if gradients is None:
                stages = _trace_block(block, *tokens)[1]
            else:
                stages, gradients, step_gradients = _differentiate_block(block, tokens, gradients)
            weights = _propagate_stages(stages, weights, step_gradients)
        return weights, gradients


def _propagate_stages(
    stages: Sequence[Stage], weights: Weights, gradients: Iterator[Tensor]
) -> Weights:
    """Weights of the input of a block, from those of its output.

    gradients: of the outputs of the steps, in reverse order; empty for a rollout, whose rows sum to
    1 because residual and attention share them evenly.
    """
    for stage in reversed(stages):
        cls, x = weights
        stage_gradients = [next(gradients, None) for _ in stage]
        if not any(gradient is not None for gradient in stage_gradients):
            cls = cls / (1 + sum(step.spec.cls for step in stage))
            x = x / (1 + len(stage))
        residual = cls, x
        for step, gradient in zip(reversed(stage), stage_gradients, strict=True):
            to_cls, to_x = _propagate_step(step, *residual, gradient)
            cls, x = cls + to_cls, x + to_x
        weights = cls, x
    return weights


def _propagate_step(
    step: AttentionTrace, cls: Tensor, x: Tensor, gradient: Tensor | None
) -> Weights:
    """Weights of the tokens that a step read, from those of the tokens it wrote to."""
    copies = step.q.shape[0] // cls.shape[0]
    # `rows` makes copies and `restore` takes their mean; backwards, each is the other transposed.
    written = step.spec.rows(cls / copies, x)[..., 0]
    to_cls, to_x = step.spec.restore(step.propagate(written, gradient)[..., None], cls, x)
    return to_cls * copies, to_x


def _differentiate_block(
    block: nn.Module, tokens: Tokens, gradients: Tokens
) -> tuple[list[Stage], Tokens, Iterator[Tensor]]:
    """The attention of a block, the gradients of its input, and of its steps in reverse order.

    gradients: of the output of the block.
    """
    with torch.enable_grad():
        leaves = tuple(t.detach().requires_grad_() for t in tokens)
        result, stages = _trace_block(block, leaves[0], leaves[1])
        outputs = [step.output for stage in stages for step in stage]
        cls, x, *rest = torch.autograd.grad(
            result, (*leaves, *outputs), gradients, allow_unused=True, materialize_grads=True
        )
    stages = [
        tuple(
            AttentionTrace(s.spec, *(t.detach() for t in (s.q, s.k, s.v, s.output))) for s in stage
        )
        for stage in stages
    ]
    return stages, (cls, x), reversed(rest)


def _trace_block(block: nn.Module, cls: Tensor, x: Tensor) -> tuple[Tokens, list[Stage]]:
    """Run a block as its forward pass does; also returns its attention steps."""
    if isinstance(block, Block):
        return _trace_timesformer(block, cls, x)
    if isinstance(block, FrameBlock):
        rows = SPACE.rows(cls, x)
        trace = _trace_attention(SPACE, block.attn, block.attn_norm(rows))
        rows = rows + block.attn.merge_heads(trace.output)
        rows = rows + block.mlp(block.mlp_norm(rows))
        return SPACE.restore(rows, cls, x), [(trace,)]
    assert isinstance(block, nn.TransformerEncoderLayer)
    return _trace_time_layer(block, cls, x)


def _trace_timesformer(block: Block, cls: Tensor, x: Tensor) -> tuple[Tokens, list[Stage]]:
    block_input, traces = (cls, x), list[AttentionTrace]()
    for step in block.steps.values():
        assert isinstance(step, AttentionStep)
        source = block_input if block.parallel else (cls, x)
        trace = _trace_attention(step.spec, step.attn, step.norm(step.spec.rows(*source)))
        rows = step.out(step.attn.merge_heads(trace.output))
        to_cls, to_x = step.spec.restore(rows, *source)
        cls, x = cls + to_cls, x + to_x
        traces.append(trace)
    stages: list[Stage] = [tuple(traces)] if block.parallel else [(trace,) for trace in traces]
    return block.apply_mlp(cls, x), stages


def _trace_time_layer(
    layer: nn.TransformerEncoderLayer, cls: Tensor, x: Tensor
) -> tuple[Tokens, list[Stage]]:
    """A STAM layer over time: norms come after the sums, and the MLP has a ReLU."""
    rows, attn = JOINT.rows(cls, x), layer.self_attn
    qkv = F.linear(rows, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = rearrange(qkv, "r n (three k d) -> three r k n d", three=3, k=attn.num_heads)
    trace = AttentionTrace(JOINT, q, k, v, F.scaled_dot_product_attention(q, k, v))
    rows = layer.norm1(rows + attn.out_proj(rearrange(trace.output, "r k n d -> r n (k d)")))
    rows = layer.norm2(rows + layer.linear2(F.relu(layer.linear1(rows))))
    return JOINT.restore(rows, cls, x), [(trace,)]


def _trace_attention(spec: StepSpec, attn: SelfAttention, rows: Tensor) -> AttentionTrace:
    q, k, v = attn.split_heads(rows)
    return AttentionTrace(spec, q, k, v, F.scaled_dot_product_attention(q, k, v))


ConvNet = ResNet3d | FrameResNet | BigLittle


def grad_cam(model: ConvNet, clips: Tensor, classes: Tensor) -> Tensor:
    """The contribution of each cell to the logit of a class, of either sign: [B, T, h, w].

    clips: [B, 3, T, H, W]; classes: int64 [B]. A map that stands for several frames is divided
    evenly among them; the maps of two pathways are added.
    """
    blocks, maps = last_blocks(model), list[Tensor]()
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        for block in blocks
    ]
    try:
        with torch.enable_grad():
            logits = model(clips.detach().requires_grad_())
            chosen = logits.gather(1, classes[:, None]).sum()
            gradients = torch.autograd.grad(chosen, maps)
    finally:
        for hook in hooks:
            hook.remove()
    count, frames = clips.shape[0], clips.shape[2]
    cells = [
        _over_frames((one * gradient).detach(), count, frames)
        for one, gradient in zip(maps, gradients, strict=True)
    ]
    return torch.stack(cells).sum(0)


def last_blocks(model: ConvNet) -> list[nn.Module]:
    """The blocks, one of each pathway, behind whose maps nothing but the head follows."""
    if isinstance(model, ResNet3d):
        return [path[-1] for path in model.pathways(3)]
    return [model.blocks(3)[-1] if isinstance(model, FrameResNet) else model.last[-1]]


def _over_frames(cells: Tensor, count: int, frames: int) -> Tensor:
    """cells: [B, C, T', h, w], or [B T', C, h, w]. Returns [B, T, h, w]."""
    if cells.ndim == 4:
        cells = rearrange(cells, "(b t) c h w -> b c t h w", b=count)
    sums = cells.sum(1, keepdim=True)
    size = (frames, *sums.shape[3:])
    return F.interpolate(sums, size, mode="nearest")[:, 0] * (sums.shape[2] / frames)

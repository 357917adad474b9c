"""The form in which a model answers fastest: the same function up to rounding.

Exact savings, taken once from the finished weights (`TimeSformer` and `Stam` stay the reference):

- the projection of an attention step and the linear layer after it are one linear layer;
- in the last block nobody reads the patches: one query per row, the MLP for the class token only;
- on a CPU, oneDNN gets the weights in the layout its kernels want, instead of MKL getting them
  plain, where that pays;
- weights are cast to bfloat16 once, where that is what is multiplied in, not in every call.

In 8-bit integers, which only happens on request, it is an approximation: see `int8`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vidattn.config import StamConfig
from vidattn.models.int8 import Int8Linear
from vidattn.models.protocols import from_clips
from vidattn.models.stam import FrameBlock, Stam
from vidattn.models.timesformer import AttentionStep, Block, SelfAttention, TimeSformer, in_chunks

MIN_PACKED_WIDTH = 512
"""Narrower models are folded but not packed: calling oneDNN costs them more than it saves (with
AVX2, a clip took 1.27 times as long at width 64 and 1.21 times at width 256)."""


def fuse(
    model: nn.Module, dtype: torch.dtype = torch.float32, *, pack: bool | None = None
) -> nn.Module:
    """What `model` should run as, where its weights are, when nothing is to be learned; itself if
    there is no better form.

    dtype: of the linear layers and attention; norms and sums stay float32. With int8, which needs
    `can_multiply_int8`, only the linear layers of the blocks are. pack: whether oneDNN packs the
    weights; by default where it pays. `model` is left as it is, later changes of its
    weights do not reach the result, and what needs no folding or packing is shared, not copied.
    """
    if not isinstance(model, TimeSformer | Stam):
        return model
    if pack is None:
        on_cpu = model.cls.device.type == "cpu"
        pack = on_cpu and model.config.width >= MIN_PACKED_WIDTH and packing_pays()
    return FusedModel(model, dtype, pack)


def can_pack() -> bool:
    """Whether torch has oneDNN with the two operators that packing takes."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    here = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(here) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def packing_pays() -> bool:
    """Whether packed weights are faster: with AVX-512 they are (2.2x on AMD, where MKL does not use
    it); with AVX2 they are no faster, and only take memory."""
    return can_pack() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def multiplies_bf16() -> bool:
    """Whether the processor multiplies in bfloat16 (AVX-512 BF16 or AMX) rather than emulating."""
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


class FusedModel(nn.Module):
    """Clips [B, 3, T, H, W] to logits [B, K], as the model it was made from."""

    def __init__(self, model: TimeSformer | Stam, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        self.config = model.config
        twin = _twin(model)
        for step in _steps(twin):
            _fold(step)
        last = twin.blocks[-1]
        assert isinstance(last, Block | FrameBlock)
        twin.blocks[-1] = LastBlock(last) if isinstance(last, Block) else LastFrameBlock(last)
        if dtype == torch.int8:
            _put(twin.blocks, Int8Linear)
        elif pack or dtype != torch.float32:
            _put(twin.blocks, lambda linear: FrozenLinear(linear, dtype, pack))
        self.twin = twin

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float32. Returns logits float32."""
        return from_clips(self, clips)

    def per_frame(self, frames: Tensor) -> Tensor:
        """frames: float32 [N, 3, H, W]. Returns tokens [N, ...] float32, as the model's own."""
        return self.twin.per_frame(frames)

    def from_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] of `per_frame`, in the order of time. Returns logits [B, K]."""
        return self.twin.from_frames(tokens)

    def vectors(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] of `per_frame`. Returns what the head sees of each clip, [B, D]."""
        return self.twin.vectors(tokens)

    @property
    def head(self) -> nn.Linear:
        """From what it sees of a clip to logits."""
        return self.twin.head


class LastBlock(nn.Module):
    """A block of which only the class token is wanted."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm, self.mlp = block.norm, block.mlp
        *first, last = (step for step in block.steps.values() if isinstance(step, AttentionStep))
        # One after the other, only the last step writes nothing but the class token that is read.
        self.first = nn.ModuleList([] if block.parallel else first)
        self.last = nn.ModuleList(
            LastStep(s) for s in ([*first, last] if block.parallel else [last])
        )

    def forward(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls: [B, D]; x: [B, T, H, W, D]. Returns the class token, and patches of no meaning."""
        for step in self.first:
            to_cls, to_x = step(cls, x)
            cls, x = cls + to_cls, x + to_x
        cls = cls + sum(step(cls, x) for step in self.last)
        return cls + self.mlp(self.norm(cls)), x


class LastStep(nn.Module):
    """An attention step of which only the class token is wanted."""

    def __init__(self, step: AttentionStep) -> None:
        super().__init__()
        assert step.attend.cls, "the class token must take part in the last step"
        self.attend, self.attn = step.attend, OneQuery(step.norm, step.attn)

    def forward(self, cls: Tensor, x: Tensor) -> Tensor:
        """cls: [B, D]; x: [B, T, H, W, D]. Returns what is added to the class token."""
        y = in_chunks(self.attn, self.attend.rows(cls, x))
        to_cls: Tensor = reduce(y, "(b c) d -> b d", "mean", b=cls.shape[0])
        return to_cls


class LastFrameBlock(nn.Module):
    """A block of an image transformer of which only the class tokens are wanted."""

    def __init__(self, block: FrameBlock) -> None:
        super().__init__()
        self.attn = OneQuery(block.attn_norm, block.attn)
        self.mlp_norm, self.mlp = block.mlp_norm, block.mlp

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 1 + P, D], the class token first. Returns [N, 1, D]."""
        cls = x[:, 0] + self.attn(x)
        out: Tensor = (cls + self.mlp(self.mlp_norm(cls)))[:, None]
        return out


class OneQuery(nn.Module):
    """Norm and self-attention of which only the first token of each row is wanted."""

    def __init__(self, norm: nn.LayerNorm, attn: SelfAttention) -> None:
        super().__init__()
        weight, bias = attn.qkv.weight, attn.qkv.bias
        width = weight.shape[1]
        self.norm, self.heads = norm, attn.heads
        self.q = _linear(weight[:width], bias[:width])
        self.kv = _linear(weight[width:], bias[width:])
        self.proj = attn.proj

    def forward(self, rows: Tensor) -> Tensor:
        """rows: [R, N, D]. Returns [R, D]."""
        rows = self.norm(rows)
        q = rearrange(self.q(rows[:, :1]), "r n (k d) -> r k n d", k=self.heads)
        k, v = rearrange(self.kv(rows), "r n (two k d) -> two r k n d", two=2, k=self.heads)
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(rearrange(y, "r k 1 d -> r (k d)"))
        return out


class FrozenLinear(nn.Module):
    """A linear layer in one dtype, its weight packed for oneDNN or plain."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        weight = linear.weight.detach().to(dtype)
        self.dtype, self.packed = dtype, pack
        self.bias = linear.bias.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if pack else weight

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., D], of any float dtype. Returns [..., D'] in this layer's."""
        x = x.to(self.dtype)
        if not self.packed:
            return F.linear(x, self.weight, self.bias)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def _twin(model: TimeSformer | Stam) -> TimeSformer | Stam:
    """A model of the same weights, to be taken apart."""
    with torch.device("meta"):
        config = model.config
        twin = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval().requires_grad_(False)


def _steps(model: nn.Module) -> Iterator[AttentionStep]:
    return (module for module in model.modules() if isinstance(module, AttentionStep))


def _fold(step: AttentionStep) -> None:
    """Take the linear layer after the attention of a step into its projection."""
    proj, out = step.attn.proj, step.out
    if isinstance(out, nn.Linear):
        step.attn.proj = _linear(
            out.weight @ proj.weight, F.linear(proj.bias, out.weight, out.bias)
        )
        step.out = nn.Identity()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these very tensors."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _put(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put what `make` makes of it in the place of every linear layer below `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, make(child))
        else:
            _put(child, make)

"""The fastest form of a model for inference: the same function up to rounding.

Exact savings, made once from the final weights (`TimeSformer` and `Stam` stay the reference):

- the projection of an attention step and the linear layer after it become one linear layer;
- in the last block, where the patches are not used afterwards, attention has one query per row and
  the MLP runs on the class token only;
- on a CPU, oneDNN gets the weights packed in the layout of its kernels, where that is faster;
- weights are cast to bfloat16 once instead of in every call.

8-bit integers, used on request only, are an approximation: see `int8`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vidattn.config import StamConfig
from vidattn.models.int8 import Int8Linear
from vidattn.models.protocols import classify_clips
from vidattn.models.stam import FrameBlock, Stam
from vidattn.models.timesformer import (
    AttentionStep,
    Block,
    SelfAttention,
    TimeSformer,
    apply_in_chunks,
)

MIN_PACKED_WIDTH = 512
"""Narrower models are fused but not packed: calling oneDNN costs more than it saves (with AVX2, a
clip took 1.27 times as long at width 64 and 1.21 times at width 256)."""


def fuse(
    model: nn.Module, dtype: torch.dtype = torch.float32, *, pack: bool | None = None
) -> nn.Module:
    """The fastest form of `model` on its device, without gradients; itself if there is none.

    dtype: of linear layers and attention; norms and sums stay float32. int8, which needs
    `can_multiply_int8`, applies to the linear layers of the blocks only. pack: whether oneDNN packs
    the weights; by default where that is faster. `model` stays as it is; weights that need no
    change are shared, and later changes to `model` do not count.
    """
    if not isinstance(model, TimeSformer | Stam):
        return model
    if pack is None:
        on_cpu = model.cls.device.type == "cpu"
        pack = on_cpu and model.config.width >= MIN_PACKED_WIDTH and is_packing_faster()
    return FusedModel(model, dtype, pack)


def can_pack() -> bool:
    """Whether torch has oneDNN with the two operators that packing needs."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def is_packing_faster() -> bool:
    """Whether packed weights are faster: with AVX-512 they are (2.2x on AMD, where MKL does not use
    it); with AVX2 they only take memory."""
    return can_pack() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def has_bf16_instructions() -> bool:
    """Whether the processor multiplies bfloat16 (AVX-512 BF16 or AMX) instead of emulating it."""
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


class FusedModel(nn.Module):
    """Clips [B, 3, T, H, W] to logits [B, K], like the model it was made from; float32."""

    def __init__(self, model: TimeSformer | Stam, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        self.config = model.config
        twin = _copy_structure(model)
        for module in twin.modules():
            if isinstance(module, AttentionStep):
                _merge_projections(module)
        last = twin.blocks[-1]
        assert isinstance(last, Block | FrameBlock)
        twin.blocks[-1] = LastBlock(last) if isinstance(last, Block) else LastFrameBlock(last)
        if dtype == torch.int8:
            _replace_linears(twin.blocks, Int8Linear)
        elif pack or dtype != torch.float32:
            _replace_linears(twin.blocks, lambda linear: FrozenLinear(linear, dtype, pack))
        self.twin = twin

    def forward(self, clips: Tensor) -> Tensor:
        """clips: float [B, 3, T, H, W]. Returns logits [B, K]."""
        return classify_clips(self, clips)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]. Returns tokens [N, ...] like those of the model."""
        return self.twin.encode_frames(frames)

    def classify_frames(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`, in time order. Returns logits [B, K]."""
        return self.twin.classify_frames(tokens)

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`. Returns the input of the head, [B, D]."""
        return self.twin.embeddings(tokens)

    @property
    def head(self) -> nn.Linear:
        """From embeddings [B, D] to logits [B, K]."""
        return self.twin.head


class LastBlock(nn.Module):
    """A TimeSformer block that computes the class token only."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm, self.mlp = block.norm, block.mlp
        *first, last = (step for step in block.steps.values() if isinstance(step, AttentionStep))
        # In sequence, only the last step writes nothing that is used but the class token.
        self.first = nn.ModuleList([] if block.parallel else first)
        self.last = nn.ModuleList(
            ClassTokenStep(s) for s in ([*first, last] if block.parallel else [last])
        )

    def forward(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls: [B, D]; x: [B, T, H, W, D]. Returns the class token, and patches without meaning."""
        for step in self.first:
            to_cls, to_x = step(cls, x)
            cls, x = cls + to_cls, x + to_x
        cls = cls + sum(step(cls, x) for step in self.last)
        return cls + self.mlp(self.norm(cls)), x


class ClassTokenStep(nn.Module):
    """An attention step that computes the class token only."""

    def __init__(self, step: AttentionStep) -> None:
        super().__init__()
        assert step.spec.cls, "the class token must take part in the last step"
        self.spec, self.attn = step.spec, OneQuery(step.norm, step.attn)

    def forward(self, cls: Tensor, x: Tensor) -> Tensor:
        """cls: [B, D]; x: [B, T, H, W, D]. Returns the change to add to the class token."""
        y = apply_in_chunks(self.attn, self.spec.rows(cls, x))
        to_cls: Tensor = reduce(y, "(b c) d -> b d", "mean", b=cls.shape[0])
        return to_cls


class LastFrameBlock(nn.Module):
    """A block of an image transformer that computes the class tokens only."""

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
    """Norm and self-attention that computes the first token of each row only."""

    def __init__(self, norm: nn.LayerNorm, attn: SelfAttention) -> None:
        super().__init__()
        weight, bias = attn.qkv.weight, attn.qkv.bias
        width = weight.shape[1]
        self.norm, self.heads = norm, attn.heads
        self.q = _make_linear(weight[:width], bias[:width])
        self.kv = _make_linear(weight[width:], bias[width:])
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
    """A linear layer in one dtype, its weight plain or packed for oneDNN."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        weight = linear.weight.detach().to(dtype)
        self.dtype, self.packed = dtype, pack
        self.bias = linear.bias.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if pack else weight

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., D], of any float dtype. Returns [..., D'] in the dtype of this layer."""
        x = x.to(self.dtype)
        if not self.packed:
            return F.linear(x, self.weight, self.bias)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def _copy_structure(model: TimeSformer | Stam) -> TimeSformer | Stam:
    """A second model that shares the weights, to be modified."""
    with torch.device("meta"):
        config = model.config
        twin = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval().requires_grad_(False)


def _merge_projections(step: AttentionStep) -> None:
    """Merge the linear layer after the attention of a step into its projection."""
    proj, out = step.attn.proj, step.out
    if isinstance(out, nn.Linear):
        bias = F.linear(proj.bias, out.weight, out.bias)
        step.attn.proj, step.out = _make_linear(out.weight @ proj.weight, bias), nn.Identity()


def _make_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these very tensors."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _replace_linears(module: nn.Module, convert: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace every linear layer below `module` by its conversion."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, convert(child))
        else:
            _replace_linears(child, convert)

"""The fastest form of a model for inference: the same function up to rounding.

Exact savings, made once from the final weights (`TimeSformer` and `Stam` stay the reference):

- tokens are one tensor [T, B, 1 + P, D], frame by frame, each frame with a copy of the class token:
  attention within frames and within tubes takes them as they lie (`fused_layers`);
- GELU and residual sums are part of linear layers, and the projection of an attention step and the
  linear layer after it become one;
- in the last block, where the patches are not used afterwards, only the class token is computed;
- on a CPU, oneDNN gets the weights packed in the layout of its kernels, where that is faster;
- weights are cast to bfloat16 once instead of in every call; in wide models tokens are bfloat16
  between layers, too.

8-bit integers, used on request only, are an approximation: see `int8`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vidattn.config import StamConfig
from vidattn.models.fused_layers import (
    LOG2_E,
    FrozenLinear,
    OneQuery,
    attend_rows,
    attend_tubes,
    make_linear,
)
from vidattn.models.int8 import Int8Linear
from vidattn.models.layers import ClipModel
from vidattn.models.stam import FrameBlock, Stam
from vidattn.models.timesformer import (
    SCHEMES,
    AttentionStep,
    Block,
    SelfAttention,
    StepSpec,
    TimeSformer,
    apply_in_chunks,
)

MIN_PACKED_WIDTH = 512
"""Narrower models are fused but not packed: calling oneDNN costs more than it saves (with AVX2, a
clip took 1.27 times as long at width 64 and 1.21 times at width 256)."""
(SPACE,) = SCHEMES["space"]
TIME = SCHEMES["divided"][0]
Grid = tuple[int, int]
"""Rows and columns of patches in a frame."""
Attend = Callable[[Tensor, int, float], Tensor]


def fuse(
    model: nn.Module, dtype: torch.dtype = torch.float32, *, pack: bool | None = None
) -> nn.Module:
    """The fastest form of `model` on its device, without gradients; itself if there is none.

    dtype: of tokens, linear layers and attention; sums within norms and softmax stay float32. int8,
    which needs `can_multiply_int8`, applies to the linear layers of the blocks only. pack: whether
    oneDNN packs the weights; by default where that is faster. `model` stays as it is; weights that
    need no change are shared, and later changes to `model` do not count.
    """
    keep_freed_memory()
    if not isinstance(model, TimeSformer | Stam):
        return model
    if pack is None:
        on_cpu = model.cls.device.type == "cpu"
        pack = on_cpu and model.config.width >= MIN_PACKED_WIDTH and is_packing_faster()
    return FusedModel(model, dtype, pack)


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to 32 MB for the next ones, as it does once one of that
    size was freed: getting each from the system anew, page by page, took 5 % of a clip's time."""
    torch.empty(31 << 20, dtype=torch.uint8, device="cpu")


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


class FusedModel(ClipModel):
    """Clips [B, 3, T, H, W] to logits [B, K], like the model it was made from; float32."""

    def __init__(self, model: TimeSformer | Stam, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        self.config = model.config
        twin = _copy_structure(model)
        kinds = _Kinds(dtype, pack, twin)
        *blocks, last = twin.blocks
        twin.blocks = nn.ModuleList()
        setattr(twin, "patch", PatchEmbedding(twin.patch, kinds))  # noqa: B010
        self.twin, self.dtype = twin, kinds.tokens
        self.blocks = nn.ModuleList(FusedBlock(block, kinds) for block in blocks)
        self.last = LastBlock(last, kinds)
        self.framewise = isinstance(model, Stam) or model.space_only
        """Whether all blocks run on single frames."""

    def encode_frames(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]. Returns tokens float32 [N, ...] like those of the model."""
        twin = self.twin
        if isinstance(twin, Stam):
            cls, x = twin.embed_patches(frames)
            normed: Tensor = twin.norm(self._run_blocks(cls, x[:, None]))
            return normed
        x = twin.embed_patches(frames)
        return self._run_blocks(*twin.add_class_token(x[:, None])) if self.framewise else x

    def embeddings(self, tokens: Tensor) -> Tensor:
        """tokens: [B, T, ...] from `encode_frames`. Returns the input of the head, [B, D]."""
        twin = self.twin
        if isinstance(twin, Stam):
            return twin.embeddings(tokens)
        cls = tokens.mean(1) if self.framewise else self._run_blocks(*twin.add_class_token(tokens))
        normed: Tensor = twin.norm(cls)
        return normed

    @property
    def head(self) -> nn.Linear:
        """From embeddings [B, D] to logits [B, K]."""
        return self.twin.head

    def _run_blocks(self, cls: Tensor, patches: Tensor) -> Tensor:
        """cls: [B, D]; patches: [B, T, h, w, D]. Returns the class token of the last block, float32
        [B, D]."""
        batch, length, height, width, depth = patches.shape
        x = cls.new_empty(length, batch, 1 + height * width, depth, dtype=self.dtype)
        x[:, :, 0] = cls
        x[:, :, 1:] = rearrange(patches, "b t h w d -> t b (h w) d")
        for block in self.blocks:
            x = block(x, (height, width))
        out: Tensor = self.last(x, (height, width))
        return out.float()


class _Kinds:
    """How layers are stored."""

    def __init__(self, dtype: torch.dtype, pack: bool, model: TimeSformer | Stam) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self.int8, self.pack = dtype == torch.int8, pack
        low = dtype == torch.bfloat16 or (self.int8 and pack and has_bf16_instructions())
        self.dtype = torch.bfloat16 if low else torch.float32
        """Of attention, and of linear layers that are not int8."""
        # Rounding sums after every step moves logits of motion-tiny three times as far, and saves
        # narrow models little.
        wide = pack or model.config.width >= MIN_PACKED_WIDTH
        self.tokens = self.dtype if wide else torch.float32

    def linear(self, linear: nn.Linear, layer: nn.Linear, *, gelu: bool = False) -> nn.Module:
        """A linear layer of a block, for the one of the model with the same input."""
        if self.int8:
            return Int8Linear(linear, self.dtype, gelu=gelu, name=self._names[layer])
        return FrozenLinear(linear, self.dtype, self.pack, gelu=gelu)

    def norm(self, norm: nn.LayerNorm) -> nn.LayerNorm:
        """A norm of tokens; on a CPU its weights stay float32."""
        if self.tokens == torch.float32 or norm.weight.device.type == "cpu":
            return norm
        cast = nn.LayerNorm(norm.normalized_shape, norm.eps, device="meta")
        cast.weight = nn.Parameter(norm.weight.detach().to(self.tokens), requires_grad=False)
        cast.bias = nn.Parameter(norm.bias.detach().to(self.tokens), requires_grad=False)
        return cast


class PatchEmbedding(nn.Module):
    """The convolution over patches, as the linear layer that it is."""

    def __init__(self, conv: nn.Conv2d, kinds: _Kinds) -> None:
        super().__init__()
        assert conv.bias is not None
        self.side = conv.kernel_size[0]
        linear = make_linear(conv.weight.flatten(1), conv.bias)
        self.linear = FrozenLinear(linear, kinds.dtype, kinds.pack)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: [N, 3, H, W]. Returns float32 [N, D, h, w]."""
        x = rearrange(
            frames.to(self.linear.dtype),
            "n c (h p) (w q) -> n h w (c p q)",
            p=self.side,
            q=self.side,
        )
        y: Tensor = self.linear(x).float()
        return y.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Step:
    """An attention step of either family, the linear layer after it merged into `proj`."""

    spec: StepSpec
    norm: nn.LayerNorm
    attn: SelfAttention
    proj: nn.Linear


class FusedBlock(nn.Module):
    """Attention steps and MLP of a block."""

    def __init__(self, block: nn.Module, kinds: _Kinds) -> None:
        super().__init__()
        self.steps = nn.ModuleList(FusedStep(step, kinds) for step in _steps_of(block))
        self.parallel = isinstance(block, Block) and block.parallel
        self.mlp = FusedMLP(block, kinds)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """x: [T, B, 1 + P, D]. Returns the same shape."""
        given = x
        for step in self.steps:
            x = step(given if self.parallel else x, x, grid)
        return apply_in_chunks(self.mlp, x.flatten(0, 1)).view_as(x)


class FusedMLP(nn.Module):
    """Norm and MLP with the residual sum."""

    def __init__(self, block: nn.Module, kinds: _Kinds) -> None:
        super().__init__()
        assert isinstance(block, Block | FrameBlock)
        self.norm = kinds.norm(block.norm if isinstance(block, Block) else block.mlp_norm)
        first, _, last = block.mlp
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        self.first, self.last = kinds.linear(first, first, gelu=True), kinds.linear(last, last)

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., D]. Returns the same shape."""
        y: Tensor = self.last(self.first(self.norm(x)), add=x)
        return y


class FusedStep(nn.Module):
    """Norm, attention among the tokens of a group, and the residual sum."""

    def __init__(self, step: _Step, kinds: _Kinds) -> None:
        super().__init__()
        self.spec, self.heads, self.norm = step.spec, step.attn.heads, kinds.norm(step.norm)
        self.scale = LOG2_E * (step.attn.qkv.in_features // self.heads) ** -0.5
        qkv = step.attn.qkv
        if kinds.pack or kinds.int8:
            qkv, self.scale = _scale_queries(qkv, self.scale), 1.0
        self.qkv = kinds.linear(qkv, step.attn.qkv)
        self.proj = kinds.linear(step.proj, step.attn.proj)

    def forward(self, given: Tensor, x: Tensor, grid: Grid) -> Tensor:
        """x: [T, B, 1 + P, D]. Returns x with the change that `given`, of the same shape and mostly
        x itself, brings."""
        if given is x and self.spec == SPACE:
            return self._add_within_frames(x)
        if given is x and self.spec == TIME:
            return self._add_within_tubes(x)
        cls, patches = _split(given, grid)
        rows = self.spec.rows(cls, patches)
        changes = apply_in_chunks(lambda rows: self._attend(rows, attend_rows, None), rows)
        to_cls, to_patches = self.spec.restore(changes, cls, patches)
        y = x.clone()
        y[:, :, 0] += to_cls
        y[:, :, 1:] += rearrange(to_patches, "b t h w d -> t b (h w) d")
        return y

    def _add_within_frames(self, x: Tensor) -> Tensor:
        y = apply_in_chunks(lambda r: self._attend(r, attend_rows, r), x.flatten(0, 1)).view_as(x)
        if len(y) > 1:
            y[:, :, 0] = y[:, :, 0].mean(0)
        return y

    def _add_within_tubes(self, x: Tensor) -> Tensor:
        def run(rows: Tensor) -> Tensor:
            tubes = rows.transpose(0, 1).contiguous()
            return self._attend(tubes, attend_tubes, tubes).transpose(0, 1)

        # One chunk, the usual case, is never copied: transposed twice, its layout is that of x.
        rows = apply_in_chunks(run, x.flatten(1, 2).transpose(0, 1))
        y = rows.transpose(0, 1).reshape(x.shape)
        y[:, :, 0] = x[:, :, 0]
        return y

    def _attend(self, x: Tensor, attend: Attend, add: Tensor | None) -> Tensor:
        y: Tensor = self.proj(attend(self.qkv(self.norm(x)), self.heads, self.scale), add=add)
        return y


def _scale_queries(qkv: nn.Linear, scale: float) -> nn.Linear:
    """The same layer with queries times `scale`."""
    factors = torch.ones_like(qkv.bias)
    factors[: len(factors) // 3] = scale
    return make_linear(qkv.weight * factors[:, None], qkv.bias * factors)


class LastBlock(nn.Module):
    """A block that computes the class token only."""

    def __init__(self, block: nn.Module, kinds: _Kinds) -> None:
        super().__init__()
        steps = _steps_of(block)
        # In sequence, only the last step writes nothing that is used but the class token.
        one = 0 if isinstance(block, Block) and block.parallel else len(steps) - 1
        assert all(step.spec.cls for step in steps[one:]), "without the class token"
        self.first = nn.ModuleList(FusedStep(step, kinds) for step in steps[:one])
        self.specs = [step.spec for step in steps[one:]]
        self.last = nn.ModuleList(
            OneQuery(kinds.norm(s.norm), s.attn.qkv, s.proj, s.attn.heads, kinds.dtype)
            for s in steps[one:]
        )
        self.mlp = FusedMLP(block, kinds)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """x: [T, B, 1 + P, D]. Returns the class token [B, D]."""
        for step in self.first:
            x = step(x, x, grid)
        cls, patches = _split(x, grid)
        changes = torch.zeros_like(cls)
        for spec, attend in zip(self.specs, self.last, strict=True):
            if spec == SPACE:
                y = apply_in_chunks(attend, x.flatten(0, 1))
                changes += reduce(y, "(t b) d -> b d", "mean", b=len(cls))
            else:
                y = apply_in_chunks(attend, spec.rows(cls, patches))
                changes += reduce(y, "(b c) d -> b d", "mean", b=len(cls))
        out: Tensor = self.mlp(cls + changes)
        return out


def _split(x: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Class token [B, D] and patches [B, T, h, w, D] of x [T, B, 1 + P, D]."""
    return x[0, :, 0], rearrange(x[:, :, 1:], "t b (h w) d -> b t h w d", h=grid[0])


def _copy_structure(model: TimeSformer | Stam) -> TimeSformer | Stam:
    """A second model that shares the weights, to be modified."""
    with torch.device("meta"):
        config = model.config
        twin = Stam(config) if isinstance(config, StamConfig) else TimeSformer(config)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval().requires_grad_(False)


def _steps_of(block: nn.Module) -> list[_Step]:
    if isinstance(block, FrameBlock):
        return [_Step(SPACE, block.attn_norm, block.attn, block.attn.proj)]
    assert isinstance(block, Block)
    steps = [step for step in block.steps.values() if isinstance(step, AttentionStep)]
    return [_Step(step.spec, step.norm, step.attn, _merge_projections(step)) for step in steps]


def _merge_projections(step: AttentionStep) -> nn.Linear:
    """The projection of a step together with the linear layer after it, if there is one."""
    proj, out = step.attn.proj, step.out
    if not isinstance(out, nn.Linear):
        return proj
    return make_linear(out.weight @ proj.weight, F.linear(proj.bias, out.weight, out.bias))

"""The tensor names of a TimeSformer in each family of checkpoints, as tables.

Tensors of ours, the official code, Hugging Face and mmaction2 have the same shapes and values; only
the embeddings are cut differently. Importing and exporting are therefore exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vidattn.config import TimeSformerConfig
from vidattn.errors import WeightsError


class TensorNames(NamedTuple):
    """One tensor, or a weight and a bias, under the names of the four families.

    `.{p}` (weight or bias) is appended to names without `{p}`, except in EMBED.
    """

    ours: str
    official: str
    hf: str
    mmaction2: str


def _parse_rows(table: str) -> tuple[TensorNames, ...]:
    return tuple(TensorNames(*line.split()) for line in table.strip().splitlines())


# The foreign cut, [1, 1, D], [1, N + 1, D] and [1, T, D]; see `unpack`.
EMBED = _parse_rows("""
    cls_token   cls_token   embeddings.cls_token            cls_token
    pos_embed   pos_embed   embeddings.position_embeddings  pos_embed
    time_embed  time_embed  embeddings.time_embeddings      time_embed
""")
PATCH, NORM, HEAD = _parse_rows("""
    patch  patch_embed.proj  embeddings.patch_embeddings.projection  patch_embed.projection
    norm   norm              layernorm                               norm
    head   head              classifier                              cls_head.fc_cls
""")
# In divided blocks only.
TIME = _parse_rows("""
    steps.time.norm       temporal_norm1      temporal_layernorm                attentions.0.norm
    steps.time.attn.qkv   temporal_attn.qkv   temporal_attention.attention.qkv  attentions.0.attn.in_proj_{p}
    steps.time.attn.proj  temporal_attn.proj  temporal_attention.output.dense   attentions.0.attn.out_proj
    steps.time.out        temporal_fc         temporal_dense                    attentions.0.temporal_fc
""")  # noqa: E501
BLOCK = _parse_rows("""
    steps.space.norm       norm1      layernorm_before         attentions.1.norm
    steps.space.attn.qkv   attn.qkv   attention.attention.qkv  attentions.1.attn.in_proj_{p}
    steps.space.attn.proj  attn.proj  attention.output.dense   attentions.1.attn.out_proj
    norm                   norm2      layernorm_after          ffns.0.norm
    mlp.0                  mlp.fc1    intermediate.dense       ffns.0.layers.0.0
    mlp.2                  mlp.fc2    output.dense             ffns.0.layers.1
""")
SINGLE = {  # mmaction2's names in blocks with one attention step
    "attentions.1.norm": "norms.0",
    "attentions.1.attn.in_proj_{p}": "attentions.0.attn.in_proj_{p}",
    "attentions.1.attn.out_proj": "attentions.0.attn.out_proj",
    "ffns.0.norm": "norms.1",
}

BACKBONE = {"ours": "", "official": "", "hf": "timesformer.", "mmaction2": "backbone."}
BLOCKS = {
    "ours": "blocks",
    "official": "blocks",
    "hf": "timesformer.encoder.layer",
    "mmaction2": "backbone.transformer_layers.layers",
}
LAYOUTS = ("official", "hf", "mmaction2")
ATTENTION_TYPES = {
    "divided": "divided_space_time",
    "joint": "joint_space_time",
    "space": "space_only",
}
"""The attention schemes of the foreign families, and their names for them."""


def key_table(layout: str, config: TimeSformerConfig) -> dict[str, str]:
    """The names of one model: {name in `layout`: our name}, the embeddings in the foreign cut."""
    if config.attention not in ATTENTION_TYPES:
        raise WeightsError(f"the {layout} layout has no names for {config.attention} attention")
    if (config.positions, config.order) != ("space-time", "time-space"):
        other = f"positions {config.positions} and order {config.order}"
        raise WeightsError(f"the {layout} layout has no names for {other}")
    theirs, ours = _names(layout, config), _names("ours", config)
    return dict(zip(theirs, ours, strict=True))


def _names(family: str, config: TimeSformerConfig) -> list[str]:
    prefix = BACKBONE[family]
    result = [prefix + str(getattr(row, family)) for row in EMBED]
    if config.attention == "space":
        del result[2]
    for row in (PATCH, NORM):
        result += _pair(prefix + getattr(row, family))
    for i in range(config.depth):
        for row in (*TIME, *BLOCK) if config.attention == "divided" else BLOCK:
            result += _pair(f"{BLOCKS[family]}.{i}." + _in_block(row, family, config.attention))
    return result + _pair(getattr(HEAD, family))


def _pair(name: str) -> list[str]:
    template = name if "{p}" in name else name + ".{p}"
    return [template.format(p=p) for p in ("weight", "bias")]


def _in_block(row: TensorNames, family: str, attention: str) -> str:
    name: str = getattr(row, family)
    if family == "mmaction2" and attention != "divided":
        return SINGLE.get(name, name)
    if family == "ours" and attention == "joint":
        return name.replace("steps.space", "steps.joint")
    return name


def recognize(state: Mapping[str, object]) -> str | None:
    """The layout of a state dict, out of LAYOUTS, by its keys; None for any other."""
    if "aggregate.cls_token" in state:  # STAM, whose spatial part has the official names
        return None
    for layout in LAYOUTS:
        if all(key in state for key in _marks(layout).values()):
            return layout
    return None


def add_head(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
    """A backbone without a head as a model of one class, and its layout; None for anything else."""
    named = {"timesformer." * (key[:7] in ("embeddi", "encoder", "layerno")) + key: state[key]
             for key in state}  # fmt: skip
    for layout in LAYOUTS:
        marks = _marks(layout)
        head, width = (
            marks.pop("head"),
            named.get(_pair(BACKBONE[layout] + getattr(NORM, layout))[0]),
        )
        if head not in named and width is not None and all(key in named for key in marks.values()):
            weight, bias = torch.zeros(1, len(width)), torch.zeros(1)
            return {**named, head: weight, head.replace("weight", "bias"): bias}, layout
    return None


def _marks(layout: str) -> dict[str, str]:
    """The names of the tensors whose shapes determine the shape of the model."""
    prefix = BACKBONE[layout]
    return {
        "pos": prefix + getattr(EMBED[1], layout),
        "patch": _pair(prefix + getattr(PATCH, layout))[0],
        "head": _pair(getattr(HEAD, layout))[0],
        "hidden": _pair(f"{BLOCKS[layout]}.0." + getattr(BLOCK[4], layout))[0],
    }


def infer_config(
    state: Mapping[str, Tensor], layout: str, heads: int | None = None
) -> TimeSformerConfig:
    """The shape of the model of a state dict in `layout`. Raises WeightsError.

    heads: by default one per 64 channels, because tensor shapes do not tell.
    """
    pos, patch, head, hidden = (state[key] for key in _marks(layout).values())
    time = state.get(BACKBONE[layout] + getattr(EMBED[2], layout))
    shapes = [t.ndim for t in (pos, patch, head, hidden)]
    if shapes != [3, 4, 2, 2] or not (time is None or time.ndim == 3) or 0 in patch.shape:
        raise WeightsError("the shapes of its embeddings, first MLP or head fit no TimeSformer")
    patches = pos.shape[1] - 1
    side = math.isqrt(max(patches, 0))
    if side * side != patches or side == 0:
        raise WeightsError(f"its position embedding is for {patches} patches, not a square number")
    block = re.compile(re.escape(BLOCKS[layout]) + r"\.(\d+)\.")
    extra = f"{BLOCKS[layout]}.0.{getattr(TIME[3], layout)}.weight"
    width, size = patch.shape[0], patch.shape[-1]
    return TimeSformerConfig(
        attention="space" if time is None else "divided" if extra in state else "joint",
        classes=head.shape[0],
        frames=8 if time is None else time.shape[1],
        size=side * size,
        patch=size,
        width=width,
        depth=len({m[1] for key in state if (m := block.match(key))}),
        heads=heads or max(width // 64, 1),
        mlp_ratio=hidden.shape[0] / width,
    )


def to_ours(
    state: Mapping[str, Tensor], layout: str, config: TimeSformerConfig
) -> dict[str, Tensor]:
    """Rename a complete foreign state dict to ours, exactly. Raises KeyError for unknown names."""
    table = key_table(layout, config)
    return unpack({table[k]: v for k, v in state.items()}, config)


def from_ours(
    state: Mapping[str, Tensor], layout: str, config: TimeSformerConfig
) -> dict[str, Tensor]:
    """The inverse of `to_ours`."""
    packed = pack(state)
    return {theirs: packed[ours] for theirs, ours in key_table(layout, config).items()}


def unpack(state: Mapping[str, Tensor], config: TimeSformerConfig) -> dict[str, Tensor]:
    """Cut cls_token [1, 1, D], pos_embed [1, N + 1, D] and time_embed [1, T, D] as we do."""
    ours = {k: v for k, v in state.items() if k not in ("cls_token", "pos_embed", "time_embed")}
    side, embed = config.size // config.patch, (state["cls_token"], state["pos_embed"])
    ours["cls"], ours["cls_pos"], ours["pos"] = cut_rows(*embed, (side, side, -1))
    if "time_embed" in state:
        ours["time"] = state["time_embed"][0]
    return ours


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `unpack`."""
    theirs = {k: v for k, v in state.items() if k not in ("cls", "cls_pos", "pos", "time")}
    embed = join_rows(state["cls"], state["cls_pos"], state["pos"])
    theirs["cls_token"], theirs["pos_embed"] = embed
    if "time" in state:
        theirs["time_embed"] = state["time"][None]
    return theirs


def cut_rows(cls: Tensor, pos: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """A class token [1, 1, D] and positions [1, N + 1, D] as [D], [D], and N positions in shape."""
    return cls[0, 0], pos[0, 0], pos[0, 1:].reshape(*shape)


def join_rows(cls: Tensor, first: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `cut_rows`.

    On the meta device, torch.cat would load a compiler: 1.5 s and 180 MB.
    """
    rest = rest.flatten(0, -2)
    rows = rest.new_empty(1, 1 + len(rest), rest.shape[1])
    rows[0, 0], rows[0, 1:] = first, rest
    return cls[None, None], rows

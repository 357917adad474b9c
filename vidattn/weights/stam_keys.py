"""Official STAM checkpoints: recognized, renamed, and loaded with the format of their clips."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vidattn.config import ClipConfig, StamConfig
from vidattn.errors import RecipeError
from vidattn.models.stam import Stam
from vidattn.weights import safetensors_file
from vidattn.weights.key_maps import prepend_row

# ours, theirs
TOP = (
    ("patch", "patch_embed.proj"),
    ("norm", "norm"),
    ("over_time.norm", "aggregate.transformer_enc.norm"),
    ("head", "head"),
)
BLOCK = (
    ("attn_norm", "norm1"),
    ("attn.qkv", "attn.qkv"),
    ("attn.proj", "attn.proj"),
    ("mlp_norm", "norm2"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.2", "mlp.fc2"),
)
LAYER = ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")
EMBED = ("cls_token", "pos_embed", "aggregate.cls_token", "aggregate.pos_embed")


def is_stam(state: Mapping[str, object]) -> bool:
    """Whether a state dict has STAM's keys."""
    return {"aggregate.cls_token", "patch_embed.proj.weight"} <= state.keys()


def key_table(config: StamConfig) -> dict[str, str]:
    """{official name: our name}, the embeddings in the foreign cut."""
    pairs = list(TOP)
    for i in range(config.depth):
        pairs += [(f"blocks.{i}.{ours}", f"blocks.{i}.{theirs}") for ours, theirs in BLOCK]
    layers = [f"layers.{i}." for i in range(config.time_depth)]
    pairs += [
        (f"over_time.{x}{n}", f"aggregate.transformer_enc.{x}{n}") for x in layers for n in LAYER
    ]
    table = {f"{theirs}.{p}": f"{ours}.{p}" for ours, theirs in pairs for p in ("weight", "bias")}
    for x in layers:
        for p in ("in_proj_weight", "in_proj_bias"):
            table[f"aggregate.transformer_enc.{x}self_attn.{p}"] = f"over_time.{x}self_attn.{p}"
    return table | {name: name for name in EMBED}


def infer_config(state: Mapping[str, Tensor], path: Path) -> StamConfig:
    """The shape of the model of a state dict. Raises WeightsError for `path`."""
    marks = ("patch_embed.proj.weight", "pos_embed", "aggregate.pos_embed", "head.weight")
    first = ("blocks.0.mlp.fc1.weight", "aggregate.transformer_enc.layers.0.linear1.weight")
    missing = [key for key in (*marks, *first) if key not in state]
    if missing:
        safetensors_file.refuse(path, f"a STAM checkpoint without {missing[0]}")
    patch, pos, time, head, hidden, time_hidden = (state[key] for key in (*marks, *first))
    if [t.ndim for t in (patch, pos, time, head, hidden, time_hidden)] != [4, 3, 3, 2, 2, 2]:
        safetensors_file.refuse(path, "the shapes of its embeddings, layers or head fit no STAM")
    side = math.isqrt(max(pos.shape[1] - 1, 0))
    if side * side != pos.shape[1] - 1 or 0 in patch.shape:
        patches = f"{pos.shape[1] - 1} patches, not a square number"
        safetensors_file.refuse(path, f"its position embedding is for {patches}")
    try:
        return StamConfig(
            classes=head.shape[0],
            frames=time.shape[1] - 1,
            size=side * patch.shape[-1],
            patch=patch.shape[-1],
            width=patch.shape[0],
            depth=_count(state, r"blocks\.(\d+)\."),
            heads=max(patch.shape[0] // 64, 1),
            mlp_ratio=hidden.shape[0] / patch.shape[0],
            time_depth=_count(state, r"aggregate\.transformer_enc\.layers\.(\d+)\."),
            time_hidden=time_hidden.shape[0],
        )
    except RecipeError as error:
        safetensors_file.refuse(path, error.message, error)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({m[1] for key in state if (m := re.match(pattern, key))})


def build_stam(state: Mapping[str, Tensor], path: Path, config: StamConfig | None = None) -> Stam:
    """The model of an official state dict; errors list differences under the names in the file.

    config: by default inferred from the tensors.
    """
    config = config or infer_config(state, path)
    with torch.device("meta"):
        expected = to_official(Stam(config).state_dict(), config)
    # The first release had no bias here, which equals a bias of zero.
    biases = {k for k in expected if re.fullmatch(r"blocks\.\d+\.attn\.qkv\.bias", k)}
    if not biases & state.keys():
        state = {**state, **{k: torch.zeros(expected[k].shape) for k in biases}}
    safetensors_file.require_same_keys(expected, state, str(path))
    model = safetensors_file.build_model(config, to_ours(state, config), str(path))
    assert isinstance(model, Stam)
    return model


def published_clip(config: StamConfig) -> ClipConfig:
    """Frames spread over ten seconds, short side 8/7 of the crop, pixels in [0, 1] unchanged."""
    return ClipConfig(
        frames=config.frames,
        step_seconds=10 / config.frames,
        short_side=int(config.size / 0.875),
        crop=config.size,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        train_sampling="bins",
    )


def to_ours(state: Mapping[str, Tensor], config: StamConfig) -> dict[str, Tensor]:
    """Rename a complete official state dict to ours, exactly. Raises KeyError for unknown names."""
    table = key_table(config)
    ours = {table[k]: v for k, v in state.items() if k not in EMBED}
    side = config.size // config.patch
    pos, time = state["pos_embed"][0], state["aggregate.pos_embed"][0]
    ours |= {"cls": state["cls_token"][0, 0], "cls_pos": pos[0]}
    ours |= {"pos": pos[1:].reshape(side, side, -1)}
    ours |= {"time_cls": state["aggregate.cls_token"][0, 0], "time_cls_pos": time[0]}
    return ours | {"time": time[1:]}


def to_official(state: Mapping[str, Tensor], config: StamConfig) -> dict[str, Tensor]:
    """The inverse of `to_ours`."""
    theirs = {k: state[v] for k, v in key_table(config).items() if k not in EMBED}
    pos = prepend_row(state["cls_pos"], state["pos"].flatten(0, 1))
    time = prepend_row(state["time_cls_pos"], state["time"])
    return theirs | {
        "cls_token": state["cls"][None, None],
        "pos_embed": pos[None],
        "aggregate.cls_token": state["time_cls"][None, None],
        "aggregate.pos_embed": time[None],
    }

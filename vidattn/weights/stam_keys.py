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
from vidattn.weights.conv_keys import Layout
from vidattn.weights.key_maps import cut_rows, join_rows

LAYOUT = Layout(
    (
        ("patch", "patch_embed.proj"),
        (r"(norm|head)", "{0}"),
        (r"(blocks\.\d+)\.attn_norm", "{0}.norm1"),
        (r"(blocks\.\d+\.attn\..+)", "{0}"),
        (r"(blocks\.\d+)\.mlp_norm", "{0}.norm2"),
        (r"(blocks\.\d+)\.mlp\.0", "{0}.mlp.fc1"),
        (r"(blocks\.\d+)\.mlp\.2", "{0}.mlp.fc2"),
        (r"over_time\.(.+)", "aggregate.transformer_enc.{0}"),
    )
)
"""All but the embeddings, which are cut differently."""
EMBED = (
    (("cls", "cls_pos", "pos"), ("cls_token", "pos_embed")),
    (("time_cls", "time_cls_pos", "time"), ("aggregate.cls_token", "aggregate.pos_embed")),
)
"""Ours, theirs."""
CUT = {name for ours, _ in EMBED for name in ours}


def is_stam(state: Mapping[str, object]) -> bool:
    """Whether a state dict has STAM's keys."""
    return {"aggregate.cls_token", "patch_embed.proj.weight"} <= state.keys()


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
        ours = Stam(config).state_dict()
    expected = to_official(ours)
    # The first release had no bias here, which equals a bias of zero.
    biases = {k for k in expected if re.fullmatch(r"blocks\.\d+\.attn\.qkv\.bias", k)}
    if not biases & state.keys():
        state = {**state, **{k: torch.zeros(expected[k].shape) for k in biases}}
    safetensors_file.require_same_keys(expected, state, str(path))
    model = safetensors_file.build_model(config, to_ours(state, ours), str(path))
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


def to_ours(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a complete official state dict to ours, exactly. expected: ours, for its shapes."""
    named = LAYOUT.to_ours(state, {k: v for k, v in expected.items() if k not in CUT})
    for ours, (cls, pos) in EMBED:
        rows = cut_rows(state[cls], state[pos], expected[ours[-1]].shape)
        named |= zip(ours, rows, strict=True)
    return named


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `to_ours`."""
    named = LAYOUT.from_ours({k: v for k, v in state.items() if k not in CUT})
    for ours, theirs in EMBED:
        named |= zip(theirs, join_rows(*(state[name] for name in ours)), strict=True)
    return named

"""The tensor names of transformers in each family of checkpoints, as tables.

Tensors of ours, the official codes, Hugging Face and mmaction2 have the same shapes and values;
only the embeddings are cut differently. Importing and exporting are therefore exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.errors import RecipeError, WeightsError
from vidattn.models.stam import Stam
from vidattn.weights.key_layouts import Layout, layers
from vidattn.weights.safetensors_file import build_model, refuse, require_same_keys

EMBED = (("cls", "cls_pos", "pos"), ("time_cls", "time_cls_pos", "time"))
"""Ours: a class token [D], its position [D], and those of the tokens [..., D]; of patches, and of
frames in a STAM."""


@dataclass(frozen=True)
class TransformerLayout(Layout):
    """The names of one code base, where class tokens are [1, 1, D] and positions [1, 1 + N, D]."""

    embed: tuple[tuple[str, str], ...] = (("cls_token", "pos_embed"),)
    """Class token and positions, for as many rows of EMBED."""
    time: str = ""
    """Times [1, T, D] of a TimeSformer, which have no class token."""

    def from_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Layout. On the meta device, torch.cat would load a compiler: 1.5 s and 180 MB."""
        theirs = dict[str, Tensor]()
        for ours, (cls, pos) in zip(EMBED[: len(self.embed)], self.embed, strict=True):
            rest = state[ours[2]].flatten(0, -2)
            rows = rest.new_empty(1, 1 + len(rest), rest.shape[1])
            rows[0, 0], rows[0, 1:] = state[ours[1]], rest
            theirs |= {cls: state[ours[0]][None, None], pos: rows}
        if self.time and "time" in state:
            theirs[self.time] = state["time"][None]
        return theirs | super().from_ours(_without_embeddings(state))

    def to_ours(
        self, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """See Layout."""
        ours = super().to_ours(state, _without_embeddings(expected))
        for names, (cls, pos) in zip(EMBED[: len(self.embed)], self.embed, strict=True):
            rest = state[pos][0, 1:].reshape(expected[names[2]].shape)
            ours |= zip(names, (state[cls][0, 0], state[pos][0, 0], rest), strict=True)
        if self.time and "time" in expected:
            ours["time"] = state[self.time][0]
        return ours


def _without_embeddings(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {name for row in EMBED for name in row}
    return {name: tensor for name, tensor in state.items() if name not in names}


def _make_layout(
    prefix: str, blocks: str, block: str, ends: str, embed: tuple[str, str, str]
) -> TransformerLayout:
    """block: the layers of a block; ends: patch, norm and head; ours and theirs, alternating."""
    cls, pos, time = (prefix + name for name in embed)
    joint = block.replace("steps.space", "steps.joint")
    words = ends.split()
    rules = tuple(zip(words[::2], words[1::2], strict=True))
    block_rules = layers(r"blocks\.(\d+)", f"{prefix}{blocks}.{{0}}", block + joint)
    return TransformerLayout((*rules, *block_rules), embed=((cls, pos),), time=time)


OFFICIAL = _make_layout(
    "",
    "blocks",
    """
    steps.time.norm temporal_norm1  steps.time.attn.qkv temporal_attn.qkv
    steps.time.attn.proj temporal_attn.proj  steps.time.out temporal_fc
    steps.space.norm norm1  steps.space.attn.qkv attn.qkv  steps.space.attn.proj attn.proj
    norm norm2  mlp.0 mlp.fc1  mlp.2 mlp.fc2
    """,
    "patch patch_embed.proj  norm norm  head head",
    ("cls_token", "pos_embed", "time_embed"),
)
HF = _make_layout(
    "timesformer.",
    "encoder.layer",
    """
    steps.time.norm temporal_layernorm  steps.time.attn.qkv temporal_attention.attention.qkv
    steps.time.attn.proj temporal_attention.output.dense  steps.time.out temporal_dense
    steps.space.norm layernorm_before  steps.space.attn.qkv attention.attention.qkv
    steps.space.attn.proj attention.output.dense
    norm layernorm_after  mlp.0 intermediate.dense  mlp.2 output.dense
    """,
    """
    patch timesformer.embeddings.patch_embeddings.projection  norm timesformer.layernorm
    head classifier
    """,
    ("embeddings.cls_token", "embeddings.position_embeddings", "embeddings.time_embeddings"),
)
MMACTION = (
    "patch backbone.patch_embed.projection  norm backbone.norm  head cls_head.fc_cls",
    ("cls_token", "pos_embed", "time_embed"),
)
MMACTION_DIVIDED = _make_layout(
    "backbone.",
    "transformer_layers.layers",
    """
    steps.time.norm attentions.0.norm  steps.time.attn.qkv attentions.0.attn.in_proj_
    steps.time.attn.proj attentions.0.attn.out_proj  steps.time.out attentions.0.temporal_fc
    steps.space.norm attentions.1.norm  steps.space.attn.qkv attentions.1.attn.in_proj_
    steps.space.attn.proj attentions.1.attn.out_proj
    norm ffns.0.norm  mlp.0 ffns.0.layers.0.0  mlp.2 ffns.0.layers.1
    """,
    *MMACTION,
)
MMACTION_SINGLE = _make_layout(
    "backbone.",
    "transformer_layers.layers",
    """
    steps.space.norm norms.0  steps.space.attn.qkv attentions.0.attn.in_proj_
    steps.space.attn.proj attentions.0.attn.out_proj
    norm norms.1  mlp.0 ffns.0.layers.0.0  mlp.2 ffns.0.layers.1
    """,
    *MMACTION,
)
LAYOUTS = {
    "official": (OFFICIAL, OFFICIAL),
    "hf": (HF, HF),
    "mmaction2": (MMACTION_DIVIDED, MMACTION_SINGLE),
}
"""The names of a TimeSformer of divided attention, and of one with a single step in a block."""
STAM = TransformerLayout(
    (
        ("patch", "patch_embed.proj"),
        (r"(norm|head)", "{0}"),
        (r"(blocks\.\d+)\.attn_norm", "{0}.norm1"),
        (r"(blocks\.\d+\.attn\..+)", "{0}"),
        (r"(blocks\.\d+)\.mlp_norm", "{0}.norm2"),
        (r"(blocks\.\d+)\.mlp\.0", "{0}.mlp.fc1"),
        (r"(blocks\.\d+)\.mlp\.2", "{0}.mlp.fc2"),
        (r"over_time\.(.+)", "aggregate.transformer_enc.{0}"),
    ),
    embed=(("cls_token", "pos_embed"), ("aggregate.cls_token", "aggregate.pos_embed")),
)
ATTENTION_TYPES = {
    "divided": "divided_space_time",
    "joint": "joint_space_time",
    "space": "space_only",
}
"""The attention schemes of the foreign families, and their names for them."""


def from_ours(
    state: Mapping[str, Tensor], layout: str, config: TimeSformerConfig
) -> dict[str, Tensor]:
    """The tensors of a TimeSformer under the names of a layout. Raises WeightsError for a model
    that it has no names for."""
    other = f"{config.attention} attention" if config.attention not in ATTENTION_TYPES else ""
    if not other and (config.positions, config.order) != ("space-time", "time-space"):
        other = f"positions {config.positions} and order {config.order}"
    if other:
        raise WeightsError(f"the {layout} layout has no names for {other}")
    return LAYOUTS[layout][config.attention != "divided"].from_ours(state)


def to_ours(
    state: Mapping[str, Tensor], layout: str, expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The inverse of `from_ours`, exactly. expected: the tensors of our model, for their shapes.
    Raises KeyError for names that are missing."""
    divided = any(".steps.time." in name for name in expected)
    return LAYOUTS[layout][not divided].to_ours(state, expected)


def recognize(state: Mapping[str, object]) -> str | None:
    """The layout of a state dict by its keys, out of LAYOUTS, or "stam"; None for any other."""
    if "aggregate.cls_token" in state:  # its spatial part has the official names
        return "stam" if "patch_embed.proj.weight" in state else None
    for layout in LAYOUTS:
        if all(key in state for key in _marks(layout).values()):
            return layout
    return None


def add_head(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
    """A backbone without a head as a model of one class, and its layout; None for anything else."""
    named = {"timesformer." * (key[:7] in ("embeddi", "encoder", "layerno")) + key: state[key]
             for key in state}  # fmt: skip
    for layout, (names, _) in LAYOUTS.items():
        marks = _marks(layout)
        head, norm = marks.pop("head"), names.find("norm.weight")[0]
        if head not in named and norm in named and all(key in named for key in marks.values()):
            weight, bias = torch.zeros(1, len(named[norm])), torch.zeros(1)
            return {**named, head: weight, head.replace("weight", "bias"): bias}, layout
    return None


def _marks(layout: str) -> dict[str, str]:
    """The names of the tensors whose shapes determine the shape of the model."""
    names, _ = LAYOUTS[layout]
    ours = {"patch": "patch.weight", "head": "head.weight", "hidden": "blocks.0.mlp.0.weight"}
    return {"pos": names.embed[0][1], **{key: names.find(name)[0] for key, name in ours.items()}}


def infer_config(
    state: Mapping[str, Tensor], layout: str, heads: int | None = None
) -> TimeSformerConfig:
    """The shape of the TimeSformer of a state dict in `layout`. Raises WeightsError.

    heads: by default one per 64 channels, because tensor shapes do not tell.
    """
    names, marks = LAYOUTS[layout][0], _marks(layout)
    pos, patch, head, hidden = (state[key] for key in marks.values())
    time = state.get(names.time)
    shapes = [t.ndim for t in (pos, patch, head, hidden)]
    if shapes != [3, 4, 2, 2] or not (time is None or time.ndim == 3) or 0 in patch.shape:
        raise WeightsError("the shapes of its embeddings, first MLP or head fit no TimeSformer")
    blocks = re.escape(marks["hidden"].partition(".0.")[0])
    extra = names.find("blocks.0.steps.time.out.weight")[0]
    width, size = patch.shape[0], patch.shape[-1]
    return TimeSformerConfig(
        attention="space" if time is None else "divided" if extra in state else "joint",
        classes=head.shape[0],
        frames=8 if time is None else time.shape[1],
        size=_side_of(pos) * size,
        patch=size,
        width=width,
        depth=_count(state, rf"{blocks}\.(\d+)\."),
        heads=heads or max(width // 64, 1),
        mlp_ratio=hidden.shape[0] / width,
    )


def _side_of(pos: Tensor) -> int:
    """Patches in a row of an image, from positions [1, 1 + N, D]. Raises WeightsError."""
    patches = pos.shape[1] - 1
    side = math.isqrt(max(patches, 0))
    if side * side != patches or side == 0:
        raise WeightsError(f"its position embedding is for {patches} patches, not a square number")
    return side


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({m[1] for key in state if (m := re.match(pattern, key))})


def infer_stam_config(state: Mapping[str, Tensor], path: Path) -> StamConfig:
    """The shape of the STAM of a state dict. Raises WeightsError for `path`."""
    marks = ("patch_embed.proj.weight", "pos_embed", "aggregate.pos_embed", "head.weight")
    first = ("blocks.0.mlp.fc1.weight", "aggregate.transformer_enc.layers.0.linear1.weight")
    missing = [key for key in (*marks, *first) if key not in state]
    if missing:
        refuse(path, f"a STAM checkpoint without {missing[0]}")
    patch, pos, time, head, hidden, time_hidden = (state[key] for key in (*marks, *first))
    shapes = [t.ndim for t in (patch, pos, time, head, hidden, time_hidden)]
    if shapes != [4, 3, 3, 2, 2, 2] or 0 in patch.shape:
        refuse(path, "the shapes of its embeddings, layers or head fit no STAM")
    try:
        return StamConfig(
            classes=head.shape[0],
            frames=time.shape[1] - 1,
            size=_side_of(pos) * patch.shape[-1],
            patch=patch.shape[-1],
            width=patch.shape[0],
            depth=_count(state, r"blocks\.(\d+)\."),
            heads=max(patch.shape[0] // 64, 1),
            mlp_ratio=hidden.shape[0] / patch.shape[0],
            time_depth=_count(state, r"aggregate\.transformer_enc\.layers\.(\d+)\."),
            time_hidden=time_hidden.shape[0],
        )
    except (RecipeError, WeightsError) as error:
        refuse(path, error.message, error)


def build_stam(state: Mapping[str, Tensor], path: Path, config: StamConfig | None) -> Stam:
    """The model of an official state dict; errors list differences under the names in the file.

    config: None infers it from the tensors.
    """
    config = config or infer_stam_config(state, path)
    with torch.device("meta"):
        ours = Stam(config).state_dict()
    expected = STAM.from_ours(ours)
    # The first release had no bias here, which equals a bias of zero.
    biases = {k for k in expected if re.fullmatch(r"blocks\.\d+\.attn\.qkv\.bias", k)}
    if not biases & state.keys():
        state = {**state, **{k: torch.zeros(expected[k].shape) for k in biases}}
    require_same_keys(expected, state, str(path))
    model = build_model(config, STAM.to_ours(state, ours), str(path))
    assert isinstance(model, Stam)
    return model


def stam_clip(config: StamConfig) -> ClipConfig:
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

"""Checkpoints of convolutional networks: recognized by their keys, and fed as they were trained.

The shape of a network lies in its tensors. What no file says (frames, their step, the step of the
slow pathway, the size) follows from the variant that it most resembles, and `card.notes` says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidattn.config import (
    Averaging,
    BigLittleConfig,
    ClipConfig,
    Conv2dConfig,
    Conv3dConfig,
    labels,
)
from vidattn.errors import RecipeError
from vidattn.models import conv2d, conv3d
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.classifier import build_model as build_empty
from vidattn.weights.key_layouts import LAYOUTS, Layout
from vidattn.weights.safetensors_file import build_model, refuse, require_same_keys

RGB = tuple[float, float, float]
ConvConfig = Conv3dConfig | Conv2dConfig | BigLittleConfig
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
MMACTION = (123.675 / 255, 116.28 / 255, 103.53 / 255), (58.395 / 255, 57.12 / 255, 57.375 / 255)
SSV2 = 174


@dataclass(frozen=True)
class Source:
    """What the files of one code base have in common."""

    title: str
    license: str
    pixels: tuple[RGB, RGB]
    """Mean and standard deviation of frames in [0, 1]."""
    averaging: Averaging
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the network that differ from the official code's."""


PYSLOWFAST = Source("PySlowFast", "Apache-2.0", GRAY, "probability")
PYTORCHVIDEO = Source("PyTorchVideo", "Apache-2.0", GRAY, "probability", {"readout": "logit"})
MMACTION_POOLED = Source("mmaction2", "Apache-2.0", MMACTION, "probability", {"readout": "pooled"})
SOURCES = {
    "pyslowfast-slowfast": PYSLOWFAST,
    "pyslowfast-x3d": PYSLOWFAST,
    "pyslowfast-i3d": PYSLOWFAST,
    "pytorchvideo-slowfast": PYTORCHVIDEO,
    "pytorchvideo-x3d": PYTORCHVIDEO,
    "pytorchvideo-i3d": PYTORCHVIDEO,
    "mmaction2-slowfast": replace(
        MMACTION_POOLED,
        changes={"readout": "pooled", "lateral_norm": False, "slow_frames": "stepped"},
    ),
    "mmaction2-x3d": replace(MMACTION_POOLED, pixels=GRAY),
    "mmaction2-tsm": replace(MMACTION_POOLED, pixels=IMAGENET, changes={}),
    "mmaction2-i3d": replace(
        MMACTION_POOLED, changes={"readout": "pooled", "stem_step": 2, "frames": 32}
    ),
    "tsm": Source("TSM", "MIT", IMAGENET, "logit"),
    "tsm-nl": Source("TSM", "MIT", IMAGENET, "logit", {"non_local": True}),
    "msnet": Source("MotionSqueeze", "BSD-2-Clause", IMAGENET, "logit"),
    "tea": Source("TEA", "", IMAGENET, "logit"),
    "stm": Source("STM", "", IMAGENET, "logit"),
    "blvnet": Source("bLVNet-TAM", "Apache-2.0", IMAGENET, "logit"),
}
RATES = {
    ("i3d", 8): 8, ("i3d", 32): 2, ("slowfast", 32): 2, ("slowfast", 64): 2,
    ("x3d", 4): 12, ("x3d", 13): 6, ("x3d", 16): 5,
}  # fmt: skip
"""Net and frames of a clip, and their step at 30 fps, in training."""


def recognize(state: Mapping[str, object]) -> str | None:
    """The layout of a state dict, a name in `SOURCES`."""
    return next((name for key, (name, _) in LAYOUTS.items() if key in state), None)


def load_convolutional(state: Mapping[str, Tensor], name: str, path: Path) -> Classifier:
    """The classifier of a state dict in the layout of that name. Raises WeightsError."""
    layout, source = dict(LAYOUTS.values())[name], SOURCES[name]
    model = _build(state, layout, _infer_config(state, name, layout, path), path)
    config = model.config
    names, note = labels.guess_labels(config.classes)
    clip, assumed = _published_clip(config, source)
    card = ModelCard(
        name=path.stem,
        license=source.license,
        source=f"{path.name}, a checkpoint of {source.title}",
        notes=tuple(n for n in (note, assumed) if n),
    )
    return Classifier(model, clip, names, source.averaging, card)


def _build(state: Mapping[str, Tensor], layout: Layout, config: ConvConfig, path: Path) -> Any:
    """The model; errors list differences under the names in the file."""
    with torch.device("meta"):
        empty = build_empty(config).state_dict()
    given = {k: v for k, v in state.items() if not layout.ignores(k)}
    require_same_keys(layout.from_ours(empty), given, str(path))
    return build_model(config, layout.to_ours(given, empty), str(path))


Find = Callable[[str], Tensor]


def _infer_config(state: Mapping[str, Tensor], name: str, layout: Layout, path: Path) -> ConvConfig:
    """The shape of a network from its tensors. Raises WeightsError for `path`."""

    def find(ours: str) -> Tensor:
        theirs = layout.find(ours)[0]
        if theirs not in state:
            refuse(path, f"a checkpoint of {SOURCES[name].title} without {theirs}")
        return state[theirs]

    def count(layer: str) -> int:
        names = (layout.find(layer.format(i))[0] for i in itertools.count())
        return sum(1 for _ in itertools.takewhile(state.__contains__, names))

    family = name.split("-")[-1 if name.count("-") and name != "tsm-nl" else 0]
    infer: dict[str, Callable[..., ConvConfig]] = {
        "i3d": _infer_3d,
        "slowfast": _infer_3d,
        "x3d": _infer_3d,
        "blvnet": _infer_big_little,
    }
    try:
        config: Any = infer.get(family, _infer_2d)(family, find, count)
        classes = find("head.weight").shape[0]
        found: ConvConfig = replace(config, classes=classes, **SOURCES[name].changes)
        return found
    except RecipeError as error:
        refuse(path, error.message, error)


def _by_stage(number: Callable[[int], int]) -> tuple[int, int, int, int]:
    return number(0), number(1), number(2), number(3)


def _infer_3d(net: str, find: Find, count: Callable[[str], int]) -> Conv3dConfig:
    blocks = _by_stage(lambda s: count(f"stages.{s}.0.{{}}.a.conv.weight"))
    part = "c" if net == "x3d" else "a"
    widths = _by_stage(lambda s: find(f"stages.{s}.0.0.{part}.conv.weight").shape[0])
    base = {"i3d": conv3d.I3D, "slowfast": conv3d.SLOWFAST, "x3d": conv3d.X3D}[net]
    changes: dict[str, Any] = {}
    if net == "x3d":
        stem = find("stems.0.space.weight").shape[0]
        changes["size"] = 224 if blocks[0] <= 3 else 312
    else:
        stem = find("stems.0.unit.conv.weight").shape[0]
    if net == "slowfast":
        kernel = find("laterals.0.conv.weight").shape[2]
        deep = blocks[2] > conv3d.SLOWFAST.blocks[2]
        changes["lateral_kernel"], changes["slow_step"] = kernel, 4 if kernel == 7 or deep else 8
        kernels = [find(f"stages.2.0.{i}.a.conv.weight").shape[2] for i in range(blocks[2])]
        temporal = sum(k > 1 for k in kernels)
        changes["temporal_blocks"] = temporal if temporal < blocks[2] else 0
    return replace(base, stem=stem, widths=widths, blocks=blocks, **changes)


def _infer_2d(net: str, find: Find, count: Callable[[str], int]) -> Conv2dConfig:
    blocks = _by_stage(lambda s: count(f"stages.{s}.{{}}.a.conv.weight"))
    width = find("stem.conv.weight").shape[0]
    variant = conv2d.VARIANTS[f"{net}-r50"]
    return replace(variant, width=width, blocks=blocks)


def _infer_big_little(_: str, find: Find, count: Callable[[str], int]) -> BigLittleConfig:
    last = count("last.{}.block.a.conv.weight")

    def blocks(stage: int) -> int:
        return last if stage == 3 else 1 + count(f"stages.{stage}.big.{{}}.a.conv.weight")

    width = find("stem.conv.conv.weight").shape[0]
    return BigLittleConfig(width=width, blocks=_by_stage(blocks))


def _published_clip(config: ConvConfig, source: Source) -> tuple[ClipConfig, str]:
    """The clips of the published variant of a network, and a note on what is assumed."""
    mean, std = source.pixels
    spread = not isinstance(config, Conv3dConfig) or config.classes == SSV2
    if isinstance(config, Conv3dConfig) and not spread:
        rate = RATES.get((config.net, config.frames), 2)
        step, words = rate / 30, f"one frame in {rate} at 30 fps is"
    else:
        seconds = 4.0 if config.classes == SSV2 else 10.0
        step, words = seconds / config.frames, f"{config.frames} frames spread over a video are"
    clip = ClipConfig(
        frames=config.frames,
        step_seconds=step,
        short_side=round(config.size * 8 / 7),
        crop=config.size,
        mean=mean,
        std=std,
        train_sampling="bins" if spread else "dense",
    )
    return clip, f"{words} assumed: the file does not say"

"""Initial weights for training: from an image model, or from a video model of other classes.

The paper starts from a ViT trained on ImageNet (arXiv:2102.05095, Sec. 4). Its attention goes into
every attention step of a block; the extra linear layers and the time embedding stay zero, so that
at first the model treats each frame like the image model.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidattn.config import DataConfig, ModelConfig, Recipe, TimeSformerConfig
from vidattn.errors import WeightsError
from vidattn.io.files import exists, is_folder
from vidattn.models.classifier import Classifier, Model
from vidattn.models.stam import BackboneStam, Stam
from vidattn.models.timesformer import TimeSformer, resize_time
from vidattn.weights import catalog, convert, download, key_maps, loading, torch_checkpoint
from vidattn.weights.safetensors_file import require_same_keys
from vidattn.weights.snapshot import snapshot_file

Transformer = TimeSformer | Stam
IMAGE_MODELS = {
    "vit-b16-in21k": "timm/vit_base_patch16_224.orig_in21k_ft_in1k",
    "deit-b16-in1k": "timm/deit_base_patch16_224.fb_in1k",
    "vit-b16-miil-in21k": "timm/vit_base_patch16_224_miil.in21k",
}
"""Image models of the papers by name, with the hub ids of their weights (Apache-2.0).

TimeSformer starts from the first two; STAM from the last, whose input is pixels in [0, 1].
"""

SHAPE = ("width", "depth", "patch", "heads", "mlp_ratio")
"""Settings that must agree between a model and its initial weights."""
OVER_TIME = ("time_depth", "time_heads", "time_hidden")
"""Settings that must agree to copy the transformer over time of a STAM."""


def initialize(
    model: Model, recipe: Recipe, named: str | Path | None, labels: tuple[str, ...]
) -> tuple[str, ...]:
    """Set the initial weights of a model; returns their origin, in sentences.

    named: as for `start_from`, with its errors; "none": keep the values of the model; None: use
    `recipe.init`, or, if that is unavailable or of another shape, keep the values and say so. A
    frozen backbone needs it.
    """
    if named == "none" or not (named or recipe.init):
        return ()
    if named:
        return start_from(model, named, labels)
    if isinstance(model, BackboneStam) and recipe.optim.trainable != "full":
        return start_from(model, recipe.init, labels)  # random features, frozen, teach nothing
    fallback = f"starts from random values, not from {recipe.init} as in the recipe: "
    other = _compare(model.config, TimeSformerConfig(), SHAPE)
    if (
        isinstance(model, Transformer)
        and other
        and recipe.init != catalog.BUNDLED
        and not exists(Path(recipe.init))
    ):
        return (f"{fallback}model.{other[0]} differs",)  # without a useless download
    try:
        notes = start_from(model, recipe.init, labels)
    except WeightsError as error:
        return (fallback + error.message,)
    return (f"starts from {recipe.init}", *notes)


@torch.no_grad()
def start_from(model: Model, name_or_path: str | Path, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Copy the weights of another model as far as they fit; returns the exceptions, in sentences.

    name_or_path: anything that `load` takes, a name in IMAGE_MODELS, a hub id of timm, or a file of
    a ViT with the names of timm. labels: the classes of `model`, in order; the head is copied only
    from a model of exactly these classes. Clip length and image size may differ; another width,
    depth, patch or number of heads raises WeightsError. A STAM copies its spatial part from image
    models and TimeSformers, everything from another STAM. One deviation from the official code:
    positions are resized in two dimensions (bicubic), where the official code scrambles them.
    """
    if isinstance(model, BackboneStam) and (path := _find_image_file(str(name_or_path))):
        with snapshot_file(path) as file:
            state = torch_checkpoint.read_state(file)
        if "time_cls" not in state:
            return _copy_backbone(model, state, str(path))
    source, classifier = _load_source(name_or_path)
    same_labels = classifier is not None and classifier.labels == labels
    if not isinstance(model, Transformer) or not isinstance(source, Transformer):
        return _copy_same(model, source, name_or_path, same_labels=same_labels)
    ours, theirs = model.config, source.config
    for name in _compare(ours, theirs, SHAPE):
        raise WeightsError(
            f"{name_or_path}: cannot start a model of {name} {getattr(ours, name)} "
            f"from one of {name} {getattr(theirs, name)}",
            hint="--set model.* must describe the same model except for scheme, clip and classes",
        )
    if isinstance(source, Stam) and not isinstance(model, Stam):
        raise WeightsError(f"{name_or_path}: a STAM cannot start a TimeSformer")
    state, notes = _fit_embeddings(model, source)
    if isinstance(model, Stam):
        state |= _fit_frame_blocks(source)
        notes += _copy_over_time(model, source, state)
    else:
        state |= _fit_blocks(model, source)
    if same_labels:
        state |= {f"head.{k}": v for k, v in source.head.state_dict().items()}
    else:
        notes.append("the head starts from random values: the classes differ")
    model.load_state_dict({**model.state_dict(), **state})
    return tuple(notes)


def _copy_same(
    model: Model, source: Model, name: str | Path, *, same_labels: bool
) -> tuple[str, ...]:
    """Copy a convolutional network of the same shape, but for its head if classes differ."""
    theirs, ours = source.state_dict(), model.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in ours and ours[k].shape == v.shape}
    missing = [k for k in ours.keys() | theirs.keys() if k not in fitting and k[:5] != "head."]
    if missing:
        kinds = f"a {type(source).__name__} cannot start this {type(model).__name__}"
        raise WeightsError(f"{name}: {kinds}: {min(missing)} differs")
    heads = () if same_labels else tuple(k for k in fitting if k.startswith("head."))
    model.load_state_dict({**ours, **{k: v for k, v in fitting.items() if k not in heads}})
    return () if same_labels else ("the head starts from random values: the classes differ",)


def _copy_backbone(model: BackboneStam, state: Mapping[str, Tensor], where: str) -> tuple[str, ...]:
    """Copy an image model of timm but for its head. Raises WeightsError that lists differences."""
    expected = model.backbone.state_dict()
    heads = ("head.", "fc.", "classifier.", "last_linear.")
    found = {k: v for k, v in state.items() if k in expected or not k.startswith(heads)}
    require_same_keys(expected, found, where)
    model.backbone.load_state_dict(found)
    return ("the transformer over time and the head start from random values",)


def _compare(ours: ModelConfig, theirs: ModelConfig, names: Sequence[str]) -> list[str]:
    """The names of the settings that differ."""
    return [n for n in names if getattr(ours, n, None) != getattr(theirs, n, None)]


def _fit_embeddings(model: Transformer, source: Transformer) -> tuple[dict[str, Tensor], list[str]]:
    """Patches, class token, positions, times and final norm, with notes on their resizing."""
    ours, theirs, notes = model.config, source.config, []
    prefixes = ("patch.", "cls", "norm.")
    state = {k: v for k, v in source.state_dict().items() if k.startswith(prefixes)}
    if model.pos is None:
        state.pop("cls_pos", None)
    elif source.pos is not None:
        state["pos"] = _resize_positions(source.pos, model.pos.shape[0])
        if model.pos.shape != source.pos.shape:
            notes.append(f"positions are resized from {theirs.size} to {ours.size} pixels, bicubic")
    if model.time is not None and source.time is not None and type(model) is type(source):
        state["time"] = resize_time(source.time, ours.frames)
        if theirs.frames != ours.frames:
            notes.append(f"times are resized from {theirs.frames} to {ours.frames} frames")
    elif model.time is not None and not isinstance(model, Stam):
        state["time"] = torch.zeros_like(model.time)
    return state, notes


def fit_shape(recipe: Recipe, name_or_path: str | Path) -> Recipe:
    """The recipe with the model and clips of the video model it is to start from.

    Clip sampling stays that of the recipe; the range of short sides scales with the crop. An image
    model has no clips: it changes the shape and image size of the recipe, unless the shape already
    agrees. Raises WeightsError like `start_from`.
    """
    source, classifier = _load_source(name_or_path)
    if classifier is None:
        return _fit_image_shape(recipe, source.config)
    own, clip = recipe.clip, classifier.clip
    clip = replace(clip, train_sampling=own.train_sampling, sampling=own.sampling)
    if not own.step_seconds:
        clip = replace(clip, step_seconds=0.0)
    return replace(
        recipe, model=source.config, clip=clip, data=_scale_short_sides(recipe, clip.crop)
    )


def _scale_short_sides(recipe: Recipe, crop: int) -> DataConfig:
    """The data settings with the range of short sides in proportion to another crop."""
    least, most = (round(side * crop / recipe.clip.crop) for side in recipe.data.short_side_range)
    return replace(recipe.data, short_side_range=(least, most))


def _fit_image_shape(recipe: Recipe, image: ModelConfig) -> Recipe:
    """The recipe with the shape and image size of an image model."""
    if not _compare(recipe.model, image, SHAPE):
        return recipe
    shape: dict[str, Any] = {name: getattr(image, name) for name in (*SHAPE, "size")}
    model = replace(recipe.model, **shape)
    clip = replace(recipe.clip, short_side=image.size, crop=image.size)
    return replace(recipe, model=model, clip=clip, data=_scale_short_sides(recipe, image.size))


def _fit_blocks(model: TimeSformer, source: Transformer) -> dict[str, Tensor]:
    """The blocks: each attention step from the step of the same name, else the last (spatial) one.

    Extra linear layers that the source lacks are zero, so that their steps have no effect.
    """
    state = {k: v for k, v in source.state_dict().items() if k.startswith("blocks.")}
    state = {k: v for k, v in state.items() if ".steps." not in k}
    for i, (block, other) in enumerate(zip(model.blocks, source.blocks, strict=True)):
        steps = _list_steps(other)
        for name, step in _list_steps(block).items():
            values = steps.get(name, steps[list(steps)[-1]]).state_dict()
            state |= {
                f"blocks.{i}.steps.{name}.{k}": values.get(k, torch.zeros_like(v))
                for k, v in step.state_dict().items()
            }
    return state


def _fit_frame_blocks(source: Transformer) -> dict[str, Tensor]:
    """The blocks of a STAM: from another STAM, or the spatial steps of a TimeSformer."""
    if isinstance(source, Stam):
        return {k: v for k, v in source.state_dict().items() if k.startswith("blocks.")}
    state: dict[str, Tensor] = {}
    for i, block in enumerate(source.blocks):
        steps = _list_steps(block)
        step = steps.get("space", steps[list(steps)[-1]])
        modules = {"attn_norm": (step, "norm"), "attn": (step, "attn")}
        modules |= {"mlp_norm": (block, "norm"), "mlp": (block, "mlp")}
        for name, (module, theirs) in modules.items():
            for k, v in module.get_submodule(theirs).state_dict().items():
                state[f"blocks.{i}.{name}.{k}"] = v
    return state


def _copy_over_time(model: Stam, source: Transformer, state: dict[str, Tensor]) -> list[str]:
    """Add the transformer over time of another STAM to `state`; returns a note if there is none."""
    note = "the transformer over time starts from random values"
    if not isinstance(source, Stam):
        return [note]
    other = _compare(model.config, source.config, OVER_TIME)
    if other:
        return [f"{note}: model.{other[0]} differs"]
    prefixes = ("over_time.", "time_cls")
    state |= {k: v for k, v in source.state_dict().items() if k.startswith(prefixes)}
    return []


def _list_steps(block: nn.Module) -> dict[str, nn.Module]:
    return dict(block.get_submodule("steps").named_children())


def _resize_positions(pos: Tensor, side: int) -> Tensor:
    """Resize a position embedding [h, w, D] to [side, side, D], bicubic."""
    if pos.shape[0] == side:
        return pos
    grid = pos.permute(2, 0, 1)[None]
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False, antialias=True)
    return grid[0].permute(1, 2, 0)


def _load_source(name_or_path: str | Path) -> tuple[Model, Classifier | None]:
    """The model to start from and its classifier, None for an image model or without a head."""
    text = str(name_or_path)
    path = _find_image_file(text)
    if path is not None:
        with snapshot_file(path) as file:
            state = torch_checkpoint.read_state(file)
        if key_maps.recognize(state) == "official" and "time_embed" not in state:
            return convert.build_timesformer(_add_biases(state), "official", path), None
        if (bare := key_maps.add_head(state)) is not None:
            backbone, layout = bare
            return convert.build_timesformer(_add_biases(backbone), layout, path), None
    elif not (text in catalog.CATALOG or Path(text).suffix or "/" in text or exists(Path(text))):
        close = difflib.get_close_matches(text, [*IMAGE_MODELS, *catalog.CATALOG], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? " if close else ""
        hint += f"image models: {', '.join(IMAGE_MODELS)}; others: vidattn models list"
        raise WeightsError(f"{text}: no such file and no model of that name", hint=hint)
    classifier = loading.load(name_or_path)
    if not isinstance(classifier.model, Model):
        raise WeightsError(
            f"{text}: training begins with models of clips that vidattn builds itself",
            hint="such as timesformer-k400, stam-16-k400 or motion-tiny; a taught model learns on "
            "with vidattn teach",
        )
    return classifier.model, classifier


def _find_image_file(text: str) -> Path | None:
    """The file that may contain an image model; None if only `load` can tell."""
    if text in catalog.CATALOG:
        return None
    hub_id = IMAGE_MODELS.get(text, text if text.startswith("timm/") else "")
    path = Path(text)
    if hub_id and not exists(path):
        path = download.download_folder(hub_id)
    if is_folder(path):
        path = path / "model.safetensors"
    known = path.suffix in (".safetensors", *loading.PICKLES)
    return path if known and exists(path) else None


def _add_biases(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Add zero biases of queries, keys and values to a ViT without, such as those of MIIL."""
    if any(key.endswith("attn.qkv.bias") for key in state):
        return state
    weights = {key: value for key, value in state.items() if key.endswith("attn.qkv.weight")}
    return {**state, **{k[:-6] + "bias": torch.zeros(v.shape[0]) for k, v in weights.items()}}

"""Initial values for training: from an image model, or from a video model of other classes.

The paper starts from a ViT of ImageNet (arXiv:2102.05095, Sec. 4). Its attention goes into every
attention step of a block; the extra linear layers and the time embedding stay zero, so that at
first the model sees each frame as the image model does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidattn.config import DataConfig, ModelConfig, Recipe, TimeSformerConfig
from vidattn.errors import WeightsError
from vidattn.io.files import exists, is_folder
from vidattn.models.classifier import Model
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer, resize_time
from vidattn.weights import (
    catalog,
    convert,
    download,
    key_maps,
    loading,
    safetensors_file,
    torch_checkpoint,
)
from vidattn.weights.snapshot import snapshot_file

IMAGE_MODELS = {
    "vit-b16-in21k": "timm/vit_base_patch16_224.orig_in21k_ft_in1k",
    "deit-b16-in1k": "timm/deit_base_patch16_224.fb_in1k",
    "vit-b16-miil-in21k": "timm/vit_base_patch16_224_miil.in21k",
}
"""Image models the papers start from, by name: the hub ids of their weights (Apache-2.0).

TimeSformer from the first two; STAM from the last, which sees pixels from 0 to 1 as they are.
"""

SHAPE = ("width", "depth", "patch", "heads", "mlp_ratio")
"""Settings that a model and the one it starts from must share."""
OVER_TIME = ("time_depth", "time_heads", "time_hidden")
"""Settings without which a STAM leaves its transformer over the frames as it is."""


def initialize(
    model: Model, recipe: Recipe, named: str | Path | None, labels: tuple[str, ...]
) -> tuple[str, ...]:
    """Give a model its first weights, and say in sentences where they came from.

    named: as `start_from` takes it, and it raises the same errors; "none": nothing but the values
    the model has; None: what `recipe.init` names. That is a wish: when it cannot be had, or is of
    another shape, a sentence says so, and the model keeps the values it has.
    """
    if named == "none" or not (named or recipe.init):
        return ()
    if named:
        return start_from(model, named, labels)
    missed = f"starts from random values, not from {recipe.init} as the recipe has it: "
    other = [n for n in SHAPE if getattr(model.config, n) != getattr(TimeSformerConfig(), n)]
    if other and not exists(Path(recipe.init)):
        return (f"{missed}model.{other[0]} is another",)  # without a download in vain
    try:
        notes = start_from(model, recipe.init, labels)
    except WeightsError as error:
        return (missed + error.message,)
    return (f"starts from {recipe.init}", *notes)


@torch.no_grad()
def start_from(
    model: Model, name_or_path: str | Path, labels: tuple[str, ...], *, offline: bool = False
) -> tuple[str, ...]:
    """Give `model` the weights of another one, as far as they fit; says in sentences what did not.

    name_or_path: all that `load` takes, a name in IMAGES, a hub id of timm, or a file with a ViT
    in timm's names. labels: the classes of `model`, in order; the head is taken over only from a
    model of the very same classes. Other clip lengths and picture sizes are fine; another width,
    depth, patch or number of heads raises WeightsError. A STAM takes its spatial part from images
    and from TimeSformers, all of it from another STAM. Not the official procedure in one point:
    positions are resized in two dimensions (bicubic), where the official code scrambles them.
    """
    given, theirs = _given(name_or_path, offline)
    ours, config = model.config, given.config
    for name in SHAPE:
        if getattr(ours, name) != getattr(config, name):
            raise WeightsError(
                f"{name_or_path}: cannot start a model of {name} {getattr(ours, name)} "
                f"from one of {name} {getattr(config, name)}",
                hint="--set model.* must describe the same model, scheme, clip and classes aside",
            )
    if isinstance(given, Stam) and not isinstance(model, Stam):
        raise WeightsError(f"{name_or_path}: a STAM cannot start a TimeSformer")
    state, notes = _placed(model, given)
    if isinstance(model, Stam):
        state |= _frame_blocks(given)
        notes += _over_time(model, given, state)
    else:
        state |= _steps(model, given)
    if theirs == labels:
        state |= {f"head.{k}": v for k, v in given.head.state_dict().items()}
    else:
        notes.append("the head starts afresh: the classes are others")
    model.load_state_dict({**model.state_dict(), **state})
    return tuple(notes)


def _placed(model: Model, given: Model) -> tuple[dict[str, Tensor], list[str]]:
    """Patches, class token, positions, times and final norm, and what was done to fit them."""
    ours, config, notes = model.config, given.config, []
    parts = ("patch.", "cls", "norm.")
    state = {k: v for k, v in given.state_dict().items() if k.startswith(parts)}
    if model.pos is None:
        state.pop("cls_pos", None)
    elif given.pos is not None:
        state["pos"] = _resized(given.pos, model.pos.shape[0])
        if model.pos.shape != given.pos.shape:
            notes.append(f"positions are resized from {config.size} to {ours.size} pixels, bicubic")
    if model.time is not None and given.time is not None and type(model) is type(given):
        state["time"] = resize_time(given.time, ours.frames)
        if config.frames != ours.frames:
            notes.append(f"times are resized from {config.frames} to {ours.frames} frames")
    elif model.time is not None and not isinstance(model, Stam):
        state["time"] = torch.zeros_like(model.time)
    return state, notes


def fit_shape(recipe: Recipe, name_or_path: str | Path, *, offline: bool = False) -> Recipe:
    """The recipe with the model and the clips of the video model it is to start from.

    How clips are drawn from a video stays that of the recipe; its jitter grows or shrinks with the
    crop. An image model has no clips: it gives the recipe its shape and the size of its pictures,
    unless the shape is that already. Raises WeightsError as `start_from` does.
    """
    given, theirs = _given(name_or_path, offline)
    if theirs is None:
        return _shaped(recipe, given.config)
    clip = loading.load(name_or_path, offline=offline).clip
    clip = replace(clip, train_sampling=recipe.clip.train_sampling, sampling=recipe.clip.sampling)
    return replace(recipe, model=given.config, clip=clip, data=_jittered(recipe, clip.crop))


def _jittered(recipe: Recipe, crop: int) -> DataConfig:
    """How the recipe draws clips, with the jitter in proportion to another crop."""
    least, most = (round(side * crop / recipe.clip.crop) for side in recipe.data.short_side_range)
    return replace(recipe.data, short_side_range=(least, most))


def _shaped(recipe: Recipe, image: ModelConfig) -> Recipe:
    """The recipe for a model, and pictures, as large as those of an image model."""
    if all(getattr(recipe.model, name) == getattr(image, name) for name in SHAPE):
        return recipe
    model = replace(
        recipe.model,
        width=image.width,
        depth=image.depth,
        patch=image.patch,
        heads=image.heads,
        mlp_ratio=image.mlp_ratio,
        size=image.size,
    )
    clip = replace(recipe.clip, short_side=image.size, crop=image.size)
    return replace(recipe, model=model, clip=clip, data=_jittered(recipe, image.size))


def _steps(model: TimeSformer, given: Model) -> dict[str, Tensor]:
    """The blocks. The attention of every step is that of the step of that name, else of the last
    (spatial) one.

    The extra linear layer of a step that the other does not have is zero, so that it says nothing.
    """
    state = {
        k: v
        for k, v in given.state_dict().items()
        if k.startswith("blocks.") and ".steps." not in k
    }
    for i, (block, other) in enumerate(zip(model.blocks, given.blocks, strict=True)):
        mine, theirs = _table(block, "steps"), _table(other, "steps")
        last = list(theirs)[-1]
        for name, step in mine.items():
            found = theirs.get(name, theirs[last]).state_dict()
            state |= {
                f"blocks.{i}.steps.{name}.{k}": found.get(k, torch.zeros_like(v))
                for k, v in step.state_dict().items()
            }
    return state


def _frame_blocks(given: Model) -> dict[str, Tensor]:
    """The blocks of a STAM: those of another, or the spatial steps of a TimeSformer's."""
    if isinstance(given, Stam):
        return {k: v for k, v in given.state_dict().items() if k.startswith("blocks.")}
    state: dict[str, Tensor] = {}
    for i, block in enumerate(given.blocks):
        steps = _table(block, "steps")
        step = steps.get("space", steps[list(steps)[-1]])
        parts = {"attn_norm": "norm", "attn": "attn"}, {"mlp_norm": "norm", "mlp": "mlp"}
        for module, names in zip((step, block), parts, strict=True):
            for name, theirs in names.items():
                for k, v in module.get_submodule(theirs).state_dict().items():
                    state[f"blocks.{i}.{name}.{k}"] = v
    return state


def _over_time(model: Stam, given: Model, state: dict[str, Tensor]) -> list[str]:
    """Add the transformer over the frames of another STAM to `state`; what is to be said of it."""
    if not isinstance(given, Stam):
        return ["the transformer over the frames starts afresh"]
    other = [n for n in OVER_TIME if getattr(model.config, n) != getattr(given.config, n)]
    if other:
        return [f"the transformer over the frames starts afresh: model.{other[0]} is another"]
    parts = ("over_time.", "time_cls")
    state |= {k: v for k, v in given.state_dict().items() if k.startswith(parts)}
    return []


def _table(block: nn.Module, name: str) -> dict[str, nn.Module]:
    return dict(block.get_submodule(name).named_children())


def _resized(pos: Tensor, side: int) -> Tensor:
    """Position embedding [h, w, D] on a grid of [side, side, D]."""
    if pos.shape[0] == side:
        return pos
    grid = pos.permute(2, 0, 1)[None]
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False, antialias=True)
    return grid[0].permute(1, 2, 0)


def _given(name_or_path: str | Path, offline: bool) -> tuple[Model, tuple[str, ...] | None]:
    """The model to start from and its classes; None for an image model's."""
    text = str(name_or_path)
    path = _image_file(text, offline)
    if path is not None:
        state = _state(path)
        if key_maps.recognize(state) == "official" and "time_embed" not in state:
            return convert.build_timesformer(_with_biases(state), "official", path), None
    elif not (text in catalog.CATALOG or Path(text).suffix or "/" in text or exists(Path(text))):
        close = difflib.get_close_matches(text, [*IMAGE_MODELS, *catalog.CATALOG], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? " if close else ""
        hint += f"image models: {', '.join(IMAGE_MODELS)}; others: vidattn models list"
        raise WeightsError(f"{text}: no such file and no model of that name", hint=hint)
    found = loading.load(name_or_path, offline=offline)
    assert isinstance(found.model, TimeSformer | Stam)
    return found.model, found.labels


def _image_file(text: str, offline: bool) -> Path | None:
    """The file that may hold an image model; None when `load` alone can know."""
    if text in catalog.CATALOG:
        return None
    hub_id = IMAGE_MODELS.get(text, text if text.startswith("timm/") else "")
    path = Path(text)
    if hub_id and not exists(path):
        path = download.download_folder(hub_id, offline=offline)
    if is_folder(path):
        path = path / "model.safetensors"
    foreign = path.suffix in loading.PICKLES or path.suffix == ".safetensors"
    return path if foreign and exists(path) else None


def _with_biases(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A ViT without biases of queries, keys and values, as those of MIIL, with ones of zero."""
    if any(key.endswith("attn.qkv.bias") for key in state):
        return state
    weights = {key: value for key, value in state.items() if key.endswith("attn.qkv.weight")}
    return {**state, **{k[:-6] + "bias": torch.zeros(v.shape[0]) for k, v in weights.items()}}


def _state(path: Path) -> Mapping[str, Tensor]:
    with snapshot_file(path) as file:
        if path.suffix == ".safetensors":
            return safetensors_file.read_tensors(file)
        return torch_checkpoint.read_checkpoint(file)[0]

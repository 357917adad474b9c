"""Checkpoints of other families: recognised by their keys, renamed, and given their own protocol.

A family is more than names. Meta's, mmaction2's and the converted models on Hugging Face were
trained on differently normalised frames, and their authors average views differently. All of it
goes into the classifier; what had to be assumed is said in `card.notes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.config import Averaging, ClipConfig, TimeSformerConfig, labels
from vidattn.errors import RecipeError, WeightsError
from vidattn.io.files import exists, reading
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import key_maps, safetensors_file, stam_keys, torch_checkpoint
from vidattn.weights.snapshot import require_regular, snapshot_file


@dataclass(frozen=True)
class Family:
    """What all checkpoints of a family share."""

    title: str
    mean: float
    std: float
    averaging: Averaging
    license: str


FAMILIES = {
    "official": Family("official TimeSformer", 0.45, 0.225, "logit", "CC-BY-NC-4.0"),
    "mmaction2": Family("mmaction2", 0.5, 0.5, "probability", "Apache-2.0"),
    "hf": Family("Hugging Face", 0.45, 0.225, "logit", ""),
}

BESIDE = "vidattn"
"""The entry in which an exported file keeps what its format has no place for."""

RATES = {8: 32, 16: 16, 32: 32, 64: 32, 96: 4}
"""Frames of a published model, and out of how many at 30 fps it saw one (8x32, 16x16, 96x4)."""


def guess_frame_step(
    frames: int, classes: int, rate: int | None = None
) -> tuple[float, str | None]:
    """Seconds between frames in training, and a note when that is assumed rather than known.

    rate: one frame out of so many at 30 fps, when the file says it. The models of Something-
    Something spread their frames over a whole video, some four seconds; those of HowTo100M (1059
    classes) all saw one frame in 32.
    """
    if classes == 174:
        return 4 / frames, None
    if rate is None and classes == 1059:
        rate = 32
    if rate is not None:
        return rate / 30, None
    rate = RATES.get(frames, 32)
    return rate / 30, f"one frame in {rate} at 30 fps is assumed: the file does not say"


def load_checkpoint(path: Path) -> Classifier:
    """The classifier in a .pth, .pyth, .pt or .bin file of the official codes or of mmaction2.

    Raises WeightsError.
    """
    with snapshot_file(path) as file:
        state, beside = torch_checkpoint.read_checkpoint(file)
    layout = "stam" if stam_keys.is_stam(state) else key_maps.recognize(state)
    if layout and (header := _exported(state, layout, beside.get(BESIDE), path)):
        model = _model(state, layout, path, header.config)
        return safetensors_file.build_classifier(model, header.manifest, file.sha256)
    if layout == "stam":
        found = _stam(state, path)
    elif layout:
        found = _timesformer(state, layout, beside, path)
    else:
        some = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{path}: the tensors are named like those of no model known here: {some}, ...",
            hint="known: official TimeSformer and STAM, mmaction2, Hugging Face",
        )
    found.card = replace(found.card, sha256=file.sha256)
    return found


def _exported(
    state: Mapping[str, Tensor], layout: str, entry: object, path: Path
) -> safetensors_file.Header | None:
    """What vidattn itself said about weights that it wrote in a foreign layout.

    None where the file says nothing, or other classes were taught since. Raises WeightsError.
    """
    if not isinstance(entry, str):
        return None
    header = safetensors_file.parse_manifest(entry, path)
    head = state.get("classifier.weight" if layout == "hf" else "head.weight")
    same = head is not None and head.shape[0] == header.config.classes
    return (
        header if same and header.kind == ("stam" if layout == "stam" else "timesformer") else None
    )


def _model(state: Mapping[str, Tensor], layout: str, path: Path, config: Any) -> nn.Module:
    if layout == "stam":
        return stam_keys.build_stam(state, path, config)
    return build_timesformer(state, layout, path, config)


def _timesformer(
    state: Mapping[str, Tensor], layout: str, beside: Mapping[str, Any], path: Path
) -> Classifier:
    model = build_timesformer(state, layout, path)
    config, family = model.config, FAMILIES[layout]
    names, note = _names_beside(beside, config.classes)
    step, step_note = guess_frame_step(config.frames, config.classes, _rate_beside(beside))
    clip = ClipConfig(
        frames=config.frames,
        step_seconds=step,
        short_side=config.size,
        crop=config.size,
        mean=(family.mean,) * 3,
        std=(family.std,) * 3,
        train_sampling="bins" if config.classes == 174 else "dense",  # Something-Something
    )
    notes = [note, step_note]
    if layout == "official" and config.classes == 174:
        clip = replace(clip, channels="bgr")
        notes.append("frames are fed as BGR: the official code trained Something-Something so")
    card = ModelCard(
        name=path.stem,
        license=family.license,
        source=f"{path.name}, a checkpoint of the {family.title} family",
        notes=tuple(n for n in notes if n),
    )
    return Classifier(model, clip, names, family.averaging, card)


def _stam(state: Mapping[str, Tensor], path: Path) -> Classifier:
    model = stam_keys.build_stam(state, path)
    names, note = labels.guess_labels(model.config.classes)
    card = ModelCard(
        name=path.stem,
        license="Apache-2.0",
        source=f"{path.name}, an official STAM checkpoint",
        notes=(note,),
    )
    return Classifier(model, stam_keys.published_clip(model.config), names, "logit", card)


def load_hf_folder(folder: Path) -> Classifier:
    """The classifier in a folder as `save_pretrained` of Hugging Face transformers leaves it.

    Needs config.json, preprocessor_config.json, and model.safetensors or pytorch_model.bin. Raises
    WeightsError.
    """
    config = _json(folder / "config.json")
    if config.get("model_type") != "timesformer":
        safetensors_file.refuse(
            folder, f"holds a model of type {config.get('model_type')!r}, not timesformer"
        )
    path = next(
        (p for n in ("model.safetensors", "pytorch_model.bin") if exists(p := folder / n)), None
    )
    if path is None:
        safetensors_file.refuse(folder, "has neither model.safetensors nor pytorch_model.bin")
    with snapshot_file(path) as file:
        bare = path.suffix == ".safetensors"
        state = (
            safetensors_file.read_tensors(file)
            if bare
            else torch_checkpoint.read_checkpoint(file)[0]
        )
    if key_maps.recognize(state) != "hf":
        safetensors_file.refuse(
            path, "the tensors are not named like those of TimesformerForVideoClassification"
        )
    heads = _count(config, "num_attention_heads", folder)
    header = _exported(state, "hf", config.get(BESIDE), folder / "config.json")
    shape = replace(header.config, heads=heads) if header else None
    model = build_timesformer(state, "hf", path, shape, heads)
    notes = _disagreements(config, model.config, folder)
    names, note = _names_in(config, model.config.classes, folder)
    clip, step_note = _clip_of(folder, model.config)
    if header:  # what transformers knows of too may have been changed since
        places = {name: getattr(clip, name) for name in ("short_side", "crop", "mean", "std")}
        told, notes = header.manifest, [n for n in notes if n not in header.manifest.notes]
        told = replace(
            told, labels=names, clip=replace(told.clip, **places), notes=(*told.notes, *notes)
        )
        return safetensors_file.build_classifier(model, told, file.sha256)
    if model.config.classes == 174:
        notes.append("frames are fed as RGB; weights converted from the official ones want BGR")
    card = ModelCard(
        name=folder.name,
        license=_license(folder),
        source=f"{folder.name}, a Hugging Face folder",
        notes=tuple(n for n in (*notes, note, step_note) if n),
        sha256=file.sha256,
    )
    return Classifier(model, clip, names, FAMILIES["hf"].averaging, card)


def build_timesformer(
    state: Mapping[str, Tensor],
    layout: str,
    path: Path,
    config: TimeSformerConfig | None = None,
    heads: int | None = None,
) -> TimeSformer:
    """The model of a foreign state dict; differences are listed under the file's own names.

    config: its shape, where that is known; otherwise read from the tensors, with `heads`.
    """
    try:
        config = config or key_maps.infer_config(state, layout, heads)
        with torch.device("meta"):
            empty = TimeSformer(config)
    except RecipeError as error:
        safetensors_file.refuse(path, error.message, error)
    except WeightsError as error:
        safetensors_file.refuse(path, error.message, error)
    expected = key_maps.from_ours(empty.state_dict(), layout, config)
    safetensors_file.require_same_keys(expected, state, str(path))
    model = safetensors_file.build_model(
        "timesformer", config, key_maps.to_ours(state, layout, config), str(path)
    )
    assert isinstance(model, TimeSformer)
    return model


def export_official(model: nn.Module) -> dict[str, Tensor]:
    """A TimeSformer's weights as the official code names them, without its prefix "model.".

    Raises WeightsError for an attention scheme that was never released.
    """
    return _export(model, "official")


def export_hf(model: nn.Module) -> dict[str, Tensor]:
    """A TimeSformer's weights as TimesformerForVideoClassification of transformers names them.

    Raises WeightsError for an attention scheme it does not have.
    """
    return _export(model, "hf")


def _export(model: nn.Module, layout: str) -> dict[str, Tensor]:
    if not isinstance(model, TimeSformer):
        raise WeightsError(f"a {type(model).__name__} has no {layout} layout")
    return key_maps.from_ours(model.state_dict(), layout, model.config)


def _names_beside(beside: Mapping[str, Any], count: int) -> tuple[tuple[str, ...], str | None]:
    """Class names from mmaction2's metadata, else guessed from their number."""
    found: Any = beside.get("meta")
    for key in ("dataset_meta", "classes"):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, list | tuple) and len(found) == count:
        return tuple(str(name) for name in found), None
    return labels.guess_labels(count)


def _rate_beside(beside: Mapping[str, Any]) -> int | None:
    """The sampling rate in the configuration text that official checkpoints carry."""
    text = beside.get("cfg")
    match = re.search(r"SAMPLING_RATE: *(\d{1,3})\b", text) if isinstance(text, str) else None
    return int(match[1]) or None if match else None


def _names_in(
    config: Mapping[str, Any], count: int, folder: Path
) -> tuple[tuple[str, ...], str | None]:
    """Class names from id2label, unless they are the library's placeholders."""
    table = config.get("id2label")
    if not isinstance(table, Mapping) or not table:
        return labels.guess_labels(count)
    names = [table.get(str(i)) for i in range(len(table))]
    if len(names) != count or not all(isinstance(n, str) for n in names):
        safetensors_file.refuse(folder / "config.json", f"id2label does not name {count} classes")
    if names == [f"LABEL_{i}" for i in range(count)]:
        return labels.guess_labels(count)
    return tuple(str(n) for n in names), None


def _disagreements(config: Mapping[str, Any], model: TimeSformerConfig, folder: Path) -> list[str]:
    """Refuse a config.json that asks for another computation; note a frame count that is wrong."""
    schemes = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}
    expected = {
        "attention_type": schemes[model.attention],
        "image_size": model.size,
        "patch_size": model.patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }
    wrong = [
        f"{k} is {config[k]!r}, not {v!r}" for k, v in expected.items() if config.get(k, v) != v
    ]
    if wrong:
        safetensors_file.refuse(folder / "config.json", "; ".join(wrong))
    frames = config.get("num_frames", model.frames)
    if frames != model.frames and model.attention != "space":
        return [f"config.json says {frames} frames, the weights have {model.frames}: that is used"]
    return []


def _clip_of(folder: Path, model: TimeSformerConfig) -> tuple[ClipConfig, str | None]:
    path = folder / "preprocessor_config.json"
    plain = _json(path)
    for key in ("do_rescale", "do_normalize", "do_resize"):
        if not plain.get(key, True):
            safetensors_file.refuse(path, f"{key} is false: such input is not supported")
    factor = plain.get("rescale_factor", 1 / 255)
    if not _is_number(factor) or abs(factor - 1 / 255) > 1e-6:
        safetensors_file.refuse(path, f"rescale_factor is {factor!r}, not 1/255")
    crop = _side(plain, "crop_size", path)
    step, note = guess_frame_step(model.frames, model.classes)
    try:
        clip = ClipConfig(
            frames=model.frames,
            step_seconds=step,
            short_side=max(_side(plain, "size", path), crop),
            crop=crop,
            mean=_triple(plain, "image_mean", path),
            std=_triple(plain, "image_std", path),
            train_sampling="bins" if model.classes == 174 else "dense",  # Something-Something
        )
    except RecipeError as error:
        safetensors_file.refuse(path, error.message, error)
    return clip, note


def _json(path: Path) -> dict[str, Any]:
    require_regular(path)
    try:
        with reading(path, WeightsError):
            plain = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        safetensors_file.refuse(path, f"is not JSON: {error}", error)
    if not isinstance(plain, dict):
        safetensors_file.refuse(path, "is not a JSON object")
    return plain


def _count(plain: Mapping[str, Any], key: str, path: Path) -> int:
    value = plain.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        safetensors_file.refuse(path, f"{key} should be a whole number above 0, is {value!r}")
    return value


def _side(plain: Mapping[str, Any], key: str, path: Path) -> int:
    """A size that older and newer processors write as 224, {"shortest_edge"} or {"height"}."""
    value = plain.get(key)
    if isinstance(value, Mapping):
        value = value.get("shortest_edge", value.get("height"))
    return _count({key: value}, key, path)


def _triple(plain: Mapping[str, Any], key: str, path: Path) -> tuple[float, float, float]:
    value = plain.get(key)
    if not (isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))):
        safetensors_file.refuse(path, f"{key} should be three numbers, is {value!r}")
    return (float(value[0]), float(value[1]), float(value[2]))


def _is_number(value: object) -> bool:
    """Whether a value is a number that floats can hold; NaN is none."""
    if not isinstance(value, float | int) or isinstance(value, bool):
        return False
    return -1e300 < value < 1e300


def _license(folder: Path) -> str:
    """The licence in the head of a model's README.md, upper case as SPDX writes them."""
    try:
        text = (folder / "README.md").read_text("utf-8", errors="replace")[:4000]
    except OSError:
        return ""
    match = re.search(r"^license: *[\"']?([\w.+-]+)", text, re.MULTILINE)
    return match[1].upper().replace("APACHE", "Apache") if match else ""

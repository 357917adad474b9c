"""Checkpoints of other families: recognized by their keys, renamed, and fed as they were trained.

Families differ in more than names: official TimeSformer, mmaction2 and the converted models on
Hugging Face were trained on differently normalized frames, and their authors average views
differently. All of it goes into the classifier; assumptions are listed in `card.notes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig, labels
from vidattn.errors import RecipeError, WeightsError
from vidattn.io.files import exists
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import conv_checkpoints, hf_folder, key_maps, torch_checkpoint
from vidattn.weights.catalog import BGR
from vidattn.weights.conv_checkpoints import GRAY, SSV2, Source
from vidattn.weights.safetensors_file import (
    Manifest,
    build_classifier,
    build_model,
    parse_manifest,
    refuse,
    require_same_keys,
)
from vidattn.weights.snapshot import snapshot_file

FAMILIES = {
    "official": Source("official TimeSformer", "CC-BY-NC-4.0", GRAY, "logit"),
    "mmaction2": Source("mmaction2", "Apache-2.0", ((0.5,) * 3, (0.5,) * 3), "probability"),
    "hf": Source("Hugging Face", "", GRAY, "logit"),
}
"""The license is that of published weights; a file may hold others."""

MANIFEST_KEY = "vidattn"
"""The entry of an exported file with our manifest."""
HOWTO100M = 1059
"""The number of classes by which it is recognized."""
STAM_LICENSE = "published weights of this family are Apache-2.0"

RATES = {8: 32, 16: 16, 32: 32, 64: 32, 96: 4}
"""Frames of a published model, and its frame step at 30 fps (8x32, 16x16, 96x4)."""


def guess_frame_step(
    frames: int, classes: int, rate: int | None = None
) -> tuple[float, str | None]:
    """Seconds between frames in training, and a note if that is an assumption.

    rate: the frame step at 30 fps, if the file gives it. Models of Something-Something spread their
    frames over a whole video, some four seconds; all models of HowTo100M used a step of 32.
    """
    if classes == SSV2:
        return 4 / frames, None
    if rate is None and classes == HOWTO100M:
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
        state, content = torch_checkpoint.read_checkpoint(file)
    layout = key_maps.recognize(state)
    network = conv_checkpoints.recognize(state)
    if layout is None and network is not None:
        classifier = conv_checkpoints.load_convolutional(state, network, path)
        return replace(classifier, card=replace(classifier.card, sha256=file.sha256))
    if layout is None:
        some = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{path}: tensor names of an unknown model: {some}, ...",
            hint="known: official TimeSformer and STAM, mmaction2, Hugging Face, PySlowFast, "
            "PyTorchVideo, and the networks of TSM, TEA, MSNet and bLVNet-TAM",
        )
    manifest = _find_manifest(state, layout, content.get(MANIFEST_KEY), path)
    if layout == "stam":
        classifier = _load_stam(state, path, manifest)
    else:
        classifier = _load_timesformer(state, layout, content, path, manifest)
    if manifest:
        return build_classifier(classifier.model, manifest, file.sha256)
    return replace(classifier, card=replace(classifier.card, sha256=file.sha256))


def _find_manifest(
    state: Mapping[str, Tensor], layout: str, entry: object, path: Path
) -> Manifest | None:
    """The manifest of weights that vidattn exported to a foreign layout.

    None without one, or if the model was given other classes since. Raises WeightsError.
    """
    if not isinstance(entry, str):
        return None
    manifest = parse_manifest(entry, path)
    head = state.get("classifier.weight" if layout == "hf" else "head.weight")
    expected = StamConfig if layout == "stam" else TimeSformerConfig
    fits = head is not None and head.shape[0] == manifest.model.classes
    return manifest if fits and isinstance(manifest.model, expected) else None


def _load_timesformer(
    state: Mapping[str, Tensor],
    layout: str,
    content: Mapping[str, Any],
    path: Path,
    manifest: Manifest | None,
) -> Classifier:
    model = build_timesformer(state, layout, path, manifest.model if manifest else None)
    config, family = model.config, FAMILIES[layout]
    names, note = _read_labels(content, config.classes)
    step, step_note = guess_frame_step(config.frames, config.classes, _read_rate(content))
    bgr = layout == "official" and config.classes == SSV2
    clip = ClipConfig(
        frames=config.frames,
        step_seconds=step,
        short_side=config.size,
        crop=config.size,
        mean=family.pixels[0],
        std=family.pixels[1],
        channels="bgr" if bgr else "rgb",
        train_sampling="bins" if config.classes == SSV2 else "dense",
    )
    license_note = f"published weights of this family are {family.license}" * bool(family.license)
    card = ModelCard(
        name=path.stem,
        source=f"{path.name}, a checkpoint of the {family.title} family",
        notes=tuple(n for n in (note, step_note, BGR if bgr else "", license_note) if n),
    )
    return Classifier(model, clip, names, family.averaging, card)


def _load_stam(state: Mapping[str, Tensor], path: Path, manifest: Manifest | None) -> Classifier:
    model = key_maps.build_stam(state, path, manifest.model if manifest else None)
    names, note = labels.guess_labels(model.config.classes)
    source = f"{path.name}, an official STAM checkpoint"
    card = ModelCard(path.stem, source=source, notes=(note, STAM_LICENSE))
    return Classifier(model, key_maps.stam_clip(model.config), names, "logit", card)


def load_hf_folder(folder: Path) -> Classifier:
    """The classifier in a folder written by `save_pretrained` of Hugging Face transformers.

    Needs config.json, and model.safetensors or pytorch_model.bin. Raises WeightsError.
    """
    config = hf_folder.read_json(folder / "config.json")
    if config.get("model_type") != "timesformer":
        kind = config.get("model_type")
        raise WeightsError(
            f"{folder}: contains a model of type {kind!r}, not timesformer",
            hint=f"with transformers installed: -m hf:{folder}",
        )
    paths = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    path = next((p for p in paths if exists(p)), None)
    if path is None:
        refuse(folder, f"has neither {paths[0].name} nor {paths[1].name}")
    with snapshot_file(path) as file:
        state = torch_checkpoint.read_state(file)
    if key_maps.recognize(state) != "hf":
        refuse(path, "the tensor names are not those of TimesformerForVideoClassification")
    heads = hf_folder.read_count(config, "num_attention_heads", folder)
    manifest = _find_manifest(state, "hf", config.get(MANIFEST_KEY), folder / "config.json")
    shape = replace(manifest.model, heads=heads) if manifest else None
    model = build_timesformer(state, "hf", path, shape, heads)
    notes = _check_hf_config(config, model.config, folder)
    names, note = hf_folder.read_labels(config, model.config.classes, folder)
    clip, *clip_notes = _read_hf_clip(folder, model.config)
    if manifest:  # settings that transformers knows may have changed since
        known = () if clip_notes[0] else ("short_side", "crop", "mean", "std")
        fresh = {name: getattr(clip, name) for name in known}
        notes = [n for n in notes if n not in manifest.notes]
        manifest = replace(
            manifest,
            labels=names,
            clip=replace(manifest.clip, **fresh),
            notes=(*manifest.notes, *notes),
        )
        return build_classifier(model, manifest, file.sha256)
    if model.config.classes == SSV2:
        notes.append("frames are fed as RGB; weights converted from the official ones need BGR")
    card = ModelCard(
        name=folder.name,
        license=hf_folder.read_license(folder),
        source=f"{folder.name}, a Hugging Face folder",
        notes=tuple(n for n in (*notes, note, *clip_notes) if n),
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
    """The model of a foreign state dict; errors list differences under the names in the file.

    config: by default inferred from the tensors, with `heads`.
    """
    try:
        config = config or key_maps.infer_config(state, layout, heads)
        with torch.device("meta"):
            empty = TimeSformer(config).state_dict()
    except (RecipeError, WeightsError) as error:
        refuse(path, error.message, error)
    require_same_keys(key_maps.from_ours(empty, layout, config), state, str(path))
    model = build_model(config, key_maps.to_ours(state, layout, empty), str(path))
    assert isinstance(model, TimeSformer)
    return model


def export_official(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a TimeSformer under official names, without the prefix "model.".

    Raises WeightsError for an attention scheme that was never released.
    """
    return _export(model, "official")


def export_hf(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a TimeSformer as TimesformerForVideoClassification of transformers names them.

    Raises WeightsError for an attention scheme that transformers lacks.
    """
    return _export(model, "hf")


def _export(model: nn.Module, layout: str) -> dict[str, Tensor]:
    if not isinstance(model, TimeSformer):
        raise WeightsError(
            f"the layout {layout} is for models of TimeSformer, not for a {type(model).__name__}",
            hint="--layout onnx, for other runtimes",
        )
    return key_maps.from_ours(model.state_dict(), layout, model.config)


def _read_labels(content: Mapping[str, Any], count: int) -> tuple[tuple[str, ...], str | None]:
    """Labels from the metadata of mmaction2, else guessed from their number."""
    value: Any = content.get("meta")
    for key in ("dataset_meta", "classes"):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, list | tuple) and len(value) == count:
        return tuple(str(name) for name in value), None
    return labels.guess_labels(count)


def _read_rate(content: Mapping[str, Any]) -> int | None:
    """The sampling rate in the configuration text of official checkpoints."""
    text = content.get("cfg")
    match = re.search(r"SAMPLING_RATE: *(\d{1,3})\b", text) if isinstance(text, str) else None
    return int(match[1]) or None if match else None


def _check_hf_config(
    config: Mapping[str, Any], model: TimeSformerConfig, folder: Path
) -> list[str]:
    """Refuse a config.json of another computation; return a note on a wrong number of frames."""
    expected = {
        "attention_type": key_maps.ATTENTION_TYPES[model.attention],
        "image_size": model.size,
        "patch_size": model.patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }
    wrong = [
        f"{k} is {config[k]!r}, not {v!r}" for k, v in expected.items() if config.get(k, v) != v
    ]
    if wrong:
        refuse(folder / "config.json", "; ".join(wrong))
    frames = config.get("num_frames", model.frames)
    if frames == model.frames or model.attention == "space":
        return []
    return [f"config.json says {frames} frames, the weights have {model.frames}, which are used"]


def _read_hf_clip(
    folder: Path, model: TimeSformerConfig
) -> tuple[ClipConfig, str | None, str | None]:
    """The clip, and notes on how frames are prepared and how far they are apart."""
    step, step_note = guess_frame_step(model.frames, model.classes)
    shape = "timesformer", model.frames, model.size, step
    clip, note = hf_folder.read_clip(folder, *shape, bins=model.classes == SSV2)
    return clip, note, step_note

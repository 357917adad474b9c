"""Export for other programs: files of the official code and folders of Hugging Face.

Settings without a place in those formats (frame step, averaging, license) go into an entry called
"vidattn", which other programs ignore, so that a classifier survives the round trip.
"""

from __future__ import annotations

import io
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.errors import OutputError, WeightsError
from vidattn.io.files import exists, flush_folder, is_folder, write_atomically, writing
from vidattn.models.classifier import Classifier
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.weights import convert, key_maps
from vidattn.weights.safetensors_file import dump_manifest


def save_official(classifier: Classifier, path: str | Path) -> Path:
    """Write a TimeSformer as an official .pyth, or a STAM as an official .pth.

    Loading the file gives the same classifier. Raises WeightsError for an attention scheme that was
    never released, OutputError when the file cannot be written.
    """
    model, content = classifier.model, dict[str, Any]()
    if isinstance(model, Stam):
        content["model"] = _copy(key_maps.STAM.from_ours(model.state_dict()))
    else:
        state = {f"model.{name}": v for name, v in convert.export_official(model).items()}
        assert isinstance(model, TimeSformer)
        cfg = _make_official_settings(model.config, classifier.clip)
        content |= {"epoch": 0, "model_state": _copy(state), "cfg": cfg}
    data = io.BytesIO()
    torch.save({**content, convert.MANIFEST_KEY: dump_manifest(classifier)}, data)
    return write_atomically(path, data.getvalue())


def save_hf(classifier: Classifier, folder: str | Path) -> Path:
    """Write a folder for `from_pretrained` of Hugging Face transformers, and for `load`.

    It contains config.json, preprocessor_config.json, model.safetensors and README.md. Raises
    WeightsError for a model that transformers lacks, OutputError when `folder` exists and is not
    empty or cannot be written.
    """
    folder, model = Path(folder), classifier.model
    state = _copy(convert.export_hf(model))
    assert isinstance(model, TimeSformer)
    if model.config.attention == "space":
        raise WeightsError(
            "with space attention, transformers returns logits for every frame, not for the clip",
            hint="use --layout official",
        )
    config = _make_hf_config(model.config, classifier.labels, dump_manifest(classifier))
    files = {
        "config.json": _dump_json(config),
        "preprocessor_config.json": _dump_json(_make_hf_processor(classifier.clip)),
        "README.md": _make_hf_readme(classifier).encode(),
        "model.safetensors": safetensors.torch.save(state, {"format": "pt"}),
    }
    return _write_folder(folder, files)


def _write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write all files or no folder, by renaming a temporary one."""
    if exists(folder) and not (is_folder(folder) and not any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not empty", hint="choose a new folder")
    part = folder.absolute().with_name(f".vidattn-{secrets.token_hex(6)}.part")
    try:
        with writing(folder):
            for name, data in files.items():
                write_atomically(part / name, data)
            part.replace(folder)
            flush_folder(folder.absolute().parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _copy(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous copies, as both file formats need."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _make_official_settings(config: TimeSformerConfig, clip: ClipConfig) -> str:
    """The part of the official YAML on the model and its clips."""
    return (
        f"DATA:\n  NUM_FRAMES: {config.frames}\n"
        f"  SAMPLING_RATE: {max(1, round(clip.step_seconds * 30))}\n"
        f"  TRAIN_CROP_SIZE: {config.size}\n  TEST_CROP_SIZE: {clip.crop}\n"
        f"  MEAN: {list(clip.mean)}\n  STD: {list(clip.std)}\n"
        f"MODEL:\n  ARCH: vit\n  NUM_CLASSES: {config.classes}\n"
        f"TIMESFORMER:\n  ATTENTION_TYPE: {key_maps.ATTENTION_TYPES[config.attention]}\n"
    )


def _make_hf_config(
    config: TimeSformerConfig, labels: Sequence[str], manifest: str
) -> dict[str, Any]:
    return {
        "architectures": ["TimesformerForVideoClassification"],
        "model_type": "timesformer",
        "attention_type": key_maps.ATTENTION_TYPES[config.attention],
        "num_frames": config.frames,
        "image_size": config.size,
        "patch_size": config.patch,
        "num_channels": 3,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": int(config.width * config.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "drop_path_rate": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "torch_dtype": "float32",
        "id2label": {str(i): name for i, name in enumerate(labels)},
        "label2id": {name: i for i, name in enumerate(labels)},
        convert.MANIFEST_KEY: manifest,
    }


def _make_hf_processor(clip: ClipConfig) -> dict[str, Any]:
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": clip.short_side},
        "resample": 2,  # bilinear
        "do_center_crop": True,
        "crop_size": {"height": clip.crop, "width": clip.crop},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
    }


def _make_hf_readme(classifier: Classifier) -> str:
    card, clip = classifier.card, classifier.clip
    head = f"---\nlicense: {card.license.lower()}\n---\n" if card.license else ""
    order = "BGR frames: reverse the channels yourself" if clip.channels == "bgr" else "RGB frames"
    return (
        f"{head}# {card.name}\n\nA TimeSformer of {len(classifier.labels)} classes, written by "
        f"vidattn.\n\nInput: {clip.frames} {order}, one every {clip.step_seconds:g} s. "
        f"Views are averaged by {classifier.averaging}.\n\nSource: {card.source or 'unknown'}\n"
    )


def _dump_json(plain: dict[str, Any]) -> bytes:
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()

"""Weights as other programs read them: the official code's files and Hugging Face's folders.

What those formats have no place for (the pace of the frames, how views are averaged, the licence)
goes into an entry called "vidattn" that other programs pass over, so that a classifier comes back
as it went.
"""

from __future__ import annotations

import io
import json
import secrets
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
from vidattn.weights import convert, safetensors_file, stam_keys

SCHEMES = {
    "divided": "divided_space_time",
    "joint": "joint_space_time",
    "space": "space_only",
}
"""What the official code and Hugging Face call the attention schemes they have."""


def save_official(classifier: Classifier, path: str | Path) -> Path:
    """Write a TimeSformer as the official code's .pyth, or a STAM as its code's .pth.

    Loading the file gives back the same tensors and the same classifier. Raises WeightsError for
    an attention scheme that was never released, OutputError when it cannot be written.
    """
    model, stored = classifier.model, io.BytesIO()
    beside = safetensors_file.dump_manifest(classifier)
    if isinstance(model, Stam):
        state = stam_keys.to_official(model.state_dict(), model.config)
        torch.save({"model": _contiguous(state), convert.BESIDE: beside}, stored)
    else:
        state = {f"model.{name}": v for name, v in convert.export_official(model).items()}
        assert isinstance(model, TimeSformer)
        torch.save(
            {
                "epoch": 0,
                "model_state": _contiguous(state),
                "cfg": _official_settings(model.config, classifier.clip),
                convert.BESIDE: beside,
            },
            stored,
        )
    return write_atomically(path, stored.getvalue())


def save_hf(classifier: Classifier, folder: str | Path) -> Path:
    """Write a folder that `from_pretrained` of Hugging Face transformers reads, and `load` too.

    It holds config.json, preprocessor_config.json, model.safetensors and README.md. Raises
    WeightsError for a model transformers has not, OutputError when `folder` is there and not empty
    or cannot be written.
    """
    folder, model = Path(folder), classifier.model
    state = _contiguous(convert.export_hf(model))
    assert isinstance(model, TimeSformer)
    if model.config.attention == "space":
        raise WeightsError(
            "with space attention transformers gives logits for every frame, not for the clip",
            hint="--layout official keeps the meaning",
        )
    files = {
        "config.json": _json(
            _hf_config(model.config, classifier.labels, safetensors_file.dump_manifest(classifier))
        ),
        "preprocessor_config.json": _json(_hf_processor(classifier.clip)),
        "README.md": _hf_readme(classifier).encode(),
        "model.safetensors": safetensors.torch.save(state, {"format": "pt"}),
    }
    return _write_folder(folder, files)


def _write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """All files, or no folder: written beside it and renamed."""
    if exists(folder) and not (is_folder(folder) and not any(folder.iterdir())):
        raise OutputError(f"{folder}: is there and not empty", hint="name a new folder")
    part = folder.absolute().with_name(f".vidattn-{secrets.token_hex(6)}.part")
    try:
        with writing(folder):
            for name, data in files.items():
                write_atomically(part / name, data)
            part.replace(folder)
            flush_folder(folder.absolute().parent)
    finally:
        for name in files if exists(part) else ():
            (part / name).unlink(missing_ok=True)
        if exists(part):
            part.rmdir()
    return folder


def _contiguous(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of their own, as both file formats want them."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _official_settings(config: TimeSformerConfig, clip: ClipConfig) -> str:
    """The part of the official YAML that says what the model is and what it wants to be fed."""
    return (
        f"DATA:\n  NUM_FRAMES: {config.frames}\n"
        f"  SAMPLING_RATE: {max(1, round(clip.step_seconds * 30))}\n"
        f"  TRAIN_CROP_SIZE: {config.size}\n  TEST_CROP_SIZE: {clip.crop}\n"
        f"  MEAN: {list(clip.mean)}\n  STD: {list(clip.std)}\n"
        f"MODEL:\n  ARCH: vit\n  NUM_CLASSES: {config.classes}\n"
        f"TIMESFORMER:\n  ATTENTION_TYPE: {SCHEMES[config.attention]}\n"
    )


def _hf_config(config: TimeSformerConfig, labels: Sequence[str], told: str) -> dict[str, Any]:
    return {
        "architectures": ["TimesformerForVideoClassification"],
        "model_type": "timesformer",
        "attention_type": SCHEMES[config.attention],
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
        convert.BESIDE: told,
    }


def _hf_processor(clip: ClipConfig) -> dict[str, Any]:
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


def _hf_readme(classifier: Classifier) -> str:
    card, clip = classifier.card, classifier.clip
    head = f"---\nlicense: {card.license.lower()}\n---\n" if card.license else ""
    order = "BGR frames: reverse the channels yourself" if clip.channels == "bgr" else "RGB frames"
    return (
        f"{head}# {card.name}\n\nA TimeSformer of {len(classifier.labels)} classes, written by "
        f"vidattn.\n\nIt wants {clip.frames} {order}, one every {clip.step_seconds:g} s. "
        f"Views are averaged by {classifier.averaging}.\n\nSource: {card.source or 'not known'}\n"
    )


def _json(plain: dict[str, Any]) -> bytes:
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()

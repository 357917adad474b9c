"""Folders of small random networks of Hugging Face transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "num_frames": 4,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "timesformer": ("TimesformerConfig", SMALL | {"patch_size": 16}),
    "videomae": ("VideoMAEConfig", SMALL | {"patch_size": 16, "tubelet_size": 2}),
    "vivit": ("VivitConfig", SMALL | {"tubelet_size": [2, 16, 16]}),
    "vjepa2": (
        "VJEPA2Config",
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "mlp_ratio": 2,
            "crop_size": 32,
            "patch_size": 16,
            "frames_per_clip": 4,
            "pred_hidden_size": 48,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
            "num_pooler_layers": 1,
        },
    ),
}
"""The published shapes, but small: two layers, and clips of 4 x 32 x 32 in patches of 16."""
PROCESSORS = {
    "timesformer": "VideoMAEImageProcessor",
    "videomae": "VideoMAEImageProcessor",
    "vivit": "VivitImageProcessor",
    "vjepa2": "VJEPA2VideoProcessor",
}


def save_network(
    folder: Path, kind: str, *, processor: bool = True, classes: int = 3, **more: Any
) -> Path:
    """A folder of a random model, as `save_pretrained` of it and its processor leaves it."""
    import transformers

    name, settings = CONFIGS[kind]
    config = getattr(transformers, name)(
        **settings | more, id2label={i: f"name {i}" for i in range(classes)}
    )
    torch.manual_seed(0)
    network = transformers.AutoModelForVideoClassification.from_config(config)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    network.save_pretrained(folder)
    if processor:
        sides = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
        getattr(transformers, PROCESSORS[kind])(**sides).save_pretrained(folder)
    return folder

"""The state of a training run: tensors and JSON values in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from vidattn.errors import WeightsError
from vidattn.io.files import exists, write_atomically
from vidattn.weights.safetensors_file import read_header_bytes, read_metadata, read_tensors, refuse
from vidattn.weights.snapshot import snapshot_file

KEY = "vidattn-state"


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write `tensors` and `facts` (JSON values) to `path` atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomically(path, safetensors.torch.save(plain, {KEY: json.dumps(dict(facts))}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of `save_state`. Raises WeightsError if it is missing, damaged or foreign."""
    if not exists(path):
        raise WeightsError(
            f"{path}: no training state to resume from",
            hint="leave out --resume to start a new run in another folder",
        )
    with snapshot_file(path) as file:
        text = read_metadata(read_header_bytes(file.data_path), path).get(KEY)
        if not isinstance(text, str):
            raise WeightsError(f"{path}: a safetensors file, but not a training checkpoint")
        tensors = read_tensors(file)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse(path, f"its description of the run is not JSON: {error}", error)
    if not isinstance(facts, dict):
        refuse(path, "its description of the run is not a JSON object")
    return tensors, facts

"""The state of an unfinished training run: tensors and a few words in one safetensors file."""

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
    """Write `tensors` and `facts` (anything JSON can say) to `path`, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomically(path, safetensors.torch.save(plain, {KEY: json.dumps(dict(facts))}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` wrote. Raises WeightsError when the file is missing, broken or another."""
    if not exists(path):
        raise WeightsError(
            f"{path}: no training state to go on from",
            hint="leave out --resume to begin anew in another directory",
        )
    with snapshot_file(path) as file:
        text = read_metadata(read_header_bytes(file.data_path), path).get(KEY)
        if not isinstance(text, str):
            raise WeightsError(f"{path}: a safetensors file, but not the state of a training run")
        tensors = read_tensors(file)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse(path, f"what it says of the run is not JSON: {error}", error)
    if not isinstance(facts, dict):
        refuse(path, "what it says of the run is no JSON object")
    return tensors, facts

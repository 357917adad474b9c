"""Checkpoint files of PyTorch, opened so that nothing in them can run.

`torch.load(weights_only=True)` builds tensors and plain containers only. It is passed explicitly,
because an environment variable can switch the default off.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidattn.errors import WeightsError
from vidattn.weights.safetensors_file import read_tensors, refuse
from vidattn.weights.snapshot import FileSnapshot, raise_resource_error

BROKEN = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, RuntimeError, ValueError),
    *(TypeError, AttributeError, LookupError, EOFError, AssertionError, ImportError, OSError),
    MemoryError,
)
"""The errors of torch, depending on which byte is wrong."""


class InertObject:
    """Takes the place of an object that must not be built; stores nothing."""

    def __new__(cls, *_: object) -> InertObject:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# mmengine stores its training log beside the weights, as objects of mmengine and numpy.
IGNORED = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "__builtin__.getattr",
    "builtins.getattr",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
)


def read_checkpoint(file: FileSnapshot) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """The state dict in a .pth, .pyth or .bin file, and the whole content.

    The state dict is under "model_state" (official TimeSformer), "state_dict" (mmaction2), "model"
    (STAM) or at the top; see `strip_wrappers`. Raises WeightsError.
    """
    path, is_archive = file.path, _is_archive(file)
    inert: list[Any] = [(InertObject, name) for name in IGNORED]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols
            # Only an archive can be mapped: its tensors are then parts of the snapshot.
            loaded = torch.load(
                file.data_path,
                map_location="cpu",
                weights_only=True,
                mmap=is_archive and file.in_memory,
            )
    except BROKEN as error:
        raise_resource_error(error, path)
        reason = "not a PyTorch checkpoint, or a broken one"
        hint = "download it again, or choose another: vidattn models list"
        if path.suffix == ".pkl":  # some of PySlowFast's zoo are Caffe2's, others torch's
            hint = "files of Caffe2 are not read; the same networks: -m i3d-k400, slowfast-k400"
        elif isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            reason = "refused, it contains more than tensors"
            hint = "convert it to safetensors where it was made; such a file could run any program"
        raise WeightsError(f"{path}: {reason}", hint=hint) from error
    if not isinstance(loaded, Mapping):
        refuse(path, f"contains a {type(loaded).__name__}, not a state dict")
    nested = [loaded[k] for k in ("model_state", "state_dict", "model") if k in loaded]
    state = nested[0] if nested and isinstance(nested[0], Mapping) else loaded
    return _check_tensors(state, file.size, path), loaded


def _is_archive(file: FileSnapshot) -> bool:
    """Whether the file is a zip archive, as torch writes by default, and not of an older format.

    Raises WeightsError for a compressed one, which torch never writes: it can expand to any size.
    """
    with file.data_path.open("rb") as start:
        if start.read(2) != b"PK":
            return False
    try:
        with zipfile.ZipFile(file.data_path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        refuse(file.path, f"cut off or broken: {error}", error)
    if sum(m.file_size for m in members) > file.size:
        refuse(file.path, "a compressed archive: it would expand beyond its size")
    return True


def _check_tensors(state: Mapping[Any, Any], size: int, path: Path) -> dict[str, Tensor]:
    odd = [k for k, v in state.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if odd or not state:
        refuse(path, f"contains no state dict: {odd[0]!r} is no tensor" if odd else "is empty")
    if any(v.layout != torch.strided or v.is_quantized for v in state.values()):
        refuse(path, "contains sparse or quantized tensors")
    if sum(v.numel() * v.element_size() for v in state.values()) > size:
        refuse(path, "its tensors claim more bytes than the file has")
    return strip_wrappers(state)


def strip_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without what wrappers put into its names.

    torch.compile puts _orig_mod. anywhere; module. and model. come before all names.
    """
    result = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    for prefix in ("module.", "model."):
        if all(key.startswith(prefix) for key in result):
            result = {key[len(prefix) :]: value for key, value in result.items()}
    return result


def read_state(file: FileSnapshot) -> Mapping[str, Tensor]:
    """The tensors of a .safetensors file or a checkpoint. Raises WeightsError."""
    if file.path.suffix == ".safetensors":
        return strip_wrappers(read_tensors(file))
    return read_checkpoint(file)[0]

"""PyTorch's own checkpoint files, opened so that nothing in them can run.

`torch.load(weights_only=True)` builds tensors and plain containers only. It is asked for by name
each time, since an environment variable can switch the default off.
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
from vidattn.weights.safetensors_file import refuse
from vidattn.weights.snapshot import FileSnapshot, raise_resource_error

BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    AssertionError,
    ImportError,
    OSError,
    MemoryError,
)
"""What torch raises, depending on which byte is wrong."""


class InertObject:
    """Stands in for an object that we neither need nor want to build; keeps nothing."""

    def __new__(cls, *_: object) -> InertObject:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# mmengine stores its training log beside the weights, as objects of its own and of numpy.
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
    """The state dict in a .pth, .pyth or .bin file, and everything that lay beside it.

    The state dict is found under "model_state" (official TimeSformer), "state_dict" (mmaction2),
    "model" (STAM) or at the top; a prefix "model." or "module." that all keys share is cut off.
    Raises WeightsError.
    """
    path, is_archive = file.path, _is_archive(file)
    inert: list[Any] = [(InertObject, name) for name in IGNORED]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols
            # Only an archive can be mapped: its tensors are then parts of what is held.
            loaded = torch.load(
                file.data_path,
                map_location="cpu",
                weights_only=True,
                mmap=is_archive and file.in_memory,
            )
    except BROKEN as error:
        raise_resource_error(error, path)
        unsafe = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
        raise WeightsError(
            f"{path}: refused, it holds more than tensors"
            if unsafe
            else f"{path}: not a PyTorch checkpoint, or a broken one",
            hint="convert it to safetensors where it was made; such a file could run any program"
            if unsafe
            else "download it again, or name another: vidattn models list",
        ) from error
    if not isinstance(loaded, Mapping):
        refuse(path, f"holds a {type(loaded).__name__}, not a state dict")
    nested = [loaded[k] for k in ("model_state", "state_dict", "model") if k in loaded]
    state = nested[0] if nested and isinstance(nested[0], Mapping) else loaded
    return _tensors(state, file.size, path), loaded


def _is_archive(file: FileSnapshot) -> bool:
    """Whether torch wrote an archive, as it does by default, and not one of its older files.

    Raises WeightsError for one that is deflated, which torch's are not: it can unfold to any size.
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
        refuse(file.path, "a compressed archive: it would unfold to more than its size")
    return True


def _tensors(state: Mapping[Any, Any], size: int, path: Path) -> dict[str, Tensor]:
    odd = [k for k, v in state.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if odd or not state:
        refuse(path, f"holds no state dict: {odd[0]!r} is no tensor" if odd else "is empty")
    if any(v.layout != torch.strided or v.is_quantized for v in state.values()):
        refuse(path, "holds sparse or quantized tensors")
    if sum(v.numel() * v.element_size() for v in state.values()) > size:
        refuse(path, "its tensors claim more bytes than the file has")
    result = dict(state)
    for prefix in ("module.", "model."):
        if all(key.startswith(prefix) for key in result):
            result = {key[len(prefix) :]: value for key, value in result.items()}
    return result

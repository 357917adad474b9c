"""From a name, a file or a directory to a classifier."""

from __future__ import annotations

from pathlib import Path

from vidattn.errors import WeightsError
from vidattn.models.classifier import Classifier
from vidattn.weights import store

BUNDLED = Path(__file__).parent / "bundled"


def load(name_or_path: str | Path, *, offline: bool = False) -> Classifier:
    """The classifier behind a catalog name, a weights file, or a directory that holds one.

    With `offline`, nothing is downloaded. Raises WeightsError.
    """
    bundled = BUNDLED / f"{name_or_path}.safetensors"
    if isinstance(name_or_path, str) and "/" not in name_or_path and bundled.exists():
        return store.read(bundled)
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.exists():
        raise WeightsError(f"{name_or_path}: no such model", hint="vidattn models list")
    return store.read(path)

"""Where models come from: our files, foreign checkpoints, the catalog, the bundled model.

`load` takes a catalog name, a file or a directory; `save` writes one of our files, `save_official`
and `save_hf` those of others. Names are resolved on first use, so that listing the catalog does not
load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vidattn.config.labels import load_labels

if TYPE_CHECKING:
    from vidattn.weights.convert import export_hf, export_official
    from vidattn.weights.export import save_hf, save_official
    from vidattn.weights.initialize import start_from
    from vidattn.weights.loading import load, load_default
    from vidattn.weights.safetensors_file import read_header, save

_HOME = {
    "export_hf": "convert",
    "export_official": "convert",
    "load": "loading",
    "read_header": "safetensors_file",
    "load_default": "loading",
    "save": "safetensors_file",
    "save_hf": "export",
    "save_official": "export",
    "start_from": "initialize",
}

__all__ = [
    "export_hf",
    "export_official",
    "load",
    "load_default",
    "load_labels",
    "read_header",
    "save",
    "save_hf",
    "save_official",
    "start_from",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

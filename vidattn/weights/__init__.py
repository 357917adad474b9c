"""Weights: our files, foreign checkpoints, the catalog of published models, the bundled model.

`load` takes a catalog name, a file or a folder; `save` writes our format, `save_official` and
`save_hf` foreign ones. Names are resolved on first use, so that the catalog loads without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidattn.config.labels import load_labels
from vidattn.io.lazy import lazy_getattr

if TYPE_CHECKING:
    from vidattn.weights.convert import export_hf, export_official
    from vidattn.weights.export import save_hf, save_official
    from vidattn.weights.initialize import start_from
    from vidattn.weights.loading import load, load_default
    from vidattn.weights.safetensors_file import read_header, save

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

_HOMES = {
    "convert": ("export_hf", "export_official"),
    "export": ("save_hf", "save_official"),
    "initialize": ("start_from",),
    "loading": ("load", "load_default"),
    "safetensors_file": ("read_header", "save"),
}
__getattr__ = lazy_getattr(__name__, _HOMES)

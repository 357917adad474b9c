"""Where models come from: our files, foreign checkpoints, the catalog, the bundled model.

`load` takes a catalog name, a file or a directory; `save` writes one of our files. Names are
resolved on first use, so that listing the catalog does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidattn.weights.source import load
    from vidattn.weights.store import save

__all__ = ["load", "save"]

_HOME = {"load": "source", "save": "store"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

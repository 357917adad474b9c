"""Weights: our files, foreign checkpoints, the catalog of published models, the bundled model.

`load` takes a catalog name, a file or a folder; `save` writes our format, `save_official` and
`save_hf` foreign ones. Names are resolved on first use, so that the catalog loads without torch.
"""

from vidattn.io.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)

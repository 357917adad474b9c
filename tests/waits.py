"""Waits and repeated work that tests in one process can do without."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
import torch.utils.data._utils
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from vidattn.data.motion import textures


def shorten() -> None:
    """Make the disk's word for a file, the looks of torch after its workers and drawings cheap."""
    os.fsync = _trust_the_disk
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2  # else five seconds, and again here:
    _MultiProcessingDataLoaderIter._try_get_data.__defaults__ = (0.2,)
    textures.DrawnTextures.__getitem__ = lambda self, index: _draw(self.seed, index)  # type: ignore[method-assign]


def _trust_the_disk(descriptor: int) -> None:
    """No test cuts the power: files are as good without `fsync`, which waits for the disk."""


@lru_cache(maxsize=200)
def _draw(seed: tuple[int, ...], index: int) -> textures.Pyramid:
    """A texture; runs of one seed show the same."""
    return textures.build_pyramid(textures.draw_texture(np.random.default_rng((*seed, index))))

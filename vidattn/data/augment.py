"""RandAugment (arXiv:1909.13719) for clips: timm's operations, alike on all frames of a clip."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]


class RandAugment:
    """Changes colors and shapes of whole clips; which way up or round they are stays.

    notation: of timm, such as "rand-m9-n2-mstd0.5", see `DataConfig.randaugment`. fill: the RGB
    value, from 0 to 255, of what comes into the picture from outside.
    """

    def __init__(self, notation: str, fill: tuple[int, int, int]) -> None:
        from timm.data.auto_augment import rand_augment_transform  # seconds: only if asked for

        self._transform: Any = rand_augment_transform(notation, {"img_mean": fill})

    @property
    def operations(self) -> list[str]:
        """The names of all operations it draws from, as timm calls them."""
        return [operation.name for operation in self._transform.ops]

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """uint8 [T, H, W, 3], RGB, to the same shape. The outcome depends on frames and `rng`."""
        chosen = rng.integers(len(self._transform.ops), size=self._transform.num_layers)
        operations = [self._transform.ops[i] for i in chosen]
        seed = int(rng.integers(2**63))
        changed = np.empty_like(frames)
        for i, frame in enumerate(frames):
            image = Image.fromarray(frame)
            with _with_seeded_random(seed):
                for operation in operations:
                    image = operation(image)
            changed[i] = np.asarray(image)
        return changed


@contextmanager
def _with_seeded_random(seed: int) -> Iterator[None]:
    """timm draws whether, how strongly and which way from Python's own generator: the same draws
    within, and nobody else notices."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)

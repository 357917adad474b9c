"""RandAugment (arXiv:1909.13719) for clips: timm's operations, alike on all frames.

`describe_augmentation` says what a recipe does to training clips, whatever it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidattn.config import Recipe
from vidattn.config.labels import normalize_label

Frames = NDArray[np.uint8]
SIDES = re.compile(r"\b(left|right|(counter ?|anti ?)?clockwise)\b")


def describe_augmentation(recipe: Recipe) -> str:
    """What training does to clips that could change what they show."""
    data, optim = recipe.data, recipe.optim
    mixing = [name for name in ("mixup", "cutmix") if getattr(optim, name)]
    done = [
        "mirrored left to right at random" if data.flip else "never mirrored",
        *[f"RandAugment ({data.randaugment})"] * bool(data.randaugment),
        *[f"blended in pairs ({' and '.join(mixing)})"] * bool(mixing),
    ]
    return f"augmentation: clips are cropped anywhere, {', '.join(done)}"


def warn_of_mirroring(recipe: Recipe, labels: Sequence[str]) -> tuple[str, ...]:
    """A warning of classes that a recipe mirrors into others, if any."""
    turned = [label for label in labels if SIDES.search(normalize_label(label))]
    if not (recipe.data.flip and turned):
        return ()
    text = f"mirroring turns {turned[0]!r} into another class"
    return (f"{text}; leave it out with --set data.flip=false",)


class RandAugment:
    """Random changes of color and shape of whole clips, without flips.

    notation: of timm, such as "rand-m9-n2-mstd0.5", see `DataConfig.randaugment`. fill: RGB color,
    0 to 255, of pixels from outside the frame.
    """

    def __init__(self, notation: str, fill: tuple[int, int, int]) -> None:
        from timm.data.auto_augment import rand_augment_transform  # takes seconds

        self._transform: Any = rand_augment_transform(notation, {"img_mean": fill})

    @property
    def operations(self) -> list[str]:
        """The names of all operations, as in timm."""
        return [operation.name for operation in self._transform.ops]

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """uint8 [T, H, W, 3], RGB, to the same shape; depends on the frames and `rng` alone."""
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
    """Seed Python's own generator, from which timm draws, and restore it afterwards."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)

"""Tiny labeled videos: a bright square that moves left to right, or from top to bottom."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import encode_video

FPS = 10
FRAMES = 20
CLASSES = ("across", "down")


def moving_square(label: str, seed: int) -> np.ndarray:
    """uint8 [20, 48, 64, 3]: two seconds."""
    rng = np.random.default_rng(seed)
    color = rng.integers(128, 256, 3)
    place = int(rng.integers(4, 30))
    frames = np.full((FRAMES, 48, 64, 3), 16, np.uint8)
    for i, frame in enumerate(frames):
        top, left = (place, 2 * i + 4) if label == "across" else (i + 8, place)
        frame[top : top + 12, left : left + 12] = color
    return frames


def write_frames(path: Path, frames: np.ndarray) -> Path:
    return encode_video(path, frames, FPS, options={"crf": "10", "preset": "fast"})


def write_classes(root: Path, videos: int = 6, seed: int = 10) -> Path:
    """A folder for each of two classes, with that many videos in each."""
    for number in range(videos):
        for i, label in enumerate(CLASSES):
            write_frames(root / label / f"{number}.mp4", moving_square(label, seed * number + i))
    return root


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `write_classes`; do not change it."""
    return write_classes(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Makes empty files at the paths given; layouts are read without opening videos."""

    def make(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path

    return make

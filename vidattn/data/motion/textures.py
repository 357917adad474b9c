"""Textures of scenes: drawn ones with the statistics of natural images, or frames of files.

Opaque shapes of all sizes over one another ("dead leaves", Lee, Mumford and Huang 2001) with a 1/f
spectrum describe natural images well; smooth, periodic and faint textures occur in videos, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidattn.errors import DataError
from vidattn.io.files import is_file
from vidattn.io.search import is_video, walk_files

Image = NDArray[np.uint8]
Pyramid = tuple[Image, ...]
"""An image and smaller copies, each uint8 [H, W, 3]."""

SIDE = 512
"""Pixels of the shorter side of a texture."""

LEVELS = 5
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def build_pyramid(image: Image) -> Pyramid:
    """An image [H, W, 3] at full size, 1/2, 1/4, 1/8 and 1/16."""
    levels = [image]
    for _ in range(LEVELS - 1):
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.uint8))
    return tuple(levels)


def draw_noise(rng: np.random.Generator, beta: float, side: int = SIDE) -> NDArray[np.float32]:
    """Noise whose amplitude falls as 1 / frequency**beta: float32 [side, side], mean 0, std 1."""
    rows = np.fft.fftfreq(side)[:, None]
    columns = np.fft.rfftfreq(side)[None]
    size = np.sqrt(rows**2 + columns**2)
    size[0, 0] = 1
    phase = rng.random(size.shape, np.float32) * np.float32(2 * np.pi)
    spectrum = (np.exp(1j * phase) * size**-beta).astype(np.complex64)
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (side, side)).astype(np.float32)
    return np.asarray(noise / noise.std(), np.float32)


def draw_leaves(rng: np.random.Generator) -> Image:
    """Ellipses, boxes and polygons of power-law sizes over one another, with a rough surface."""
    count = int(rng.integers(150, 900))
    palette = rng.uniform(0, 255, (int(rng.integers(3, 12)), 3)) * rng.uniform(0.3, 1, 3)
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = palette[0]
    smallest, largest = rng.uniform(3, 8), rng.uniform(80, 220)
    # Area density ~ r**-3: the exponent that makes dead leaves scale invariant.
    radii = (rng.uniform(largest**-2, smallest**-2, count)) ** -0.5
    radii[: count // 8] *= 2
    for radius in radii:
        color = palette[rng.integers(len(palette))] * rng.uniform(0.6, 1.3)
        _draw_leaf(rng, image, float(radius), tuple(np.clip(color, 0, 255).tolist()))
    rough = draw_noise(rng, rng.uniform(0.7, 1.4)) * np.float32(rng.uniform(0, 22))
    return _to_uint8(image + rough[..., None])


def _draw_leaf(
    rng: np.random.Generator, image: Image, radius: float, color: Sequence[float]
) -> None:
    x, y = rng.uniform(-20, SIDE + 20, 2)
    shape, thin, turn = rng.random(), rng.uniform(0.25, 1), rng.uniform(0, 360)
    if shape < 0.45:
        axes = (max(1, int(radius)), max(1, int(radius * thin)))
        cv2.ellipse(image, (int(x), int(y)), axes, turn, 0, 360, color, -1, cv2.LINE_AA)
        return
    if shape < 0.8:
        corners = cv2.boxPoints(((x, y), (2 * radius, 2 * radius * thin), turn))
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        reach = radius * rng.uniform(0.4, 1.4, len(angles))
        corners = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1)
    cv2.fillPoly(image, [np.asarray(corners, np.int32)], color, cv2.LINE_AA)


def draw_clouds(rng: np.random.Generator) -> Image:
    """Colored 1/f noise, from rough (beta 0.9) to smooth (beta 2.2)."""
    beta = rng.uniform(0.9, 2.2)
    gray = draw_noise(rng, beta)[..., None]
    tint = draw_noise(rng, beta + 0.4)[..., None] * rng.normal(0, 0.4, 3)
    return _to_uint8(rng.uniform(70, 180) + rng.uniform(25, 60) * (gray + tint))


def draw_waves(rng: np.random.Generator) -> Image:
    """A few gratings, stripes or a lattice, bent and lit unevenly: fences, tiles, windows."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    bend = draw_noise(rng, 2.2) * np.float32(rng.uniform(0, 12))
    total = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        turn, length = rng.uniform(0, np.pi), rng.uniform(20, 160)
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn) + bend) * np.float32(2 * np.pi / length))
        total += np.tanh(wave * np.float32(rng.uniform(0.5, 6))).astype(np.float32)
    light = draw_noise(rng, rng.uniform(1.0, 1.8)) * np.float32(rng.uniform(0.4, 1.2))
    color = rng.uniform(0.5, 1.2, 3)
    return _to_uint8((rng.uniform(80, 170) + 30 * (total + light))[..., None] * color)


def draw_rooms(rng: np.random.Generator) -> Image:
    """Large even surfaces in soft light with small objects: interiors, skies, walls."""
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    base = rng.uniform(40, 220)
    image[:] = np.clip(base + rng.normal(0, 15, 3), 0, 255)
    sizes = np.concatenate(
        [rng.uniform(90, 260, 8), rng.uniform(8, 45, int(rng.integers(15, 120)))]
    )
    for radius in sizes:
        color = np.clip(rng.uniform(10, 245) + rng.normal(0, 25, 3), 0, 255)
        _draw_leaf(rng, image, float(radius), tuple(color.tolist()))
    light = draw_noise(rng, 2.0) * np.float32(rng.uniform(5, 30))
    return _to_uint8(image + light[..., None])


KINDS: tuple[tuple[Callable[[np.random.Generator], Image], float], ...] = (
    (draw_leaves, 0.5),
    (draw_clouds, 0.2),
    (draw_rooms, 0.2),
    (draw_waves, 0.1),
)
"""Kinds of drawn textures and their shares."""


def draw_texture(rng: np.random.Generator) -> Image:
    """One texture uint8 [512, 512, 3] of a random kind, softened by a random lens."""
    kinds, shares = zip(*KINDS, strict=True)
    image = kinds[int(rng.choice(len(kinds), p=shares))](rng)
    blur = rng.uniform(0.3, 2.0)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8)


def _to_uint8(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


class DrawnTextures:
    """`count` procedural textures, drawn on first use; the same for the same seed."""

    narrowest = 70.0
    """Texels across the narrowest view: few, as there is detail at every scale."""

    def __init__(self, seed: Sequence[int], count: int = 96) -> None:
        self.seed = tuple(seed)
        self.count = count
        self._drawn: dict[int, Pyramid] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pyramid:
        if index not in self._drawn:
            self._drawn[index] = build_pyramid(
                draw_texture(np.random.default_rng((*self.seed, index)))
            )
        return self._drawn[index]


class PhotographedTextures:
    """Images, and `per_video` frames of videos, below a folder, all in memory.

    Raises DataError when there are none.
    """

    narrowest = 200.0
    """Texels across the narrowest view: 2/5 of the image, which has little detail below."""

    def __init__(self, folder: Path, per_video: int = 4, limit: int = 400) -> None:
        self._pyramids: list[Pyramid] = []
        for image in find_images(folder, per_video):
            self._pyramids.append(build_pyramid(_resize_texture(image)))
            if len(self._pyramids) == limit:
                break
        if not self._pyramids:
            raise DataError(f"{folder}: no readable image or video to take textures from")

    def __len__(self) -> int:
        return len(self._pyramids)

    def __getitem__(self, index: int) -> Pyramid:
        return self._pyramids[index]


def find_images(folder: Path, per_video: int) -> Iterator[Image]:
    """Every image below `folder`, and `per_video` frames of every video: RGB uint8 [H, W, 3]."""
    for path in sorted(Path(path) for path in walk_files(folder) if is_file(path)):
        if path.suffix.lower() in IMAGES:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None:
                yield np.ascontiguousarray(image[..., ::-1], np.uint8)
        elif is_video(path.name):
            yield from read_frames(path, per_video)


def read_frames(path: Path, count: int) -> Iterator[Image]:
    """Up to `count` frames at equal distances: RGB uint8 [H, W, 3]; none of an unreadable file."""
    source = cv2.VideoCapture(str(path))
    total = int(source.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {int((i + 0.5) * total / count) for i in range(count)} if total > 0 else set()
    for index in range(max(wanted, default=-1) + 1):
        if not source.grab():
            break
        if index in wanted:
            found, image = source.retrieve()
            if found:
                yield np.ascontiguousarray(image[..., ::-1], np.uint8)
    source.release()


def _resize_texture(image: Image) -> Image:
    """The image with its shorter side at SIDE pixels."""
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)

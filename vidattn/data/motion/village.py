"""A drawn village under a camera with known moves: the video of `vidattn demo`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidattn.data.motion.textures import draw_noise

Image = NDArray[np.uint8]

FPS, WIDTH, HEIGHT = 24, 480, 270
WORLD = (1000, 2400)
"""Rows and columns of the picture that the camera looks at."""
GROUND = 700
"""The row where the houses stand."""


@dataclass(frozen=True)
class Shot:
    """One scene: what it shows, its true label, seconds, and the view at its start.

    x, y: center, in pixels of the picture; zoom: magnification. step: change of the three in each
    frame, of the zoom as a factor. shake: pixels.
    """

    text: str
    label: str
    seconds: float
    x: float
    y: float
    zoom: float = 1.0
    step: tuple[float, float, float] = (0.0, 0.0, 1.0)
    shake: float = 0.0


SHOTS = (
    Shot("the village, from a tripod", "static", 3, 420, 600),
    Shot("along the houses", "pan right", 4, 420, 600, step=(4.0, 0.0, 1.0)),
    Shot("up the church tower", "tilt up", 3, 1400, 640, 0.9, (0.0, -4.0, 1.0)),
    Shot("closer to the red house", "zoom in", 3, 560, 620, 0.7, (0.0, 0.0, 1.012)),
    Shot("back along the trees", "pan left", 3, 2000, 620, step=(-4.0, 0.0, 1.0)),
    Shot("away from the church", "zoom out", 3, 1400, 560, 1.7, (0.0, 0.0, 1 / 1.012)),
    Shot("the street, by hand", "handheld", 3, 1750, 620, 1.2, shake=7.0),
)


def draw_shots() -> Iterator[Image]:
    """All frames, uint8 [HEIGHT, WIDTH, 3]; the same every time."""
    picture, rng = draw_village(), np.random.default_rng(7)
    for shot in SHOTS:
        x, y, zoom = shot.x, shot.y, shot.zoom
        for _ in range(round(shot.seconds * FPS)):
            dx, dy = rng.normal(0, shot.shake, 2) if shot.shake else (0.0, 0.0)
            yield _look(picture, x + dx, y + dy, zoom)
            x, y, zoom = x + shot.step[0], y + shot.step[1], zoom * shot.step[2]


def _look(picture: Image, x: float, y: float, zoom: float) -> Image:
    """What a camera sees with a point in the middle."""
    left, top = WIDTH / 2 - zoom * x, HEIGHT / 2 - zoom * y
    view = np.array([[zoom, 0, left], [0, zoom, top]])
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(
        cv2.warpAffine(picture, view, (WIDTH, HEIGHT), flags=flags, borderMode=border)
    )


def draw_village() -> Image:
    """The picture: sky, mountains, meadow, street, houses, a church and trees."""
    rng, (rows, columns) = np.random.default_rng(3), WORLD
    picture = np.empty((rows, columns, 3), np.uint8)
    sky = np.linspace(0, 1, rows)[:, None, None]
    picture[:] = (np.array([90, 150, 225]) * (1 - sky) + np.array([205, 225, 245]) * sky)[:, :1]
    for _ in range(26):
        _draw_cloud(picture, rng)
    for x in range(-100, columns + 100, 170):
        _draw_mountain(picture, x + int(rng.integers(-40, 40)), int(rng.integers(200, 330)), rng)
    cv2.rectangle(picture, (0, GROUND - 60), (columns, rows), (92, 150, 70), -1)
    cv2.rectangle(picture, (0, GROUND + 40), (columns, GROUND + 95), (120, 118, 115), -1)
    for x in range(0, columns, 60):
        cv2.rectangle(picture, (x, GROUND + 65), (x + 30, GROUND + 69), (240, 240, 235), -1)
    for number, x in enumerate((120, 300, 480, 700, 900, 1090, 1580, 1790)):
        _draw_house(picture, x, number, rng)
    _draw_church(picture, 1330)
    for x in (60, 260, 440, 650, 860, 1040, 1260, 1530, 1740, 1960, 2040, 2110, 2200, 2290):
        _draw_tree(picture, x, int(rng.integers(60, 110)), rng)
    grain = 5 * np.tile(draw_noise(rng, 0.8), (2, 5))[:rows, :columns, None]
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)


def _draw_cloud(picture: Image, rng: np.random.Generator) -> None:
    x, y = int(rng.integers(0, WORLD[1])), int(rng.integers(20, 380))
    for _ in range(6):
        at = (x + int(rng.integers(-50, 50)), y + int(rng.integers(-12, 12)))
        cv2.ellipse(picture, at, (int(rng.integers(20, 42)), 15), 0, 0, 360, (250, 250, 252), -1)


def _draw_mountain(picture: Image, x: int, height: int, rng: np.random.Generator) -> None:
    base, half = GROUND - 60, int(height * 0.6)
    gray = int(rng.integers(95, 140))
    _fill(
        picture, [(x - half, base), (x, base - height), (x + half, base)], (gray, gray, gray + 15)
    )
    top = base - height
    snow = [(x - 30, top + 50), (x, top), (x + 30, top + 50), (x + 8, top + 36), (x - 8, top + 58)]
    _fill(picture, snow, (245, 248, 252))


WALLS = ((235, 215, 170), (225, 235, 240), (190, 60, 50), (240, 200, 120), (170, 195, 210))
ROOFS = ((150, 60, 45), (90, 70, 65), (70, 55, 55), (120, 50, 40))


def _draw_house(picture: Image, x: int, number: int, rng: np.random.Generator) -> None:
    high, wide = int(rng.integers(100, 150)), 140
    top = GROUND + 20 - high
    cv2.rectangle(picture, (x, top), (x + wide, GROUND + 20), WALLS[number % len(WALLS)], -1)
    roof = [(x - 14, top), (x + wide // 2, top - 70), (x + wide + 14, top)]
    _fill(picture, roof, ROOFS[number % len(ROOFS)])
    for left in (x + 18, x + 94):
        for row in range(top + 16, GROUND - 20, 46):
            cv2.rectangle(picture, (left, row), (left + 28, row + 28), (60, 80, 110), -1)
            cv2.rectangle(picture, (left, row), (left + 28, row + 28), (250, 250, 250), 3)
            cv2.line(picture, (left + 14, row), (left + 14, row + 28), (250, 250, 250), 2)
    cv2.rectangle(picture, (x + 56, GROUND - 36), (x + 84, GROUND + 20), (95, 60, 40), -1)


def _draw_church(picture: Image, x: int) -> None:
    stone, dark, base = (215, 205, 185), (75, 70, 80), GROUND + 20
    cv2.rectangle(picture, (x + 100, base - 150), (x + 240, base), stone, -1)
    _fill(picture, [(x + 95, base - 150), (x + 170, base - 225), (x + 250, base - 150)], dark)
    cv2.rectangle(picture, (x + 20, base - 380), (x + 110, base), stone, -1)
    _fill(picture, [(x + 10, base - 380), (x + 65, base - 540), (x + 120, base - 380)], dark)
    cv2.line(picture, (x + 65, base - 575), (x + 65, base - 535), (220, 180, 60), 5)
    cv2.line(picture, (x + 50, base - 562), (x + 80, base - 562), (220, 180, 60), 5)
    cv2.circle(picture, (x + 65, base - 330), 30, (250, 250, 245), -1)
    cv2.circle(picture, (x + 65, base - 330), 30, dark, 4)
    cv2.line(picture, (x + 65, base - 330), (x + 65, base - 352), dark, 4)
    cv2.line(picture, (x + 65, base - 330), (x + 80, base - 324), dark, 4)
    for row in (base - 260, base - 190, base - 120):
        cv2.ellipse(picture, (x + 65, row), (12, 24), 0, 0, 360, dark, -1)


def _draw_tree(picture: Image, x: int, size: int, rng: np.random.Generator) -> None:
    base = GROUND + 30
    cv2.rectangle(picture, (x - 7, base - size), (x + 7, base), (95, 65, 40), -1)
    for _ in range(9):
        at = (x + int(rng.integers(-28, 28)), base - size - int(rng.integers(-20, 45)))
        green = (35 + int(rng.integers(0, 40)), 100 + int(rng.integers(0, 50)), 45)
        cv2.circle(picture, at, int(rng.integers(16, 28)), green, -1, cv2.LINE_AA)


def _fill(picture: Image, corners: list[tuple[int, int]], color: tuple[int, int, int]) -> None:
    cv2.fillPoly(picture, [np.array(corners, np.int32)], color, cv2.LINE_AA)

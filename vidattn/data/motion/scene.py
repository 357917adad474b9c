"""Renders a textured scene along a camera path: scene, moving objects, lens, sensor, codec.

All draws come from the generator that is passed in, so the same generator gives the same clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidattn.data.motion.camera import (
    CameraPath,
    Floats,
    compute_flow,
    draw_log_uniform,
    draw_shake,
    rotation_matrices,
)
from vidattn.data.motion.textures import SIDE, DrawnTextures, PhotographedTextures, Pyramid

Clip = NDArray[np.uint8]
Textures = DrawnTextures | PhotographedTextures

WIDEST = 420.0
"""Texels across the widest view of a texture; the rest leaves room for motion."""

EVENTFUL = 12.0
"""Mean difference of neighbors in a 16 x 16 view, both directions, that makes motion visible."""


@dataclass(frozen=True)
class Surface:
    """A texture in the scene: frame coordinate q shows texel `origin + base @ q`."""

    levels: Pyramid
    base: Floats
    origin: Floats

    def view(self, poses: Floats, size: int) -> Clip:
        """The view of a camera at each pose: uint8 [N, size, size, 3]."""
        return _warp(
            self.levels,
            self.base @ rotation_matrices(poses),
            self.origin + poses[:, :2] @ self.base.T,
            size,
        )


def draw_surface(rng: np.random.Generator, textures: Textures, difficulty: float) -> Surface:
    """A part of a texture with visible detail; the best of six when all are bare."""
    best, most = None, -1.0
    for _ in range(6):
        found = _draw_any_surface(rng, textures, difficulty)
        view = found.view(np.zeros((1, 4)), 16)[0].astype(np.float32).mean(-1)
        events = float(np.abs(np.diff(view, axis=0)).mean() + np.abs(np.diff(view, axis=1)).mean())
        if best is None or events > most:
            best, most = found, events
        if most > EVENTFUL:
            break
    assert best is not None
    return best


def _draw_any_surface(rng: np.random.Generator, textures: Textures, difficulty: float) -> Surface:
    """A random part of a random texture, rotated (slightly or by any angle), mirrored, scaled."""
    levels = textures[int(rng.integers(len(textures)))]
    height, width = levels[0].shape[:2]
    texels = draw_log_uniform(rng, textures.narrowest + 80 * (1 - difficulty), WIDEST)
    angle = rng.normal(0, 0.15) if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    base = texels * rotation_matrices(np.array([[0, 0, 0, angle]]))[0]
    base[:, 0] *= rng.choice([-1, 1])
    margin = min(0.5, texels / SIDE / 2)
    origin = np.array([width, height]) * rng.uniform(margin, 1 - margin, 2)
    return Surface(levels, base, origin)


def _warp(
    levels: Pyramid, linear: Floats, origin: Floats, size: int, border: int = cv2.BORDER_REFLECT_101
) -> Clip:
    """Frames with texel origin + linear @ p at point p, 0 at the center and +-.5 at edges."""
    ratio = np.sqrt(np.abs(np.linalg.det(linear))) / size
    frames = np.empty((len(linear), size, size, *levels[0].shape[2:]), np.uint8)
    level = int(np.clip(np.round(np.log2(np.median(ratio))), 0, len(levels) - 1))
    scale = 2.0**-level
    step = linear / size * scale
    start = (origin * scale) - 0.5 + step @ np.full(2, 0.5 - size / 2)
    for i, frame in enumerate(frames):
        cv2.warpAffine(
            levels[level],
            np.column_stack([step[i], start[i]]),
            (size, size),
            dst=frame,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )
    return frames


def render(
    rng: np.random.Generator,
    textures: Textures,
    path: CameraPath,
    size: int,
    difficulty: float,
    grid: int = 4,
) -> tuple[Clip, NDArray[np.float32]]:
    """Render a scene along `path`.

    Returns the clip uint8 [T, size, size, 3] and its flow float32 [T - 1, grid, grid, 2] (see
    `compute_flow`), NaN where a moving object covers more than a third of a square.
    """
    times = np.arange(path.frames, dtype=np.float64)
    if rng.random() < 0.5 * difficulty:  # uneven frame times
        times += rng.uniform(-0.12, 0.12, len(times))
    exposure = rng.uniform(0.2, 0.9) if rng.random() < 0.25 * difficulty else 0.0
    poses = path.at(times)
    ground = draw_surface(rng, textures, difficulty)
    clip = _expose(lambda t: ground.view(path.at(t), size), times, exposure)
    flow = compute_flow(poses, grid)
    if rng.random() < 0.65 * difficulty:
        for hidden in _add_objects(rng, clip, textures, poses):
            cover = np.stack(
                [cv2.resize(h, (grid, grid), interpolation=cv2.INTER_AREA) for h in hidden]
            )
            flow[np.maximum(cover[:-1], cover[1:]) > 1 / 3] = np.nan
    return clip, flow


def _expose(look: Callable[[Floats], Clip], times: Floats, exposure: float) -> Clip:
    """Frames at `times`, each the mean over `exposure` steps: motion blur."""
    if exposure == 0:
        return look(times)
    offsets = np.array([-0.5, -0.17, 0.17, 0.5]) * exposure
    shots = look((times[:, None] + offsets).ravel())
    mean = shots.reshape(len(times), len(offsets), *shots.shape[1:]).mean(1, dtype=np.float32)
    return np.asarray(mean, np.uint8)


def _add_objects(
    rng: np.random.Generator, clip: Clip, textures: Textures, camera: Floats
) -> Iterator[NDArray[np.float32]]:
    """Draw one large object or several smaller ones that move alone or, like traffic, together."""
    count = int(rng.choice([1, 2, 3, 5], p=[0.55, 0.2, 0.15, 0.1]))
    together = rng.random() < 0.5
    drift = _draw_drift(rng)
    for _ in range(count):
        extent = rng.uniform(0.2, 0.75) / (1.0 if count < 3 else 1.7)
        drift = drift if together else _draw_drift(rng)
        yield _add_object(rng, clip, textures, camera, extent, drift)


def _draw_drift(rng: np.random.Generator) -> Floats:
    return np.asarray(rng.normal(0, 1, 4) * np.array([1, 1, 0.3, 0.5]), np.float64)


def _add_object(
    rng: np.random.Generator,
    clip: Clip,
    textures: Textures,
    camera: Floats,
    extent: float,
    drift: Floats,
) -> NDArray[np.float32]:
    """Draw an object that moves along `drift` over `clip`; returns its opacity [T, size, size]."""
    frames, size = clip.shape[:2]
    speed = draw_log_uniform(rng, 0.004, 0.07)
    track = np.arange(frames)[:, None] * drift / np.linalg.norm(drift) * speed
    track = (
        track
        - track[int(rng.integers(frames))]
        + draw_shake(rng, frames, speed * rng.uniform(0, 1))
    )
    if rng.random() < 0.3:  # a nearer, standing object moves with the scene, but more
        track += (camera[0] - camera) * np.array([1, 1, 0, 0]) * rng.uniform(0.8, 1.6)
    place = rng.uniform(-0.45, 0.45, 2) + track[:, :2]
    grown = extent * np.exp(track[:, 2])
    # Frame point p is the object's own point turn(-angle) @ (p - place) / grown.
    own = np.stack([place[:, 0] * 0, place[:, 1] * 0, np.log(grown), -track[:, 3]], 1)
    inverse = rotation_matrices(own)
    stretch = np.array([1, rng.uniform(0.6, 1.8)])[:, None]
    inverse = stretch * inverse
    shift = -(inverse @ place[..., None])[..., 0]
    cover = draw_surface(rng, textures, 1.0)
    texels = np.linalg.norm(cover.base[:, 1]) * extent
    skin = _warp(cover.levels, texels * inverse, cover.origin + texels * shift, size)
    mask = _draw_blob(rng)
    side = mask[0].shape[0]
    linear, origin = side / 2 * inverse, side / 2 + side / 2 * shift
    opacity = _warp(mask, linear, origin, size, cv2.BORDER_CONSTANT).astype(np.float32)
    opacity /= np.float32(255)
    clip[:] = clip + (skin.astype(np.float32) - clip) * opacity[..., None]
    return opacity


def _draw_blob(rng: np.random.Generator, side: int = 128) -> Pyramid:
    """An opaque shape on clear ground: uint8 [side, side], and at half the size."""
    mask = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.normal(side / 2, side / 10, 2)
        axes = (int(rng.uniform(8, 28)), int(rng.uniform(8, 28)))
        cv2.ellipse(mask, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 255.0, -1)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 4)), np.uint8)
    soft[[0, 1, -2, -1]] = 0
    soft[:, [0, 1, -2, -1]] = 0
    return soft, np.asarray(cv2.resize(soft, (side // 2, side // 2), interpolation=cv2.INTER_AREA))


def degrade(rng: np.random.Generator, clip: Clip, difficulty: float) -> Clip:
    """Effects of lens, sensor and codec on a clip uint8 [T, H, W, 3]; returns the same shape."""
    frames, size = clip.shape[:2]
    if rng.random() < 0.4 * difficulty:  # out of focus, or scaled up
        blur = rng.uniform(0.4, 1.6)
        clip = np.stack([cv2.GaussianBlur(f, (0, 0), blur) for f in clip])
    values = clip.astype(np.float32)
    if rng.random() < 0.3:
        gray = values @ np.array([0.299, 0.587, 0.114], np.float32)
        share = np.float32(rng.choice([0, rng.random()]))
        values = values * share + gray[..., None] * (1 - share)
    gain = np.exp(rng.normal(0, 0.12, 3) + rng.normal(0, 0.25)) * np.ones((frames, 1))
    if rng.random() < 0.4 * difficulty:  # exposure drifts or flickers
        gain *= np.exp(np.linspace(-1, 1, frames) * rng.normal(0, 0.12))[:, None]
        gain *= np.exp(rng.normal(0, 0.03 * rng.random(), frames))[:, None]
    if rng.random() < 0.35:  # flat light: little contrast
        gain *= rng.uniform(1 - 0.8 * difficulty, 1)
    if rng.random() < 0.6 * difficulty:
        values += _draw_grain(rng, values.shape) * np.float32(draw_log_uniform(rng, 0.5, 9))
    middle = rng.uniform(60, 180)
    gains = gain[:, None, None].astype(np.float32)
    values = (values - np.float32(110)) * gains + np.float32(middle)
    clip = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.3 * difficulty:
        clip = _compress(clip, int(rng.integers(20, 80)))
    if rng.random() < 0.12 * difficulty:  # black bars
        edge = int(rng.integers(1, size // 6))
        view = clip if rng.random() < 0.7 else clip.transpose(0, 2, 1, 3)
        view[:, :edge] = view[:, -edge:] = rng.integers(0, 20)
    if rng.random() < 0.06 * difficulty:  # a repeated frame
        i = int(rng.integers(1, frames))
        clip[i] = clip[i - 1]
    return clip


def _draw_grain(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Sensor noise of std 1 from sums of random bytes: nearly normal and much cheaper."""
    count = int(np.prod(shape))
    noise = np.frombuffer(rng.bytes(count), np.int8).astype(np.float32)
    noise += np.roll(noise, 9973 + int(rng.integers(1000)))
    return np.asarray((noise / np.float32(104.5)).reshape(shape), np.float32)


def _compress(clip: Clip, quality: int) -> Clip:
    """Every frame through JPEG."""
    quality_flag = [cv2.IMWRITE_JPEG_QUALITY, quality]
    coded = (cv2.imencode(".jpg", frame, quality_flag)[1] for frame in clip)
    return np.stack([np.asarray(cv2.imdecode(c, cv2.IMREAD_COLOR), np.uint8) for c in coded])

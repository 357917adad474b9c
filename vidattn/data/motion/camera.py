"""How a camera moves, and what that motion is called.

A clip's label is not chosen but read off the camera's path (`label_of`). Lengths are fractions of
the picture's shorter side, speeds are per step between neighboring frames, and the speed of every
kind of motion is that of the middle of an edge: half a zoom's growth, half a roll's angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABELS = (
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "roll cw",
    "roll ccw",
    "handheld",
)
"""What the camera does: in a pan left it turns left and the picture's content moves right."""

MOVE = 0.008
"""The slowest pan, tilt, zoom, roll or shake that has a name: 0.8 % of the short side per step."""

STILL = 0.003
"""The fastest motion that counts as none. Between STILL and MOVE a clip has no label."""

FASTEST = {"pan": 0.085, "zoom": 0.05, "roll": 0.06, "shake": 0.05}
"""Upper ends of the speeds drawn, per step."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CameraPath:
    """Where a camera is at whole steps -1, 0 .. T: float64 [T + 2, 4].

    Columns: x to the right, y downwards, log of the magnification, clockwise angle in radians.
    """

    points: Floats

    @property
    def frames(self) -> int:
        """T."""
        return len(self.points) - 2

    def at(self, times: Floats) -> Floats:
        """Poses [N, 4] at `times` [N] in steps, between -1 and T, by linear interpolation."""
        steps = np.arange(-1, self.frames + 1)
        return np.stack([np.interp(times, steps, column) for column in self.points.T], 1)


NAMED = ((1, 2), (3, 4), (6, 5), (8, 7))
"""Labels of negative and positive motion along each column of a path."""

EDGE = np.array([1.0, 1.0, 0.5, 0.5])
"""Speed at the middle of an edge for unit change of x, y, log magnification and angle."""


def label_of(poses: Floats) -> int | None:
    """The class of a camera path [T, 4], or None when it lies between two classes.

    A move is named when its mean speed is at least MOVE, twice that of any other and not below the
    unsteadiness; what is below STILL in every respect is static; unsteadiness of at least MOVE
    (root mean square) with no drift to speak of is handheld.
    """
    steps = np.diff(poses, axis=0) * EDGE
    drift = steps.mean(0)
    shake = float(np.sqrt(((steps - drift) ** 2).sum(1).mean()))
    order = np.argsort(-np.abs(drift))
    first, second = np.abs(drift[order[:2]])
    if first >= MOVE and first >= 2 * second and first >= shake:
        axis = int(order[0])
        return NAMED[axis][int(drift[axis] > 0)]
    if first <= STILL and shake <= STILL:
        return 0
    if shake >= MOVE and first <= shake / 3:
        return 9
    return None


def flow_of(poses: Floats, grid: int) -> NDArray[np.float32]:
    """How far the picture's content moves at the centers of grid x grid squares.

    poses: [T, 4]. Returns float32 [T - 1, grid, grid, 2]: (dx, dy) to the next frame, in short
    sides.
    """
    centers = (np.arange(grid) + 0.5) / grid - 0.5
    here = np.stack(np.meshgrid(centers, centers), -1)
    scene = here @ turn(poses[:-1]).transpose(0, 2, 1)[:, None] + poses[:-1, None, None, :2]
    back = np.linalg.inv(turn(poses[1:]))
    there = (scene - poses[1:, None, None, :2]) @ back.transpose(0, 2, 1)[:, None]
    return np.asarray(there - here, np.float32)


def turn(poses: Floats) -> Floats:
    """The 2x2 matrices that take picture offsets to scene offsets: [N, 2, 2]."""
    cos, sin = np.cos(poses[:, 3]), np.sin(poses[:, 3])
    turned = np.stack([cos, -sin, sin, cos], 1).reshape(-1, 2, 2)
    return np.asarray(np.exp(-poses[:, 2])[:, None, None] * turned, np.float64)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high) whose logarithm is uniform; `low` when high <= low."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))


def shaking(rng: np.random.Generator, frames: int, size: float) -> Floats:
    """Unsteady hands: a path [frames, 4] without drift, root mean square step `size`."""
    memory = rng.uniform(0.0, 0.75)
    weights = np.array([1, rng.uniform(0.5, 1), rng.uniform(0, 0.5), rng.uniform(0, 1)])
    points = rng.normal(0, 1, (frames, 4)) * weights
    for i in range(1, frames):
        points[i] += memory * points[i - 1]
    points -= np.linspace(0, 1, frames)[:, None] * (points[-1] - points[0]) + points[0]
    steps = np.diff(points, axis=0) * EDGE
    spread = float(np.sqrt((steps**2).sum(1).mean()))
    return np.asarray(points * (size / max(1e-9, spread)), np.float64)


def camera_path(rng: np.random.Generator, label: int, frames: int, difficulty: float) -> CameraPath:
    """A path that `label_of` gives `label`; at difficulty 0 it is fast, even and undisturbed."""
    for _ in range(100):
        path = _drawn_path(rng, label, frames, difficulty)
        if label_of(path.points[1:-1]) == label:
            return path
    raise AssertionError(f"no path for {LABELS[label]}")


def _drawn_path(rng: np.random.Generator, label: int, frames: int, difficulty: float) -> CameraPath:
    count = frames + 2
    slowest = MOVE * 3 ** (1 - difficulty)
    drift = np.zeros(4)
    if label == 9:
        size = log_uniform(rng, slowest, FASTEST["shake"])
        drift[:] = rng.normal(0, 0.1, 4) * size * difficulty
        return CameraPath(
            np.arange(count)[:, None] * drift / EDGE + shaking(rng, count, size * 1.05)
        )
    if label == 0:
        drift[:] = rng.uniform(-1, 1, 4) * STILL * rng.choice([0, 0.3, 0.9]) * difficulty
        wobble = STILL * rng.choice([0.0, 0.4, 0.8]) * difficulty
        return CameraPath(np.arange(count)[:, None] * drift / EDGE + shaking(rng, count, wobble))
    axis = (label - 1) // 2
    sign = 1 if NAMED[axis][1] == label else -1
    speed = log_uniform(rng, slowest, FASTEST[("pan", "pan", "zoom", "roll")[axis]])
    drift = rng.uniform(-0.4, 0.4, 4) * difficulty * speed * (rng.random() < 0.7)
    drift[axis] = sign * speed
    progress = np.cumsum(_pace(rng, count, difficulty))
    wobble = speed * rng.uniform(0, 0.5) * difficulty * (rng.random() < 0.6)
    return CameraPath(progress[:, None] * drift / EDGE + shaking(rng, count, wobble))


def _pace(rng: np.random.Generator, count: int, difficulty: float) -> Floats:
    """Relative speed at every step, mean 1: even, rising, falling, or with a pause at one end."""
    kind = rng.random()
    pace = np.ones(count)
    if kind < 0.35 * difficulty:
        pace = np.linspace(rng.uniform(0.2, 1), 1, count)
    elif kind < 0.5 * difficulty:
        pace[: int(rng.integers(1, count // 2))] = 0.05
    if rng.random() < 0.5:
        pace = pace[::-1]
    return np.asarray(pace / pace.mean(), np.float64)

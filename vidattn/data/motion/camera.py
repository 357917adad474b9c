"""Camera paths, and the names of their motion.

The label of a clip follows from its camera path (`classify_path`). Lengths are fractions of the
shorter side of the frame, speeds are per frame, and the speed of every kind of motion is that of
the middle of an edge: half the growth of a zoom, half the angle of a roll.
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
"""Motion of the camera: in a pan left it turns left and the content of the frame moves right."""

MOVE = 0.008
"""The slowest motion with a name: 0.8 % of the short side per frame."""

STILL = 0.003
"""The fastest motion that counts as none. Between STILL and MOVE a clip has no label."""

FASTEST = {"pan": 0.085, "zoom": 0.05, "roll": 0.06, "shake": 0.05}
"""Largest speeds, per frame."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CameraPath:
    """Poses of a camera at the frames -1, 0 .. T: float64 [T + 2, 4].

    Columns: x to the right, y downwards, log of the magnification, clockwise angle in radians.
    """

    points: Floats

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return len(self.points) - 2

    def at(self, times: Floats) -> Floats:
        """Poses [N, 4] at `times` [N] in frames, from -1 to T, by linear interpolation."""
        steps = np.arange(-1, self.frames + 1)
        return np.stack([np.interp(times, steps, column) for column in self.points.T], 1)


AXIS_LABELS = ((1, 2), (3, 4), (6, 5), (8, 7))
"""Labels of negative and positive motion along each column of a path."""

EDGE = np.array([1.0, 1.0, 0.5, 0.5])
"""Speed at the middle of an edge for unit change of x, y, log magnification and angle."""


def classify_path(poses: Floats) -> int | None:
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
        return AXIS_LABELS[axis][int(drift[axis] > 0)]
    if first <= STILL and shake <= STILL:
        return 0
    if shake >= MOVE and first <= shake / 3:
        return 9
    return None


def compute_flow(poses: Floats, grid: int) -> NDArray[np.float32]:
    """Motion of the content at the centers of grid x grid squares.

    poses: [T, 4]. Returns float32 [T - 1, grid, grid, 2]: (dx, dy) to the next frame, in short
    sides.
    """
    centers = (np.arange(grid) + 0.5) / grid - 0.5
    here = np.stack(np.meshgrid(centers, centers), -1)
    scene = (
        here @ rotation_matrices(poses[:-1]).transpose(0, 2, 1)[:, None]
        + poses[:-1, None, None, :2]
    )
    back = np.linalg.inv(rotation_matrices(poses[1:]))
    there = (scene - poses[1:, None, None, :2]) @ back.transpose(0, 2, 1)[:, None]
    return np.asarray(there - here, np.float32)


def rotation_matrices(poses: Floats) -> Floats:
    """Matrices from offsets in the frame to offsets in the scene: [N, 2, 2]."""
    cos, sin = np.cos(poses[:, 3]), np.sin(poses[:, 3])
    turned = np.stack([cos, -sin, sin, cos], 1).reshape(-1, 2, 2)
    return np.asarray(np.exp(-poses[:, 2])[:, None, None] * turned, np.float64)


def draw_log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high) whose logarithm is uniform; `low` when high <= low."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))


def draw_shake(rng: np.random.Generator, frames: int, size: float) -> Floats:
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


def draw_path(rng: np.random.Generator, label: int, frames: int, difficulty: float) -> CameraPath:
    """A path of class `label`; at difficulty 0 it is fast, even and undisturbed."""
    for _ in range(100):
        path = _draw_any_path(rng, label, frames, difficulty)
        if classify_path(path.points[1:-1]) == label:
            return path
    raise AssertionError(f"no path for {LABELS[label]}")


def _draw_any_path(
    rng: np.random.Generator, label: int, frames: int, difficulty: float
) -> CameraPath:
    count = frames + 2
    slowest = MOVE * 3 ** (1 - difficulty)
    drift = np.zeros(4)
    if label == 9:
        size = draw_log_uniform(rng, slowest, FASTEST["shake"])
        drift[:] = rng.normal(0, 0.1, 4) * size * difficulty
        return CameraPath(
            np.arange(count)[:, None] * drift / EDGE + draw_shake(rng, count, size * 1.05)
        )
    if label == 0:
        drift[:] = rng.uniform(-1, 1, 4) * STILL * rng.choice([0, 0.3, 0.9]) * difficulty
        wobble = STILL * rng.choice([0.0, 0.4, 0.8]) * difficulty
        return CameraPath(np.arange(count)[:, None] * drift / EDGE + draw_shake(rng, count, wobble))
    axis = (label - 1) // 2
    sign = 1 if AXIS_LABELS[axis][1] == label else -1
    speed = draw_log_uniform(rng, slowest, FASTEST[("pan", "pan", "zoom", "roll")[axis]])
    drift = rng.uniform(-0.4, 0.4, 4) * difficulty * speed * (rng.random() < 0.7)
    drift[axis] = sign * speed
    progress = np.cumsum(_draw_pace(rng, count, difficulty))
    wobble = speed * rng.uniform(0, 0.5) * difficulty * (rng.random() < 0.6)
    return CameraPath(progress[:, None] * drift / EDGE + draw_shake(rng, count, wobble))


def _draw_pace(rng: np.random.Generator, count: int, difficulty: float) -> Floats:
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

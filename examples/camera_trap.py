"""Draws the videos of camera traps: a still camera, leaves in the wind, light that changes, noise,
and in half of the videos a deer or a fox that walks through, at day or night.

    python examples/camera_trap.py

writes labeled/ with labels.csv, which says what is in each video and at which site it was recorded,
and the new recordings of two more sites: traps/, of which one is cut off, with starts.csv,
deployments.csv and taxa.csv. Needs nothing that is not installed with vidattn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

FPS, WIDTH, HEIGHT, SECONDS = 12, 320, 180, 8
HORIZON = 80
FRACTION = 4
"""Bits of a pixel behind the comma, in which places are given to OpenCV."""
UNIT = 2**FRACTION
ENCODING = {"preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
"""More threads would write other bytes, and macroblock trees others each time."""
ANIMALS = {"deer": (0.62, 0.34, (122, 92, 66), 30.0), "fox": (0.44, 0.17, (168, 92, 44), 45.0)}
"""Length of the body and height of the legs in parts of the size, color, and pixels a second."""
SITES, NEW_SITES = ("beech", "creek", "pond", "ridge"), ("site-a", "site-b")
LABELED, NEW = 12, 8
"""Videos of each site."""
FIRST_DAY = datetime(2024, 5, 1, tzinfo=UTC)
Picture = np.ndarray


@dataclass(frozen=True)
class Visit:
    """An animal that crosses the picture."""

    animal: str
    start: float
    """Seconds from the start of the video."""
    size: float
    """In pixels; the nearer, the larger and lower in the picture."""
    speed: float
    """Pixels a second; to the left below 0."""

    @classmethod
    def draw(cls, animal: str, rng: np.random.Generator) -> Visit:
        """One that may be near or far, slow or fast, from either side."""
        size = rng.uniform(45, 115) * (0.8 if animal == "fox" else 1)
        speed = ANIMALS[animal][3] * rng.uniform(0.7, 1.4) * size / 60
        return cls(animal, rng.uniform(-1.0, 2.5), size, speed * rng.choice((-1, 1)))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Picture:
    """Noise [height, width] from -1 to 1 with `cells` bumps along the width."""
    rows = max(round(cells * shape[0] / shape[1]), 2)
    coarse = rng.uniform(-1, 1, (rows, cells)).astype(np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def draw_place(seed: int) -> tuple[Picture, Picture]:
    """The picture of a site, float32 [HEIGHT, WIDTH, 3], and how far each pixel sways, 0 to 1."""
    rng, shape = np.random.default_rng(seed), (HEIGHT, WIDTH)
    rough = sum(smooth_noise(rng, shape, n) / (k + 2) for k, n in enumerate((12, 40, 120, 320)))
    rough, depth = rough[..., None], np.linspace(0, 1, HEIGHT)[:, None, None]
    forest = np.array((96, 118, 92)) + 70 * rough * (0.5 + depth)
    ground = np.array((128, 116, 78)) + 46 * rough - 26 * depth
    edge = HORIZON + 5 * smooth_noise(rng, (1, WIDTH), 9)
    below = np.clip((np.arange(HEIGHT)[:, None] - edge) / 6, 0, 1)[..., None]
    picture = forest * (1 - below) + ground * below
    sway = np.clip(1.0 - np.arange(HEIGHT) / HORIZON, 0, 1)[:, None] * np.ones(shape)
    for _ in range(9):
        trunk, bark = draw_trunk(rng), np.array((74, 62, 50)) + rng.uniform(-14, 14)
        picture = picture * (1 - trunk) + (bark + 34 * rough) * trunk
        sway *= 1 - trunk[..., 0]
    for _ in range(7):
        bush = draw_bush(rng)
        leaves = 0.6 * smooth_noise(rng, shape, 150)[..., None] + rough
        picture = picture * (1 - bush) + (np.array((66, 96, 48)) + 90 * leaves) * bush
        sway = np.maximum(sway, bush[..., 0])
    return np.clip(picture, 0, 255).astype(np.float32), sway.astype(np.float32)


def draw_trunk(rng: np.random.Generator) -> Picture:
    """Where the trunk of a tree is, 0 to 1, [HEIGHT, WIDTH, 1]."""
    x, wide = rng.uniform(0, WIDTH), rng.uniform(3, 11)
    foot = HORIZON + 4 * wide * rng.uniform(0.3, 0.9)
    half, root = wide / 2, 0.7 * wide
    corners = [(x - half, -2), (x + half, -2), (x + root, foot), (x - root, foot)]
    inside = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    cv2.fillPoly(inside, [np.array(corners, np.int32)], 255, cv2.LINE_AA)
    return inside / 255


def draw_bush(rng: np.random.Generator) -> Picture:
    """Where a bush is, 0 to 1, [HEIGHT, WIDTH, 1]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    height = rng.choice((rng.uniform(60, 95), rng.uniform(165, 185)))
    away = np.hypot(x - rng.uniform(0, WIDTH), 1.5 * (y - height)) / rng.uniform(18, 46)
    return np.clip(3 * (1 - away + 0.5 * smooth_noise(rng, y.shape, 60)), 0, 1)[..., None]


@dataclass(frozen=True)
class Brush:
    """Paints the parts of an animal, whose places are in parts of its size."""

    picture: Picture
    center: tuple[float, float]
    size: float
    way: float
    """1 to the right, -1 to the left."""
    color: tuple[int, int, int]

    def ellipse(
        self, x: float, y: float, width: float, height: float, tone: float = 1, turn: float = 0
    ) -> None:
        """Paint a part of the body."""
        axes = round(width * self.size * UNIT / 2), round(height * self.size * UNIT / 2)
        place, angle = self._place(x, y), self.way * turn
        cv2.ellipse(
            self.picture, place, axes, angle, 0, 360, self._paint(tone), -1, cv2.LINE_AA, FRACTION
        )

    def limb(
        self, start: tuple[float, float], end: tuple[float, float], width: float, tone: float = 1
    ) -> None:
        """Paint a leg, a neck or a horn."""
        thick, ends = max(round(width * self.size), 1), (self._place(*start), self._place(*end))
        cv2.line(self.picture, *ends, self._paint(tone), thick, cv2.LINE_AA, FRACTION)

    def _place(self, x: float, y: float) -> tuple[int, int]:
        right, down = self.way * x * self.size, y * self.size
        return round((self.center[0] + right) * UNIT), round((self.center[1] + down) * UNIT)

    def _paint(self, tone: float) -> tuple[float, ...]:
        return tuple(min(tone * value, 255.0) for value in self.color)


def draw_animal(picture: Picture, visit: Visit, time: float) -> None:
    """Draw an animal into a picture at a moment of its walk."""
    long, legs, color, _ = ANIMALS[visit.animal]
    size, way = visit.size, float(np.sign(visit.speed))
    gone = (time - visit.start) * visit.speed
    x = gone - size if way > 0 else WIDTH + size + gone
    if time < visit.start or not -size < x < WIDTH + size:
        return
    phase = 2 * np.pi * abs(gone) / (0.55 * size)
    top = HORIZON + 8 + size * (0.5 - legs) + 0.012 * size * np.sin(2 * phase)
    brush = Brush(picture, (x, top), size, way, color)
    for far, tone in ((np.pi / 2, 0.6), (0, 0.8)):
        for hip, turn in ((-0.42, 0), (0.42, np.pi)):
            step = phase + turn + far
            foot = hip * long - 0.13 * np.sin(step), 0.12 + legs - 0.05 * max(np.cos(step), 0)
            brush.limb((hip * long, 0.05), foot, 0.055, tone)
    brush.ellipse(0, 0, long, 0.28)
    brush.ellipse(0, 0.07, 0.8 * long, 0.12, 1.25)
    draw_ends(brush, visit.animal, long / 2)


def draw_ends(brush: Brush, animal: str, front: float) -> None:
    """Head and tail."""
    if animal == "deer":
        brush.limb((front - 0.06, -0.04), (front + 0.09, -0.28), 0.12)
        brush.ellipse(front + 0.15, -0.31, 0.24, 0.12, 1.05, 20)
        brush.limb((front + 0.07, -0.36), (front, -0.44), 0.04, 0.9)
        for tip in (-0.02, 0.12):
            brush.limb((front + 0.09, -0.36), (front + tip, -0.56), 0.02, 0.75)
        brush.ellipse(-front - 0.02, -0.05, 0.1, 0.1, 1.8)
    else:
        brush.ellipse(front + 0.08, -0.07, 0.22, 0.16, 1.05, 15)
        brush.limb((front + 0.04, -0.12), (front + 0.03, -0.21), 0.05, 0.7)
        brush.ellipse(-front - 0.15, 0.03, 0.42, 0.13, 0.95, -15)
        brush.ellipse(-front - 0.31, 0.07, 0.13, 0.09, 1.5, -15)


def draw_frames(place: int, seed: int, visit: Visit | None, night: bool) -> Iterator[Picture]:
    """A video, uint8 [HEIGHT, WIDTH, 3] each. place, seed: of the site and of the video."""
    rng, shape = np.random.default_rng(seed), (HEIGHT, WIDTH)
    picture, sway = draw_place(place)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    waves, wind, gusts = 3 * smooth_noise(rng, shape, 14), rng.uniform(0, 2.5), rng.uniform(1, 3)
    clouds, drift = rng.uniform(0, 0.18), rng.uniform(0.3, 1.5)
    level = rng.uniform(2, 4) * (2 if night else 1)
    noise = rng.normal(0, level, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    lamp = 1.15 - 1.1 * np.hypot(x - WIDTH / 2, y - 0.6 * HEIGHT)[..., None] / WIDTH
    for time in np.arange(FPS * SECONDS) / FPS:
        force = np.float32(wind * (0.6 + 0.4 * np.sin(gusts * time)))
        shift = force * sway * np.sin(np.float32(5 * time) + waves)
        frame = cv2.remap(picture, x + shift, y + shift / 2, 1, None, cv2.BORDER_REFLECT)
        frame *= 1 + clouds * np.sin(drift * time)
        if night:
            frame *= 0.8
        if visit is not None:
            draw_animal(frame, visit, time)
        if night:
            frame[:] = 1.25 * frame.mean(axis=2, keepdims=True) * lamp
        down, right = rng.integers(0, shape)
        grain = noise[down : down + HEIGHT, right : right + WIDTH]
        yield np.clip(frame + (grain[..., :1] if night else grain), 0, 255).astype(np.uint8)


def write_video(path: Path, frames: Iterator[Picture]) -> None:
    """Encode frames as H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def draw_site(folder: Path, place: int, count: int) -> Iterator[tuple[Path, str, int]]:
    """Draw the videos of a site: path, what is in it, and the hour of the day of each."""
    for number in range(count):
        seed = 1000 * place + number
        rng = np.random.default_rng(seed)
        label = ("blank", "deer", "blank", "fox")[number % 4]
        hour = int(rng.choice((5, 6, 19, 20, 21, 22) if label != "blank" else range(24)))
        visit = None if label == "blank" else Visit.draw(label, rng)
        path = folder / f"IMG_{number + 1:04d}.mp4"
        write_video(path, draw_frames(place, seed, visit, not 6 <= hour < 20))
        yield path, label, hour


def draw_labeled(folder: Path, sites: Sequence[str] = SITES, count: int = LABELED) -> Path:
    """Draw labeled/ and labels.csv into a folder; returns the list."""
    rows = ["path,label,group"]
    for place, site in enumerate(sites, start=1):
        for path, label, _ in draw_site(folder / "labeled" / site, place, count):
            rows.append(f"{path.relative_to(folder).as_posix()},{label},{site}")
    return write_rows(folder / "labels.csv", rows)


def draw_new(folder: Path) -> None:
    """Draw traps/ into a folder, and write what is known of it."""
    starts, deployments = ["path,start"], [
        "deploymentID,latitude,longitude,deploymentStart,deploymentEnd"
    ]  # fmt: skip
    for place, site in enumerate(NEW_SITES, start=101):
        for path, _, hour in draw_site(folder / "traps" / site, place, NEW):
            number = len(starts)
            when = FIRST_DAY + timedelta(days=number % 4, hours=hour, minutes=7 * number % 60)
            starts.append(f"{path.relative_to(folder).as_posix()},{when:%Y-%m-%dT%H:%MZ}")
        deployments.append(f"{site},52.7{place},23.8{place},2024-05-01T00:00Z,2024-06-01T00:00Z")
    path.write_bytes(path.read_bytes()[:1000])  # the card was pulled too early
    write_rows(folder / "starts.csv", starts)
    write_rows(folder / "deployments.csv", deployments)
    names = [
        "label,observationType,scientificName",
        "blank,blank,",
        "deer,animal,Cervus elaphus",
        "fox,animal,Vulpes vulpes",
    ]
    write_rows(folder / "taxa.csv", names)


def write_rows(path: Path, rows: Sequence[str]) -> Path:
    """Write the lines of a table."""
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    draw_labeled(Path())
    draw_new(Path())
    print("wrote labeled/, labels.csv, traps/, starts.csv, deployments.csv and taxa.csv")

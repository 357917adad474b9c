"""Draws recordings of a behavior lab: two arenas from above, a mouse in each that runs, grooms or
rests, and a strip with the time of day.

    python examples/cage.py

writes day1.mp4, day2.mp4 and day3.mp4, whose behaviors are in arenas.csv (those of the left arena
also in left.csv), and cage.mp4 with observations.boris and boxes.csv, which holds where its left
mouse is. Needs nothing that is not installed with vidattn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

FPS, WIDTH, HEIGHT, SECONDS = 12, 320, 180, 40
STRIP = 12
ARENAS = {"left": (6, 18, 150, 156), "right": (164, 18, 150, 156)}
"""Left, top, width and height in pixels."""
MARGIN, LONG = 24, 26
"""From the walls to the middle of a mouse, and its length, in pixels."""
FUR, SKIN = (74, 62, 54), (196, 152, 140)
FRACTION = 4
"""Bits of a pixel behind the comma, in which places are given to OpenCV."""
ENCODING = {"preset": "veryfast", "threads": "1"}
"""More threads would write other bytes."""
MONDAY = datetime(2024, 5, 6, 6, 30)
Picture = np.ndarray
Bout = tuple[float, float, str]
"""Start and stop in seconds, and the behavior."""


@dataclass(frozen=True)
class Pose:
    """Where a mouse is, which way it looks, and where it turns its head, in radians."""

    x: float
    y: float
    heading: float
    nod: float = 0.0
    swing: float = 0.0
    """Of the tail."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height around the mouse without its tail."""
        return self.x - LONG / 2, self.y - LONG / 2, LONG, LONG


def plan_bouts(rng: np.random.Generator) -> list[Bout]:
    """What a mouse does, from the start to the end of a video."""
    bouts: list[Bout] = []
    while not bouts or bouts[-1][1] < SECONDS:
        start, last = (bouts[-1][1], bouts[-1][2]) if bouts else (0.0, "")
        behavior = str(rng.choice([one for one in ("run", "groom", "rest") if one != last]))
        bouts.append((start, min(round(start + rng.uniform(3, 7), 1), SECONDS), behavior))
    if bouts[-1][1] - bouts[-1][0] < 2:
        start, _, behavior = bouts[-2]
        bouts[-2:] = [(start, SECONDS, behavior)]
    return bouts


def move(arena: str, bouts: Sequence[Bout], rng: np.random.Generator) -> Iterator[Pose]:
    """The pose in each frame."""
    left, top, width, height = ARENAS[arena]
    low = np.array((left, top)) + MARGIN
    high = np.array((left + width, top + height)) - MARGIN
    place, goal, heading = rng.uniform(low, high), rng.uniform(low, high), rng.uniform(-3, 3)
    for number in range(FPS * SECONDS):
        time = number / FPS
        behavior = next(name for start, stop, name in bouts if start <= time < stop)
        if behavior == "run":
            while np.hypot(*(goal - place)) < 8:
                goal = rng.uniform(low, high)
            wanted = np.arctan2(*(goal - place)[::-1])
            turn = (wanted - heading + np.pi) % (2 * np.pi) - np.pi
            heading += np.clip(turn, -0.5, 0.5)
            step = rng.uniform(4.0, 6.5) * (1 if abs(turn) < 1 else 0.4)
            place = np.clip(place + step * np.array((np.cos(heading), np.sin(heading))), low, high)
            yield Pose(*place, heading, 0.1 * np.sin(9 * time), 0.5 * np.sin(12 * time))
        elif behavior == "groom":
            shake = 0.9 * np.array((np.sin(23 * time), np.cos(19 * time)))
            nod = 0.75 * np.sin(16 * time)
            yield Pose(*(place + shake), heading, nod, 0.1 * np.sin(4 * time))
        else:
            yield Pose(*place, heading)


def draw_mouse(picture: Picture, pose: Pose, long: float) -> None:
    """Draw a mouse as seen from above. long: of its body in pixels, as it breathes."""
    ahead = np.array((np.cos(pose.heading), np.sin(pose.heading)))
    aside = np.array((-ahead[1], ahead[0]))
    middle = np.array((pose.x, pose.y))
    along = np.linspace(0, 1, 12)[:, None]
    wave = (4 * np.sin(4 * along + 5 * pose.swing) + 14 * pose.swing * along) * along
    tail = middle - ahead * (long * 0.42 + 22 * along) + aside * wave
    cv2.polylines(picture, [fixed(tail)], False, SKIN, 2, cv2.LINE_AA, FRACTION)
    degrees = np.degrees(pose.heading)
    ellipse(picture, middle - ahead * 0.12 * long, (0.40 * long, 0.26 * long), degrees, FUR)
    ellipse(picture, middle + ahead * 0.12 * long, (0.28 * long, 0.20 * long), degrees, FUR)
    look = pose.heading + pose.nod
    nose = np.array((np.cos(look), np.sin(look)))
    head, side = middle + ahead * 0.3 * long + nose * 0.14 * long, np.array((-nose[1], nose[0]))
    for ear in (-1, 1):
        ellipse(picture, head - nose * 1.5 + ear * side * 4.2, (2.6, 2.6), 0, SKIN)
    ellipse(picture, head, (0.22 * long, 0.13 * long), np.degrees(look), tuple(np.array(FUR) + 14))
    ellipse(picture, head + nose * 0.21 * long, (1.2, 1.2), 0, SKIN)


def ellipse(
    picture: Picture,
    center: np.ndarray,
    axes: tuple[float, float],
    degrees: float,
    color: Sequence[float],
) -> None:
    """Fill an ellipse; axes: half of its length and width in pixels."""
    place, size = tuple(map(int, fixed(center))), tuple(map(int, fixed(np.array(axes))))
    paint = tuple(map(float, color))
    cv2.ellipse(picture, place, size, degrees, 0, 360, paint, -1, cv2.LINE_AA, FRACTION)


def fixed(places: np.ndarray) -> np.ndarray:
    """Places as OpenCV takes them."""
    return np.round(places * 2**FRACTION).astype(np.int32)


def draw_floor(seed: int) -> Picture:
    """The arenas without mice, uint8 [HEIGHT, WIDTH, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH, 3), (58, 62, 68), np.uint8)
    for left, top, width, height in ARENAS.values():
        coarse = rng.normal(0, 9, (height // 3, width // 3, 1)).astype(np.float32)
        grain = cv2.resize(coarse, (width, height))[..., None] + rng.normal(
            0, 5, (height, width, 1)
        )
        floor = np.clip(np.array((214, 200, 172)) + grain, 0, 255).astype(np.uint8)
        picture[top : top + height, left : left + width] = floor
        cv2.rectangle(picture, (left, top), (left + width, top + height), (92, 98, 106), 3)
        bowl = np.array((left + width - 17.0, top + 17.0))
        ellipse(picture, bowl, (10, 10), 0, (120, 132, 150))
        ellipse(picture, bowl, (7, 7), 0, (176, 138, 92))
    return picture


def draw_video(path: Path, seed: int, start: datetime) -> tuple[dict[str, list[Bout]], list[Pose]]:
    """Draw a video; what the mice do, and the poses of the left one."""
    rng = np.random.default_rng(seed)
    bouts = {arena: plan_bouts(rng) for arena in ARENAS}
    poses = {arena: list(move(arena, own, rng)) for arena, own in bouts.items()}
    floor = draw_floor(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            frame = floor.copy()
            for own in poses.values():
                breath = 1 + 0.02 * np.sin(1.3 * number)
                draw_mouse(frame, own[number], LONG * breath)
            frame[:STRIP] = 0
            text = f"{start + timedelta(seconds=number // FPS):%Y-%m-%d %H:%M:%S}"
            cv2.putText(frame, text, (4, 9), 0, 0.32, (235, 235, 235), 1, cv2.LINE_AA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return bouts, poses["left"]


def write_observations(path: Path, video: Path, bouts: dict[str, list[Bout]]) -> None:
    """A project of BORIS; its subjects are the arenas."""
    events = [
        [time, arena, behavior, "", ""]
        for arena, own in bouts.items()
        for start, stop, behavior in own
        for time in (start, stop)
    ]
    names = sorted({event[2] for event in events})
    project = {
        "project_format_version": "7.0",
        "subjects_conf": {str(i): {"name": arena} for i, arena in enumerate(ARENAS)},
        "behaviors_conf": {
            str(i): {"code": name, "type": "State event"} for i, name in enumerate(names)
        },
        "observations": {
            video.stem: {
                "type": "MEDIA",
                "file": {"1": [video.name]},
                "media_info": {"length": {video.name: SECONDS}},
                "events": sorted(events),
            }
        },
    }
    path.write_text(json.dumps(project, indent=1), encoding="utf-8")


def main(folder: Path) -> None:
    """Draw all videos into a folder, and write what is known of them."""
    rows = []
    for day in (1, 2, 3):
        path = folder / f"day{day}.mp4"
        bouts, _ = draw_video(path, day, MONDAY + timedelta(days=day - 1))
        rows += [(path.name, *bout, arena) for arena, own in bouts.items() for bout in own]
    lines = [f"{path},{start},{stop},{label},{arena}" for path, start, stop, label, arena in rows]
    (folder / "arenas.csv").write_text(
        "\n".join(["path,start,end,label,roi", *lines, ""]), encoding="utf-8"
    )
    left = [line.removesuffix(",left") for line in lines if line.endswith(",left")]
    (folder / "left.csv").write_text(
        "\n".join(["path,start,end,label", *left, ""]), encoding="utf-8"
    )
    bouts, poses = draw_video(folder / "cage.mp4", 4, MONDAY + timedelta(days=3))
    write_observations(folder / "observations.boris", folder / "cage.mp4", bouts)
    boxes = [f"{i},{','.join(f'{v:.1f}' for v in pose.box)}" for i, pose in enumerate(poses)]
    (folder / "boxes.csv").write_text(
        "\n".join(["frame,x,y,w,h", *boxes[::5], ""]), encoding="utf-8"
    )
    print("wrote three days, cage.mp4, arenas.csv, left.csv, boxes.csv and observations.boris")


if __name__ == "__main__":
    main(Path())

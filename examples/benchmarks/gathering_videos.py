"""Videos of known segments: shots of camera motion, and joined clips of a dataset.

Shots last 1.5 to 9 s. Of camera motion that is mixed only half of the labels change at a cut, and
half of the shots have one inside. The layouts of two datasets have longer activities, and a
background, which is a label here (no camera motion, or the first label of a dataset): Breakfast's
several after one another, ActivityNet's one to three of one label apart from each other. Their
ground truth is written in the format of each and read again.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from gathering import FPS, SIDE, Span, camera

import vidattn
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.motion.camera import LABELS, CameraPath
from vidattn.data.motion.scene import degrade, render
from vidattn.data.motion.textures import DrawnTextures, PhotographedTextures
from vidattn.evaluation.metrics import label_runs
from vidattn.video import MemoryVideo, open_video

LAYOUTS = ("shots", "mixed", "breakfast", "activitynet")


class Shots(Protocol):
    """Where shots of each label come from, and the model for them."""

    classifier: vidattn.Classifier
    background: int
    window: float | None
    """Seconds; None for that of the model."""

    def shot(self, rng: np.random.Generator, label: int, count: int) -> np.ndarray:
        """Frames uint8 [count, H, W, 3] that show a label, FPS of them a second."""


class MotionShots:
    """Camera motion over textures, for motion-tiny. folder: of images and videos to move over."""

    background, window = LABELS.index("static"), None

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        self._textures = PhotographedTextures(folder) if folder else DrawnTextures((seed, 7), 48)
        self.classifier = vidattn.load("motion-tiny")

    def shot(self, rng: np.random.Generator, label: int, count: int) -> np.ndarray:
        """As of Shots."""
        return self._film(rng, camera(rng, label, count))

    def mixed(self, rng: np.random.Generator, shots: int) -> tuple[list[np.ndarray], list[Span]]:
        """Frames and spans of a video whose labels and cuts do not always change together."""
        frames, spans, begin, last = [], [], 0, -1
        path, edges = np.zeros((0, 4)), [0]  # of what is filmed without a stop
        for _ in range(shots):
            # A zoom begins at a cut, so that none goes too far.
            free = [k for k, name in enumerate(LABELS) if not len(path) or "zoom" not in name]
            label = int(rng.choice([k for k in free if k != last]))
            count = round(rng.uniform(1.5, 9) * FPS)
            points = camera(rng, label, count).points
            if len(path):
                points = np.concatenate([path[:-1], points[1:] - points[0] + path[-2]])
            spans.append((begin / FPS, (begin + count) / FPS, label))
            begin, last, path = begin + count, label, points
            if rng.random() < 0.5:
                edges.append(len(path) - 2 - count // 2)
            if rng.random() < 0.5 or len(spans) == shots:
                for start, stop in pairwise([*edges, len(path) - 2]):
                    frames.append(self._film(rng, CameraPath(path[start : stop + 2])))
                path, edges = np.zeros((0, 4)), [0]
        return frames, spans

    def _film(self, rng: np.random.Generator, path: CameraPath) -> np.ndarray:
        frames, _ = render(rng, self._textures, path, SIDE, 0.6, 4)
        return degrade(rng, frames, 0.6)


class ClipShots:
    """The validation clips of a run of training.py, for the model of that run.

    A shot is one clip, forward and backward until it is long enough.
    """

    background = 0

    def __init__(self, run: Path) -> None:
        self.classifier = vidattn.load(str(run))
        dataset, fold = run.name.split("-")[0], run.name.split("-")[-1]
        with (run.parent / f"{dataset}-{fold}.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
        side = self.classifier.clip.short_side
        self._clips: dict[str, list[np.ndarray]] = defaultdict(list)
        seconds = []
        for row in rows:
            with open_video(row["path"], short_side=side) as video:
                wanted = np.arange(video.duration * FPS) / FPS
                frames = np.searchsorted(video.times, wanted + 1e-6, side="right") - 1
                clip = video.read(frames.clip(min=0).tolist())
            top, left = (clip.shape[1] - side) // 2, (clip.shape[2] - side) // 2
            self._clips[row["label"]].append(clip[:, top : top + side, left : left + side])
            seconds.append(len(clip) / FPS)
        # A model of whole clips sees as much at a time.
        whole = self.classifier.clip.sampling == "uniform"
        self.window = float(np.median(seconds)) if whole else None

    def shot(self, rng: np.random.Generator, label: int, count: int) -> np.ndarray:
        """As of Shots."""
        own = self._clips[self.classifier.labels[label]]
        clip = own[int(rng.integers(len(own)))]
        there_and_back = np.concatenate([clip, clip[-2:0:-1]])
        return there_and_back[np.arange(count) % len(there_and_back)]


@dataclass(frozen=True)
class KnownVideo:
    """A video and its true segments."""

    video: MemoryVideo
    truth: list[Span]
    background: int | None
    """The label that does not count as a segment; None where there is none."""


@dataclass(frozen=True)
class Size:
    """How much to draw."""

    videos: int
    shots: int
    """In a video of the layouts shots and mixed."""
    seed: int


def make_videos(shots: Shots, layout: str, size: Size, folder: Path) -> list[KnownVideo]:
    """Videos of a layout. folder: a new one, for the ground truth."""
    drawn = []
    for number in range(size.videos):
        rng = np.random.default_rng((size.seed, number))
        if layout == "mixed":
            assert isinstance(shots, MotionShots), "clips are joined at cuts"
            frames, spans = shots.mixed(rng, size.shots)
        else:
            frames, spans = _join(rng, shots, _plan(rng, shots, layout, size.shots))
        path = f"{layout}_{number}.mp4"
        drawn.append((MemoryVideo(np.concatenate(frames), fps=FPS, path=path), spans))
    background = shots.background if layout in ("breakfast", "activitynet") else None
    if background is None:
        return [KnownVideo(video, spans, None) for video, spans in drawn]
    names = list(shots.classifier.labels)
    truths = _through_file(layout, drawn, names, names[background], folder)
    return [KnownVideo(v, truths[v.path], background) for v, _ in drawn]


def _join(
    rng: np.random.Generator, shots: Shots, plan: Iterable[tuple[int, float]]
) -> tuple[list[np.ndarray], list[Span]]:
    """The frames and spans of shots, one after the other."""
    frames: list[np.ndarray] = []
    spans: list[Span] = []
    begin = 0
    for label, seconds in plan:
        length = round(seconds * FPS)
        frames.append(shots.shot(rng, label, length))
        spans.append((begin / FPS, (begin + length) / FPS, label))
        begin += length
    return frames, spans


def _plan(
    rng: np.random.Generator, shots: Shots, layout: str, each: int
) -> Iterator[tuple[int, float]]:
    """Labels and seconds of the shots of a video, one after the other."""
    labels, none = range(len(shots.classifier.labels)), shots.background
    active = [label for label in labels if label != none]
    last = -1
    if layout == "shots":
        for _ in range(each):
            last = int(rng.choice([label for label in labels if label != last]))
            yield last, rng.uniform(1.5, 9)
        return
    activities = int(rng.integers(4, 8)) if layout == "breakfast" else int(rng.integers(1, 4))
    same = int(rng.choice(active))
    yield none, rng.uniform(3, 12)
    for _ in range(activities):
        if layout == "activitynet":
            yield same, float(np.clip(rng.lognormal(np.log(18), 0.7), 3, 60))
            yield none, rng.uniform(3, 20)
        else:
            last = int(rng.choice([label for label in active if label != last]))
            yield last, float(np.clip(rng.lognormal(np.log(10), 0.8), 2, 45))
    if layout == "breakfast":
        yield none, rng.uniform(3, 12)


def _through_file(
    layout: str,
    drawn: list[tuple[MemoryVideo, list[Span]]],
    names: list[str],
    background: str,
    folder: Path,
) -> dict[str, list[Span]]:
    """The spans of each video, as read from a ground truth in the format of the dataset."""
    folder.mkdir()
    if layout == "breakfast":
        place = folder / "groundTruth"
        place.mkdir()
        for video, spans in drawn:
            rows = [names[k] for a, b, k in spans for _ in range(round((b - a) * FPS))]
            (place / f"{Path(video.path).stem}.txt").write_text("\n".join(rows) + "\n")
    else:
        place = folder / "activity_net.v1-3.json"
        entries = {
            Path(video.path).stem: {
                "duration": video.duration,
                "subset": "validation",
                "annotations": [
                    {"label": names[k], "segment": [a, b]}
                    for a, b, k in spans
                    if names[k] != background
                ],
            }
            for video, spans in drawn
        }
        place.write_text(json.dumps({"version": "VERSION 1.3", "database": entries}))
    truths = {}
    for known in read_ground_truth(place).videos:
        if known.frames:
            bounds, ids = label_runs(np.array([names.index(name) for name in known.frames]))
            spans = [(a / FPS, b / FPS, k) for (a, b), k in zip(bounds.tolist(), ids, strict=True)]
        else:
            spans = [(w.start, w.stop, names.index(name)) for w, name in known.spans]
        truths[f"{Path(known.name).stem}.mp4"] = [(a, b, int(k)) for a, b, k in spans]
    return truths

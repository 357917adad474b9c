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
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

import vidattn
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.motion.camera import LABELS, CameraPath, draw_shake
from vidattn.data.motion.scene import degrade, render
from vidattn.data.motion.textures import DrawnTextures, PhotographedTextures
from vidattn.evaluation.metrics import label_runs
from vidattn.training.cross_validation import fold_groups
from vidattn.video import MemoryVideo, open_video

FPS, STEP, SIDE = 24, 8, 64  # frames a second, steps of motion-tiny a second, pixels
AXES = {"pan": 0, "tilt": 1, "zoom": 2, "roll": 3}
POSITIVE = {"right", "down", "in", "cw"}
FOLDS = 3
Span = tuple[float, float, int]
LAYOUTS = ("shots", "mixed", "breakfast", "activitynet")


def camera(rng: np.random.Generator, label: int, frames: int) -> CameraPath:
    """The path of a shot of `frames` at FPS, its speed and unsteadiness drawn."""
    steps = frames * STEP // FPS + 4
    points = np.zeros((steps, 4))
    speed = float(np.exp(rng.uniform(np.log(0.012), np.log(0.04))))
    kind, _, way = LABELS[label].partition(" ")
    if kind in AXES:
        axis = AXES[kind]
        rate = speed if axis < 2 else 2 * speed
        if axis == 2:  # not so far that nothing is left to see
            rate = max(min(rate, 1.3 / steps), 0.018)
        points[:, axis] = (1 if way in POSITIVE else -1) * rate * np.arange(steps)
    shake = {"static": rng.uniform(0, 0.0015), "handheld": max(speed, 0.012)}
    points += draw_shake(rng, steps, shake.get(kind, rng.uniform(0, 0.25) * speed))
    times = np.arange(-1, frames + 1) * STEP / FPS + 1
    return CameraPath(CameraPath(points).at(times - 1))


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
    """Clips for a model that has not seen them, as (path, label).

    A shot is one clip, forward and backward until it is long enough.
    """

    background = 0

    def __init__(self, classifier: vidattn.Classifier, rows: Iterable[tuple[str, str]]) -> None:
        self.classifier, side = classifier, classifier.clip.short_side
        self._clips: dict[str, list[np.ndarray]] = defaultdict(list)
        for path, label in rows:
            with open_video(path, short_side=side) as video:
                wanted = np.arange(video.duration * FPS) / FPS
                frames = np.searchsorted(video.times, wanted + 1e-6, side="right") - 1
                clip = video.read(frames.clip(min=0).tolist())
            top, left = (clip.shape[1] - side) // 2, (clip.shape[2] - side) // 2
            self._clips[label].append(clip[:, top : top + side, left : left + side])
        # A model of whole clips sees as much at a time.
        seconds = [len(clip) / FPS for clips in self._clips.values() for clip in clips]
        whole = classifier.clip.sampling == "uniform"
        self.window = float(np.median(seconds)) if whole else None

    @classmethod
    def of_run(cls, run: Path) -> ClipShots:
        """The validation clips of a run of training.py."""
        dataset, fold = run.name.split("-")[0], run.name.split("-")[-1]
        with (run.parent / f"{dataset}-{fold}.csv").open(encoding="utf-8") as file:
            rows = [
                (row["path"], row["label"]) for row in csv.DictReader(file) if row["split"] == "val"
            ]
        return cls(vidattn.load(str(run)), rows)

    @classmethod
    def taught(cls, labels: Path, fold: int) -> ClipShots:
        """A third of the clips of a list (file, label, group), whole groups; others are taught."""
        with labels.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = sorted({row["label"] for row in rows})
        truth = np.eye(len(names), dtype=bool)[[names.index(row["label"]) for row in rows]]
        folds = fold_groups([row["group"] for row in rows], truth) % FOLDS
        clips = [(str(labels.parent.absolute() / row["file"]), row["label"]) for row in rows]
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder, "others.csv")
            others = [
                f"{path},{label},{row['group']}\n"
                for (path, label), row, own in zip(clips, rows, folds, strict=True)
                if own != fold
            ]
            table.write_text("path,label,group\n" + "".join(others), encoding="utf-8")
            model = vidattn.teach(str(table), None, vidattn.load("motion-tiny")).classifier
        return cls(model, [clip for clip, own in zip(clips, folds, strict=True) if own == fold])

    def right(self) -> tuple[int, int]:
        """How many clips the model names rightly, of how many."""
        found = [
            vidattn.classify(MemoryVideo(clip, fps=FPS), self.classifier).segments[0].label == label
            for label, clips in self._clips.items()
            for clip in clips
        ]
        return sum(found), len(found)

    def shot(self, rng: np.random.Generator, label: int, count: int) -> np.ndarray:
        """As of Shots."""
        own = self._clips[self.classifier.labels[label]]
        clip = own[int(rng.integers(len(own)))]
        there_and_back = np.concatenate([clip, clip[-2:0:-1]])
        return there_and_back[np.arange(count) % len(there_and_back)]


@dataclass(frozen=True)
class Truth:
    """The true segments of a video."""

    spans: list[Span]
    background: int | None
    """The label that does not count as a segment; None where there is none."""
    seconds: float
    """Of the video."""

    def everywhere(self) -> list[Span]:
        """The spans and, as some of its label, background between them."""
        if self.background is None:
            return self.spans
        own = [span for span in self.spans if span[2] != self.background]
        edges = [0.0, *(time for a, b, _ in own for time in (a, b)), self.seconds]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return own + [(a, b, self.background) for a, b in pairs if a < b]


@dataclass(frozen=True)
class Size:
    """How much to draw."""

    videos: int
    shots: int
    """In a video of the layouts shots and mixed."""
    seed: int


def make_videos(shots: Shots, layout: str, size: Size) -> list[tuple[MemoryVideo, Truth]]:
    """Videos of a layout."""
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
    if background is not None:
        names = list(shots.classifier.labels)
        with tempfile.TemporaryDirectory() as folder:
            truths = _through_file(layout, drawn, names, names[background], Path(folder))
        drawn = [(video, truths[video.path]) for video, _ in drawn]
    return [(video, Truth(spans, background, video.duration)) for video, spans in drawn]


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

"""Small sound files of every kind that vidattn reads: made here, or taken from a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

import vidattn
from tests.helpers import encode_video
from vidattn import weights
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.config.recipes import RECIPES
from vidattn.config.serialization import to_plain
from vidattn.evaluation import predictions
from vidattn.inference.score_log import ScoreLog, ScoreRecord
from vidattn.models.classifier import Classifier
from vidattn.models.timesformer import TimeSformer
from vidattn.output import render
from vidattn.training.checkpoint import save_state
from vidattn.weights import export

LARGEST = 1_500_000
"""Bytes of a file that is taken from a folder of media."""
WINDOWS = 12
IDENTITY = {"video": "a.mp4", "model": "tiny", "step": 0.5}

CONTAINERS = (
    ("plain.mp4", "libx264", {}),
    ("front.mp4", "libx264", {"movflags": "faststart"}),
    ("parts.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("hevc.mov", "libx265", {}),
    ("mpeg4.3gp", "mpeg4", {}),
    ("h264.mkv", "libx264", {}),
    ("pictures.mkv", "mjpeg", {}),
    ("av1.mkv", "libsvtav1", {}),
    ("vp9.webm", "libvpx-vp9", {}),
    ("vp8.webm", "libvpx", {}),
    ("mpeg4.avi", "mpeg4", {}),
    ("h264.avi", "libx264", {}),
    ("lossless.avi", "ffv1", {}),
    ("stream.ts", "libx264", {}),
    ("mpeg2.ts", "mpeg2video", {}),
    ("program.mpg", "mpeg2video", {}),
    ("flash.flv", "flv1", {}),
    ("windows.wmv", "wmv2", {}),
    ("raw.h264", "libx264", {}),
    ("raw.hevc", "libx265", {}),
    ("animated.gif", "gif", {}),
    ("broadcast.mxf", "mpeg2video", {}),
    ("nut.nut", "mpeg4", {}),
)
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}
QUIET = {"libx265": {"x265-params": "log-level=none:bframes=2"}, "libsvtav1": {"preset": "12"}}


@dataclass(frozen=True)
class Seed:
    """A sound file; `kind` says who reads it (see targets)."""

    kind: str
    path: Path
    data: bytes


def build_seeds(folder: Path, media: Path | None = None) -> list[Seed]:
    """One seed of each kind at least; those of `media` are its short videos."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [("video", _video(folder / n, codec, muxer)) for n, codec, muxer in CONTAINERS]
    if media is not None:
        videos = sorted(p for p in (media / "clips").rglob("*") if p.is_file())
        paths += [("video", p) for p in videos if p.stat().st_size <= LARGEST]
    paths += [*_lists(folder), *_results(folder), *_weights(folder)]
    return [Seed(kind, path, path.read_bytes()) for kind, path in paths]


def _video(path: Path, codec: str, muxer: dict[str, str]) -> Path:
    """Twenty frames of moving colors; MXF wants its own size and rate."""
    width, height = (720, 576) if path.suffix == ".mxf" else (64, 48)
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    frames = [
        (np.roll(noise, 5 * i, axis=1) + np.array([7 * i, 90, 200 - 9 * i]))
        .clip(0, 255)
        .astype(np.uint8)
        for i in range(20)
    ]
    options = {"g": "8", **QUIET.get(codec, {})}
    pixels = PIXELS.get(codec, "yuv420p")
    return encode_video(path, frames, 25, codec, pixels=pixels, options=options, muxer=muxer)


def _written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _lists(folder: Path) -> list[tuple[str, Path]]:
    """Datasets and ground truth; the videos that rows name exist."""
    video = (folder / "plain.mp4").read_bytes()
    for i in range(6):
        _written(folder / f"clip_{i}.mp4", video)
    rows = [(f"clip_{i}.mp4", ("walk", "run")[i % 2], i / 10, i / 10 + 0.2) for i in range(6)]
    keys = ("path", "label", "start", "end")
    marked = [(*row, ("train", "val")[i % 2]) for i, row in enumerate(rows)]
    objects = [dict(zip((*keys, "split"), row, strict=True)) for row in marked]
    spans = [{"segment": [a, b], "label": label} for _, label, a, b in rows]
    video = {"subset": "validation", "duration": 1.0, "annotations": spans}
    scenes = [("Scene Number", "Start Time (seconds)"), (1, 0.0), (2, 1.25), (3, 2.5)]
    texts = [
        ("table", "list.csv", _csv([(*keys, "split"), *marked])),
        ("table", "bare.txt", "".join(f"{row[0]} {i % 2}\n" for i, row in enumerate(rows))),
        ("lines", "list.jsonl", "".join(json.dumps(row) + "\n" for row in objects)),
        ("truth", "truth.csv", _csv([keys, *rows])),
        ("truth", "frames.txt", "walk\n" * 8 + "run\n" * 12),
        ("database", "activity.json", json.dumps({"database": {"clip_0": video}})),
        ("cuts", "scenes.csv", _csv(scenes)),
        ("recipe", "recipe.json", json.dumps(to_plain(RECIPES["small"]))),
        ("annotations", "ours.eaf", render(_timeline(), "eaf")),
        ("tasks", "tasks.json", json.dumps(_tasks())),
    ]
    return [(kind, _written(folder / name, text)) for kind, name, text in texts]


def _csv(rows: Iterable[Sequence[object]]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _tasks() -> object:
    """What Label Studio exports when somebody has accepted our predictions."""
    tasks = json.loads(render(_timeline(), "labelstudio"))
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    return tasks


def _timeline() -> vidattn.Timeline:
    """The timeline of a short video."""
    scores = np.random.default_rng(1).dirichlet([1, 1, 1], WINDOWS).astype(np.float32)
    windows = tuple(vidattn.Window(i * 0.5, i * 0.5 + 1) for i in range(WINDOWS))
    return vidattn.Timeline(
        source="clip_0.mp4",
        labels=("walk", "run", "jump"),
        windows=windows,
        scores=scores,
        duration=windows[-1].stop,
        input=vidattn.types.VideoInfo(fps=Fraction(25), frames=163, width=64, height=48),
    )


def _results(folder: Path) -> list[tuple[str, Path]]:
    """Files that vidattn wrote itself."""
    scores = np.random.default_rng(2).dirichlet([1, 1, 1], 8).astype(np.float32)
    log = folder / "walk.vidattn.log"
    with ScoreLog(log) as open_log:
        open_log.begin(IDENTITY, 3)
        for i, row in enumerate(scores):
            open_log.add(ScoreRecord(i, row if i % 3 else None, i % 2 == 0))
    names = tuple(f"clip_{i}.mp4" for i in range(8))
    saved = predictions.Predictions(
        ("walk", "run", "jump"), names, np.arange(8) % 3, np.log(scores)
    )
    state = {"model.head.weight": torch.zeros(3, 8), "rng": torch.zeros(16, dtype=torch.uint8)}
    return [
        ("timeline", _written(folder / "clip_0.vidattn.json", _timeline().to_json())),
        ("log", log),
        ("predictions", predictions.save_predictions(saved, folder / "scores.npz")),
        ("prediction-lines", predictions.save_predictions(saved, folder / "scores.jsonl")),
        ("state", save_state(folder / "state.safetensors", state, {"step": 3, "epoch": 1})),
    ]


def tiny() -> Classifier:
    """An untrained classifier of three classes."""
    torch.manual_seed(0)
    shape = TimeSformerConfig(classes=3, frames=4, size=32, patch=16, width=64, depth=1, heads=1)
    clip = ClipConfig(frames=4, step_seconds=0.125, short_side=32, crop=32)
    return Classifier(TimeSformer(shape).eval(), clip, ("walk", "run", "jump"))


def _weights(folder: Path) -> list[tuple[str, Path]]:
    """A model in each of the layouts that are read."""
    classifier = tiny()
    ours = weights.save(classifier, folder / "tiny.safetensors", RECIPES["small"])
    official = export.save_official(classifier, folder / "tiny.pyth")
    legacy = io.BytesIO()
    loaded = torch.load(official, weights_only=True)
    torch.save(loaded, legacy, _use_new_zipfile_serialization=False)
    export.save_hf(classifier, folder / "hub")
    hub = [
        (kind, folder / "hub" / name)
        for kind, name in (
            ("hub-json", "config.json"),
            ("hub-json", "preprocessor_config.json"),
            ("hub-weights", "model.safetensors"),
        )
    ]
    return [
        ("weights", ours),
        ("pickle", official),
        ("pickle", _written(folder / "legacy.pth", legacy.getvalue())),
        *hub,
    ]

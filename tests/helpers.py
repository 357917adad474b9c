"""Small videos, models and timelines, and the type of the fixtures that run commands."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, build_model
from vidattn.timeline import Timeline
from vidattn.types import Window

Run = Callable[..., subprocess.CompletedProcess[str]]


def mostly_slow(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """The cases of a test as parameters: these always run, the others are slow."""
    return [c if c in quick else pytest.param(c, marks=pytest.mark.slow) for c in cases]


def encode_video(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: int | Fraction = 25,
    codec: str = "libx264",
    *,
    pixels: str = "yuv420p",
    clock: Fraction | None = None,
    ticks: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Encode frames, uint8 [H, W, 3]; frame i is shown at ticks[i] of `clock`, or at i / rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        for i, rgb in enumerate(frames):
            if not i:
                (stream.height, stream.width), stream.pix_fmt = rgb.shape[:2], pixels
                if clock:
                    stream.codec_context.time_base = clock
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            if clock:
                frame.pts, frame.time_base = (ticks[i] if ticks else i), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if codec == "libsvtav1":  # gives a process of root real-time priority, and starves all others
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def write_video(
    path: Path, seconds: float = 4.0, fps: int = 10, shots: tuple[int, ...] = (0,)
) -> Path:
    """A bright square that wanders over a dark ground, 96x64, as H.264.

    shots: their first frames; in every second one the ground is light.
    """
    frames = np.empty((round(seconds * fps), 64, 96, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[:] = 40 if sum(first <= i for first in shots) % 2 else 200
        frame[20:40, i % 76 : i % 76 + 20] = (220, 180, 90)
    return encode_video(path, frames, fps)


def write_tree(folder: Path) -> Path:
    """Two videos, one of them in a folder below, and a file that is not a video."""
    for name in ("a.mp4", "deep/b.mp4"):
        write_video(folder / name, seconds=1)
    (folder / "c.mp4").write_text("no video")
    return folder


def two_windows(**changes: Any) -> Timeline:
    """Two windows: dive, swim."""
    values: dict[str, Any] = {
        "source": "a.mp4",
        "labels": ("dive", "swim"),
        "windows": (Window(0, 2), Window(2, 4)),
        "scores": np.array([[0.9, 0.1], [0.2, 0.8]]),
    }
    return Timeline(**{**values, **changes})


def tiny_classifier(kind: str = "divided", frames: int = 4) -> Classifier:
    """A seeded model of three classes, without zeros, whose clips are [B, 3, frames, 32, 32]."""
    shape = {"classes": 3, "frames": frames, "size": 32, "width": 32, "depth": 2, "heads": 2}
    stam = StamConfig(**shape, time_depth=1, time_heads=2, time_hidden=64)
    torch.manual_seed(0)
    model = build_model(stam if kind == "stam" else TimeSformerConfig(kind, **shape)).eval()  # type: ignore[arg-type]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    clip = ClipConfig(frames, step_seconds=0.2, short_side=32, crop=32)
    return Classifier(model, clip, ("a", "b", "c"))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table, by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run_without_torch(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run `vidattn WORDS` in a process of its own that cannot import torch."""
    code = "import sys; sys.modules['torch'] = None; from vidattn.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def ask_another(variable: str, check: str, *words: object, **more: str) -> Any:
    """What a script of tests/output prints as JSON, run by the Python that a variable names.

    more: variables of its environment. Skips the test where there is no such Python.
    """
    if variable not in os.environ:
        pytest.skip(f"{variable} names no Python that can check this")
    command = [os.environ[variable], str(Path(__file__).parent / "output" / check)]
    env = {**os.environ, "PYTHONPATH": "", **more}
    done = subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, check=True, env=env
    )
    return json.loads(done.stdout.splitlines()[-1])

"""A film, a model and two ways to run commands: in a process, as a person would, or in this one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests import processes
from vidattn import weights
from vidattn.cli import main
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer
from vidattn.timeline import Timeline
from vidattn.types import VideoInfo, Window

Run = Callable[..., subprocess.CompletedProcess[str]]


def write_film(
    path: Path, seconds: float = 4.0, fps: int = 10, shots: tuple[int, ...] = (0,)
) -> Path:
    """A bright square that wanders over a dark ground, as H.264.

    shots: their first frames; in every second one the ground is light.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(round(seconds * fps)):
            light = sum(first <= i for first in shots) % 2 == 0
            frame = np.full((64, 96, 3), 200 if light else 40, np.uint8)
            frame[20:40, i % 76 : i % 76 + 20] = (220, 180, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, 96x64, 10 fps."""
    return write_film(tmp_path_factory.mktemp("film") / "walk.mp4")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a tiny untrained model that looks at half a second."""
    torch.manual_seed(0)
    shape = TimeSformerConfig(classes=3, frames=4, size=32, patch=16, width=32, depth=2, heads=2)
    clip = ClipConfig(frames=4, step_seconds=0.125, short_side=32, crop=32)
    classifier = Classifier(
        TimeSformer(shape), clip, ("walk", "run", "[b]jump"), card=ModelCard("tiny", license="MIT")
    )
    return weights.save(classifier, tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def park(tmp_path: Path) -> Path:
    """Eight saved windows of a second: walk, a blip of run, walk, something unsure, run."""
    walk = np.array([0.9, 0.9, 0.3, 0.9, 0.55, 0.55, 0.1, 0.1])
    timeline = Timeline(
        source="park.mp4",
        labels=("walk", "run"),
        windows=tuple(Window(i, i + 1) for i in range(8)),
        scores=np.stack([walk, 1 - walk], 1),
        input=VideoInfo(fps=Fraction(10), vfr=False),
        frame_times=np.arange(80) / 10,
    )
    path = tmp_path / "park.vidattn.json"
    path.write_text(timeline.to_json())
    return path


@pytest.fixture
def quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """As `vidattn`, without the seconds that starting a process takes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        text = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(ended.value.code or 0), text.out, text.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def vidattn(tmp_path: Path) -> Run:
    """Run `vidattn ARGUMENTS` in an empty directory: a finished process with text output."""
    environment = {
        **os.environ,
        "VIDATTN_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "hub"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }

    def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return processes.run(arguments, cwd=tmp_path, env=environment, stdin=stdin)

    return run

"""Fixtures of several rooms: a video, a model and two ways to run commands."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import processes, waits
from tests.helpers import Run, write_video
from vidattn import weights
from vidattn.cli import main
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.io.signals import STOPPING
from vidattn.models.classifier import Classifier, ModelCard
from vidattn.models.timesformer import TimeSformer
from vidattn.video import ProcessPool
from vidattn.video.process.child import WorkerProcess
from vidattn.video.process.client import SupervisedVideo

# Jobs that a shell puts into the background ignore Ctrl-C, and so would all processes of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give each process a part of the suite, so that fixtures are made once, not once in each."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_configure() -> None:
    waits.shorten()


@pytest.fixture(scope="session")
def known_values() -> Callable[[Mapping[str, tuple[int, ...]]], dict[str, np.ndarray]]:
    """Reproducible weights: float32 arrays seeded by the name of each tensor.

    The goldens in tests/models/golden were computed with them, under the official names.
    """

    def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        values = {}
        for name, shape in shapes.items():
            noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
            is_norm = len(shape) == 1 and name.endswith("weight")
            values[name] = (1 + 0.1 * noise if is_norm else 0.05 * noise).astype(np.float32)
        return values

    return fill


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, 96x64, 10 fps."""
    return write_video(tmp_path_factory.mktemp("video") / "walk.mp4")


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


class KeptDecoders(ProcessPool):
    """Decoding processes that stay from test to test: starting one takes longer than its work."""

    def __init__(self) -> None:
        super().__init__(size=2)
        self._lock = threading.Lock()

    def take(self, key: object) -> WorkerProcess | None:
        with self._lock:
            return super().take(key)

    def put(self, process: WorkerProcess) -> None:
        with self._lock:
            super().put(process)

    def close(self) -> None: ...

    def end(self) -> None:
        """End them: a test begins that counts processes."""
        super().close()


DECODERS = KeptDecoders()
OWN_DECODERS = {f"video/test_{name}.py" for name in ("client", "pool", "sandbox")}
"""Files of tests, each of which starts its own decoders, as they are what is tested."""


@pytest.fixture(autouse=True)
def decoders_of_videos(request: pytest.FixtureRequest) -> None:
    """Those of all videos are DECODERS, but in tests of the processes themselves."""
    if "/".join(request.path.parts[-2:]) in OWN_DECODERS:
        DECODERS.end()
    else:
        request.getfixturevalue("kept_decoders")


@pytest.fixture
def kept_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are decoded by DECODERS."""
    begin = SupervisedVideo.__init__

    def begin_with_kept(self: SupervisedVideo, *given: Any, **named: Any) -> None:
        begin(self, *given, **{**named, "pool": DECODERS})

    monkeypatch.setattr(SupervisedVideo, "__init__", begin_with_kept)


@pytest.fixture
def quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """As `vidattn`, but in this process."""
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(
        *arguments: object, stdin: str = "", code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        text = capsys.readouterr()
        done = subprocess.CompletedProcess(words, int(ended.value.code or 0), text.out, text.err)
        assert code in (None, done.returncode), text.err
        return done

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def vidattn(tmp_path: Path) -> Run:
    """Run `vidattn ARGUMENTS` in an empty folder; it must exit with `code`, unless None.

    stdout: a file or descriptor in the place of what is returned.
    """
    environment = {
        **os.environ,
        "VIDATTN_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "hub"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }

    def run(
        *arguments: object, stdin: str = "", stdout: Any = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        streams = {"stdin": stdin, "stdout": stdout}
        done = processes.run(arguments, cwd=tmp_path, env=environment, **streams)
        assert code in (None, done.returncode), done.stderr
        return done

    return run


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed to the disk, in order."""
    calls: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        calls.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return calls

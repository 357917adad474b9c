"""The lowest versions that pyproject.toml allows do work, all of them at once.

Left out is torchcodec: it wants a release of torch of its own, and FFmpeg's libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import write_video

ROOT = Path(__file__).parents[2]
TINY = (
    *("--set", "data.clips_per_epoch=8", "--set", "data.val_clips=4", "--set", "data.workers=0"),
    *("--set", "model.depth=1", "--set", "model.width=32", "--set", "model.heads=2"),
)
COMMANDS = (
    ("segment", "video.mp4", "-m", "motion-tiny", "-o", "out"),
    ("segment", "video.mp4", "-m", "motion-tiny", "-o", "ray", "--engine", "ray", "--actors", "1"),
    ("classify", "video.mp4", "-m", "motion-tiny", "--reader", "opencv"),
    ("classify", "video.mp4", "-m", "motion-tiny", "--reader", "decord"),
    ("explain", "video.mp4", "-m", "motion-tiny", "-o", "out"),
    ("models", "export", "motion-tiny", "--layout", "hf", "-o", "hub"),
    ("models", "verify", "hub"),
    ("train", "--dataset", "motion", "--run-dir", "run", "--epochs", "1", "--batch-size", "4",
     "--init", "none", "--tensorboard", *TINY),
    ("eval", "-m", "run", "--samples", "4", "--views", "1x1"),
)  # fmt: skip
TESTS = (
    "tests/video/test_readers.py",
    "tests/output/test_writers.py",
    "tests/timeline/test_timeline.py",
)
GIGABYTES = 15
"""What the wheels of torch take, downloaded and unpacked."""


def lowest() -> list[str]:
    """Each dependency in the lowest version allowed here."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    bounds = re.findall(r'"([\w-]+)>=([\d.]+)(; [^"]*)?"', block)
    return [f"{name}=={low}{when}" for name, low, when in bounds if name != "torchcodec"]


def test_every_dependency_has_a_lowest_version() -> None:
    names = {wanted.partition("==")[0] for wanted in lowest()}
    assert names >= {"torch", "numpy", "av", "decord", "ray", "tensorboard", "pytest"}


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_lowest_versions_work(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < GIGABYTES << 30:
        pytest.skip(f"{GIGABYTES} GB are needed for an installation")
    subprocess.run([sys.executable, "-m", "venv", "low"], cwd=tmp_path, check=True)
    python = tmp_path / "low" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", *lowest()],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search("connection|retries|name resolution", done.stderr, re.I):
        pytest.skip(f"nothing can be installed here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-2000:]
    write_video(tmp_path / "video.mp4")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Warnings of old versions about newer ones are no fault of theirs.
    pytest_words = ("pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *TESTS)
    for folder, words in [
        *((tmp_path, ("vidattn", *words)) for words in COMMANDS),
        (ROOT, pytest_words),
    ]:
        run = subprocess.run(
            [python, "-m", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{words}: {run.stdout[-3000:]} {run.stderr[-3000:]}"

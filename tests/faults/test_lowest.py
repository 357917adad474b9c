"""The lowest versions that pyproject.toml allows do work; torch and numpy stay as installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_film

ROOT = Path(__file__).parents[2]
LARGE = {"torch", "numpy", "decord"}
COMMANDS = (
    ("segment", "film.mp4", "-m", "motion-tiny", "-o", "out"),
    ("classify", "film.mp4", "-m", "motion-tiny", "--reader", "opencv"),
    ("models", "export", "motion-tiny", "--layout", "hf", "-o", "hub"),
    ("models", "verify", "hub"),
)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_lowest_versions_work(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("[project.optional")]
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)', block))
    wanted = [f"{name}~={low}.0" for name, low in bounds.items() if name not in LARGE]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", "low"]
    wanted = [re.sub(r"~=(\d+)\.0$", r">=\1,<\1.1", w) for w in wanted]
    done = subprocess.run(
        [*pip, *wanted], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"nothing can be installed here: {done.stderr[-300:]}")
    write_film(tmp_path / "film.mp4")
    path = os.pathsep.join([str(tmp_path / "low"), str(ROOT)])
    for words in COMMANDS:
        run = subprocess.run(
            [sys.executable, "-m", "vidattn", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr

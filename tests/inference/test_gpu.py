"""The table of speeds on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"
TINY = ("--width", "64", "--depth", "1", "--shapes", "2x32", "--rounds", "1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
            ],
        ),
    ],
)
def test_every_way_has_a_line(device: str) -> None:
    words = [sys.executable, str(SCRIPT), "--device", device, *TINY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines][:2] == ["vidattn", "plain"]
    assert all("windows/s" in line for line in lines)

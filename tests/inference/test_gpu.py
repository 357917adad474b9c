"""What only a GPU can tell, and the table of speeds on it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidattn.models.fused import Attend
from vidattn.models.fused_layers import LOG2_E, attend_rows, attend_tubes

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"
TINY = ("--width", "64", "--depth", "1", "--shapes", "2x32", "--rounds", "1")


here = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@here
@pytest.mark.parametrize("attend", [attend_rows, attend_tubes])
def test_both_attentions_take_the_flash_kernel(attend: Attend) -> None:
    qkv = torch.randn(16, 197, 3 * 768, device="cuda", dtype=torch.bfloat16)
    expected = attend(qkv.float().cpu(), 12, LOG2_E / 8)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # no other one
        found = attend(qkv, 12, LOG2_E / 8)
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, here])])
def test_every_way_has_a_line(device: str) -> None:
    words = [sys.executable, str(SCRIPT), "--device", device, *TINY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    *lines, training = done.stdout.splitlines()
    assert [line.split()[1] for line in lines][:2] == ["vidattn", "plain"]
    assert all("windows/s" in line for line in lines)
    assert training.split()[1] == "training"
    assert re.search(r"[\d.]+ clips/s +\d+ % of peak", training)

"""The power goes while files are written: each is the old one or the new one, and work goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "power_cuts.py"


def can_mount(folder: Path) -> bool:
    """Whether a disk that lies in a file can be mounted here."""
    image = folder / "try.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    words = f"mkfs.ext4 -q -F {image} && mount -o loop {image} {folder} && umount {folder}"
    return (
        subprocess.run(["/bin/sh", "-c", words], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_power_cuts_damage_nothing(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("no disk that lies in a file can be mounted here")
    done = subprocess.run(
        [sys.executable, SCRIPT, "6"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 power cuts, 0 with something lost" in done.stdout

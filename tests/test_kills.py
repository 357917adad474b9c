"""Runs that are killed at random moments, in real processes, end as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])
def test_twenty_kills_change_nothing(processes: int) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "20", "--processes", str(processes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("20 kills in ")

"""Files spoiled at random: read, read in part or refused, and nothing else, ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "fuzz" / "fuzz.py"


def fuzz(*words: str) -> str:
    """Run the fuzzer; what it printed."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1", "SVT_LOG": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_fifty_spoiled_files_do_no_harm() -> None:
    assert "50 cases, seed 7: 0 findings" in fuzz("50", "--seed", "7", "--cli", "2")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_spoiled_files_do_no_harm() -> None:
    media = os.environ.get("VIDATTN_MEDIA")
    more = ["--media", media] if media else []
    assert ": 0 findings" in fuzz("10000", "--seed", "0", "--cli", "50", *more)

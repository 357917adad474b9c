"""Runs that are killed at random moments, in real processes, end as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import write_video

SCRIPTS = Path(__file__).parents[2] / "examples" / "benchmarks"


def last_line(*words: object) -> str:
    """What a script says at the end; it must say that all is well."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kills", "processes"), [(50, 1), (20, 2)])
def test_kills_change_nothing_in_training(kills: int, processes: int) -> None:
    output = last_line(SCRIPTS / "kills.py", kills, "--processes", processes)
    assert output.startswith(f"{kills} kills in ")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_change_nothing_in_a_timeline(tmp_path: Path) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=120.0)
    assert last_line(SCRIPTS / "kill_segment.py", video, 50).startswith("50 kills; identical in ")

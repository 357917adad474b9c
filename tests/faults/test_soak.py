"""Many videos in one call leave nothing behind, in the process or in its decoders."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux does")
def test_memory_and_files_do_not_grow_with_the_number_of_videos() -> None:
    command = [sys.executable, str(BENCHMARKS / "soak.py"), "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 of 40 files in " in done.stdout


def test_growth_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from soak import Facts, grown

    first = Facts(4, 300 << 20, 20, 5, 2, 60 << 20, 12)
    assert grown(first, replace(first, done=40, memory=320 << 20, files=22)) == []
    last = replace(first, memory=340 << 20, decoder_memory=80 << 20, decoder_files=15)
    assert grown(first, last) == ["memory", "decoder_memory", "decoder_files"]

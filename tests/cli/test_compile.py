"""`vidattn segment --compile` and `vidattn bench --compile`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_run_is_equal_and_noted(
    vidattn: Run, video: Path, model: Path, tmp_path: Path
) -> None:
    words = ("segment", video, "-m", model, "--stride", "0.1", "--batch-size", "4", "-f", "json")
    documents = []
    for extra in (("--compile",), ()):
        assert "No CUDA runtime" not in vidattn(*words, *extra, "--device", "cpu").stderr
        documents.append(json.loads((tmp_path / "walk.vidattn.json").read_text()))
    compiled, plain = documents
    assert compiled["segments"] == plain["segments"]
    assert compiled["settings"]["compiled"] is True
    assert "compiled" not in plain["settings"]


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    monkeypatch.setenv("PATH", str(tmp_path))  # where torch looks for others
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))


def test_a_compiler_is_required(no_compiler: None, vidattn: Run, video: Path, model: Path) -> None:
    done = vidattn(
        *("segment", video, "-m", model, "--batch-size", "4", "--compile", "--device", "cpu"),
        code=2,
    )
    assert "error: --compile: torch cannot compile this model here: " in done.stderr
    assert "hint: leave --compile out; on a CPU it needs a C++ compiler (g++)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_model_is_measured_beside_the_others(vidattn: Run, model: Path) -> None:
    done = vidattn("bench", "-m", model, "--rounds", "1", "--device", "cpu", "--compile", "--json")
    ways = {row["way"]: row["difference"] for row in json.loads(done.stdout)["ways"]}
    assert list(ways)[:3] == ["vidattn", "compiled", "plain"]
    assert ways["compiled"] < 1e-5

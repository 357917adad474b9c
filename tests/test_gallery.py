"""The script that makes the images of the README."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import write_video
from tests.output.chromium import FOUND

MAKE = Path(__file__).parent.parent / "examples" / "gallery" / "make.py"


@pytest.mark.slow
def test_a_video_is_explained_and_annotated_at_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=1.5)
    words = ["make.py", str(video), "--at", "0.7", "--only", "explain,annotated"]
    monkeypatch.setattr(sys, "argv", [*words, "-o", str(tmp_path)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(MAKE), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "explain.jpg"),
        str(tmp_path / "annotated.jpg"),
    ]
    with (
        Image.open(tmp_path / "explain.jpg") as strip,
        Image.open(tmp_path / "annotated.jpg") as frame,
    ):
        assert strip.width > 8 * 160
        assert frame.size >= (216, 144)


@pytest.mark.slow
@pytest.mark.skipif(FOUND is None, reason="Chromium is not installed")
def test_all_images_are_made(tmp_path: Path) -> None:
    video = write_video(tmp_path / "walk.mp4", seconds=1.5)
    words = [sys.executable, str(MAKE), str(video), "--at", "0.7", "-o", str(tmp_path)]
    subprocess.run(words, check=True, timeout=500)
    names = {path.name for path in MAKE.parent.iterdir() if path.suffix in (".png", ".jpg")}
    assert names <= {path.name for path in tmp_path.iterdir()}

"""`-f mp4` and `--excerpts`: commands, files and messages."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import processes
from tests.helpers import Run, write_video
from vidattn.video import open_video


@pytest.fixture
def saved(quick: Run, video: Path, model: Path, tmp_path: Path) -> Path:
    """A saved timeline of the video."""
    quick("segment", video, "-m", model, "-f", "json")
    return tmp_path / "walk.vidattn.json"


def test_segment_writes_excerpts(quick: Run, video: Path, model: Path, tmp_path: Path) -> None:
    done = quick("segment", video, "-m", model, "-f", "mp4,srt", "--excerpts", "cuts", "-o", "out")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["walk.vidattn.mp4", "walk.vidattn.srt"]
    with open_video(tmp_path / "out" / "walk.vidattn.mp4") as video:
        assert (video.frames, video.height) == (40, 360)
    cuts = sorted(p.name for p in (tmp_path / "cuts").iterdir())
    assert cuts[0].startswith("walk.01.")
    count = "1 excerpt" if len(cuts) == 1 else f"{len(cuts)} excerpts"
    assert f"wrote {count} to cuts (" in done.stderr
    assert "wrote out/walk.vidattn.mp4" in done.stderr
    # An annotated video is no input of a folder or pattern.
    again = quick("segment", "out", "-m", model, "-f", "json", code=3)
    assert "no videos below this folder" in again.stderr
    quick("segment", "out/*.mp4", "-m", model, "-f", "json", code=3)


def test_timeline_finds_a_moved_video(quick: Run, saved: Path, video: Path, tmp_path: Path) -> None:
    saved.write_text(saved.read_text().replace(str(video), "gone/walk.mp4"))
    done = quick("timeline", saved, "-f", "mp4", code=3)
    assert "gone/walk.mp4: the video is missing" in done.stderr
    assert "--video" in done.stderr
    words = ["--video", video, "-f", "mp4", "--excerpts", ".", "--excerpts-exact"]
    done = quick("timeline", saved, *words)
    assert "encoded anew, exact to the frame)" in done.stderr
    assert (tmp_path / "walk.vidattn.mp4").exists()
    assert list(tmp_path.glob("walk.01.*.mp4"))


def test_classify_writes_a_video_with_its_prediction(quick: Run, video: Path, model: Path) -> None:
    quick("classify", video, "-m", model, "-f", "mp4")
    assert Path("walk.vidattn.mp4").exists()


def test_the_video_itself_is_never_overwritten(quick: Run, model: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.vidattn.mp4", seconds=1)
    before = path.read_bytes()
    assert "is the video itself" in quick("segment", path, "-m", model, "-f", "mp4", code=5).stderr
    assert path.read_bytes() == before


def test_a_stop_leaves_the_timeline_and_no_partial_video(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mp4", seconds=900, fps=4)
    words = ["segment", video, "-m", model, "-f", "json,mp4", "--stride", "60", "-o", "out"]
    assert processes.stop(words, tmp_path, "drawing labels", signal.SIGINT)[0] == 130
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["long.vidattn.json"]

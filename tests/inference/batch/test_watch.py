"""Watching a folder: videos that come are done when they have stopped growing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vidattn
from tests.helpers import Run
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import UsageError, VideoError
from vidattn.inference.batch import watch
from vidattn.inference.batch.events import Done, Failed
from vidattn.inference.batch.watch import FolderWatch
from vidattn.inference.events import Scored
from vidattn.io.locks import locked

SETTLE = 10.0


class Turns:
    """In place of `wait`: one act after another, then a signal."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self.acts = list(acts)

    def __call__(self, seconds: float) -> None:
        if not self.acts:
            raise StopRequested(signal.SIGTERM)
        self.acts.pop(0)()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def names(ready: list[object]) -> list[str]:
    return [Path(one.path).name for one in ready]  # type: ignore[attr-defined]


def test_a_file_is_ready_when_it_has_not_grown_for_a_while(folder: Path) -> None:
    now = 1000.0
    watched = FolderWatch([str(folder)], SETTLE, lambda: now)
    file = folder / "a.mp4"

    def grow(to: int) -> None:
        file.write_bytes(b"x" * to)

    def ready() -> list[str]:
        return names(watched.look()[0])

    assert ready() == []
    grow(1)
    assert ready() == []
    now = 1009.0
    grow(2)
    assert ready() == []
    now = 1018.9
    assert ready() == []
    now = 1019.0
    assert ready() == ["a.mp4"]
    watched.take(Failed(str(file), VideoError("broken", code="E_DECODE")))
    assert ready() == []
    grow(3)
    assert ready() == []
    now = 1029.0
    assert ready() == ["a.mp4"]


def test_an_old_file_is_ready_at_once(folder: Path) -> None:
    (folder / "old.mp4").write_bytes(b"x")
    os.utime(folder / "old.mp4", (900, 900))
    assert names(FolderWatch([str(folder)], SETTLE, lambda: 1000.0).look()[0]) == ["old.mp4"]


def test_a_folder_is_watched_until_a_signal(
    folder: Path, video: Path, model: Path, quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(
        lambda: shutil.copy(video, folder / "first.mp4"),
        lambda: (folder / "broken.mp4").write_text("no video"),
        lambda: shutil.copy(video, folder / "second.mp4"),
    )
    monkeypatch.setattr(watch, "wait", turns)
    words = ("segment", folder, "-m", model, "--overlap", 0, "-o", "out", "-f", "json", "--watch")
    done = quick(*words, "--settle", 0, code=4)
    assert done.stdout.count("windows of") == 2
    assert "0 videos seen; waiting for more" in done.stderr
    assert "2 of 3 inputs complete, 0 in part, 1 failed" in done.stderr
    turns.acts = [lambda: None]
    (folder / "broken.mp4").unlink()
    assert quick(*words, "--settle", 0).stderr.count("done before") == 2


def test_a_signal_during_a_video_keeps_its_windows(
    folder: Path, video: Path, model: Path, tmp_path: Path
) -> None:
    shutil.copy(video, folder / "a.mp4")
    run = vidattn.segment_many(
        folder, str(model), tmp_path / "out", watch=True, settle=0.0, overlap=0.0, batch_size=1
    )
    for event in run:
        if isinstance(event, Scored):
            break
    with pytest.raises(StopRequested):
        list(iter(lambda: run.throw(StopRequested(signal.SIGINT)), None))
    assert (tmp_path / "out" / "in" / "a.vidattn.json").exists()


def test_a_video_of_another_process_is_looked_at_again(
    folder: Path, video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        shutil.copy(video, folder / f"{name}.mp4")
    lock = tmp_path / "out" / "in" / "a.vidattn.lock"
    lock.parent.mkdir(parents=True)
    held = locked(lock, timeout=0)
    held.__enter__()
    monkeypatch.setattr(watch, "wait", Turns(lambda: held.__exit__(None, None, None)))
    events = list(
        vidattn.segment_many(
            folder, str(model), tmp_path / "out", watch=True, settle=0.0, overlap=0.0
        )
    )
    assert [Path(e.path).name for e in events if isinstance(e, Done)] == ["b.mp4", "a.mp4"]


def test_results_without_json_cannot_be_watched(folder: Path) -> None:
    with pytest.raises(UsageError, match="recognized by their json"):
        list(vidattn.segment_many(folder, "motion-tiny", "out", formats="srt", watch=True))


@pytest.mark.slow
def test_a_signal_ends_a_waiting_process_with_success(
    folder: Path, video: Path, model: Path, tmp_path: Path
) -> None:
    words = ["segment", folder, "-m", model, "--overlap", 0, "-o", "out", "-f", "json"]
    command = [sys.executable, "-m", "vidattn", *map(str, words), "--watch", "--settle", "0.2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert "waiting for more" in process.stderr.readline()
        shutil.copy(video, folder / "new.mp4")
        while "waiting for more" not in (line := process.stderr.readline()):
            assert line, "the process has ended"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (tmp_path / "out" / "in" / "new.vidattn.json").exists()

"""Killed worker processes of `vidattn eval` and `vidattn train` change no result."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from tests.cli.test_train_and_eval import TINY
from tests.helpers import Run, write_video
from vidattn.data.clip_dataset import EvaluationVideos
from vidattn.data.motion.dataset import MotionSamples
from vidattn.training.run_dir import checkpoints


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch looks every five seconds whether its workers live."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))


def kill_makers_of(
    kind: Any, number: int, lives: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill the first `lives` worker processes that make this sample."""
    folder.mkdir()
    read = kind.__getitem__

    def make(source: object, index: int) -> object:
        if index == number and get_worker_info() and len(list(folder.iterdir())) < lives:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read(source, index)

    monkeypatch.setattr(kind, "__getitem__", make)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A dataset of four videos with the classes of `model`."""
    for label in ("walk", "run"):
        video = tmp_path / "clips" / "val" / label / "0.mp4"
        video.parent.mkdir(parents=True)
        write_video(video, 1.0)
        shutil.copy(video, video.with_name("1.mp4"))
    shutil.copytree(tmp_path / "clips" / "val", tmp_path / "clips" / "train")
    return tmp_path / "clips"


def test_an_evaluation_gives_the_same_result(
    quick: Run, model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["eval", "-m", model, "--dataset", clips, "--json", "--workers"]
    whole = quick(*words, "0")
    kill_makers_of(EvaluationVideos, 2, 1, tmp_path / "killed", monkeypatch)
    assert json.loads(quick(*words, "2").stdout) == json.loads(whole.stdout)
    assert len(list((tmp_path / "killed").iterdir())) == 1


def test_a_video_that_kills_readers_ends_the_evaluation(
    quick: Run, model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_makers_of(EvaluationVideos, 1, 99, tmp_path / "killed", monkeypatch)
    done = quick("eval", "-m", model, "--dataset", clips, "--workers", "2", "-q", code=3)
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: sample 1: 3 worker processes have died of it")
    assert hint.startswith(
        "hint: mostly memory runs out: fewer processes need less (eval --workers"
    )


def test_runs_have_equal_files(quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidattn.data.motion.dataset.TEXTURES_PER_EPOCH", 2)
    words = ["train", "--dataset", "motion", *TINY, "--set", "data.workers=2", "--run-dir"]
    quick(*words, "whole/run")
    kill_makers_of(MotionSamples, 1, 1, tmp_path / "killed", monkeypatch)
    quick(*words, "again/run")
    assert len(list((tmp_path / "killed").iterdir())) == 1
    one, other = tmp_path / "whole" / "run", tmp_path / "again" / "run"
    for name in ("model.safetensors", "log.jsonl", checkpoints(one)[0].relative_to(one)):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name

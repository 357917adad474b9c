"""Training and measuring from the command line, small enough to take seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_film

TINY = [
    *("--epochs", "1", "--batch-size", "8", "--device", "cpu"),
    *("--set", "data.clips_per_epoch=16", "--set", "data.val_clips=10", "--set", "data.workers=0"),
    *("--set", "model.depth=1", "--set", "model.width=16", "--set", "model.heads=2"),
]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two classes with ten clips each."""
    for name, seconds in (("short", 0.5), ("long", 1.0)):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for i in range(10):
            write_film(tmp_path / "clips" / name / f"{i}.mp4", seconds)
    return tmp_path / "clips"


def test_a_run_leaves_a_model_that_can_be_used_and_measured(vidattn: Run, tmp_path: Path) -> None:
    done = vidattn("train", "--dataset", "motion", *TINY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1/1  top1 ")
    run = tmp_path / "runs" / "motion"
    assert {p.name for p in run.iterdir()} >= {"recipe.json", "log.jsonl", "model.safetensors"}
    measured = vidattn("eval", "-m", run, "--clips", "20", "--views", "1x1", "--json", "-q")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["clips"] == 20


def test_a_finished_run_is_not_overwritten(quick: Run) -> None:
    assert quick("train", "--dataset", "motion", *TINY).returncode == 0
    again = quick("train", "--dataset", "motion", *TINY)
    assert again.returncode == 5
    assert "--resume goes on" in again.stderr


def test_a_bundled_model_is_tuned_to_clips_of_ones_own(quick: Run, clips: Path) -> None:
    done = quick(
        *("train", "--dataset", clips, "--init", "motion-tiny", "--epochs", "1"),
        *("--batch-size", "4", "--set", "data.workers=0", "--run-dir", "run", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert "the head starts afresh" in done.stderr
    measured = quick("eval", "-m", "run", "--dataset", clips, "--views", "3x1", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["labels"] == ["long", "short"]


def test_a_data_set_that_is_not_there_names_the_places_searched(vidattn: Run) -> None:
    done = vidattn("train", "--dataset", "k400")
    assert done.returncode == 3
    assert "searched: data/k400" in done.stderr
    assert "--data-root DIR" in done.stderr
    assert not Path("runs").exists()


def test_an_unknown_setting_is_refused(quick: Run) -> None:
    done = quick("train", "--dataset", "motion", "--set", "optim.learning_rate=1")
    assert done.returncode == 3
    assert "optim.learning_rate: no such setting" in done.stderr


@pytest.mark.parametrize(("expected", "code"), [("top1=50+-50", 0), ("top1=100+-0.1", 7)])
def test_an_expectation_decides_the_exit_code(
    quick: Run, tmp_path: Path, expected: str, code: int
) -> None:
    done = quick("eval", "-m", "motion-tiny", "--clips", "30", "--expect", expected, "--offline")
    assert done.returncode == code, done.stderr


def test_an_expectation_that_cannot_be_read_is_refused(quick: Run) -> None:
    done = quick("eval", "-m", "motion-tiny", "--expect", "accuracy=1")
    assert done.returncode == 2
    assert "cannot be read" in done.stderr

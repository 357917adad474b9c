"""Training and measuring from the command line, and what a run shows, small enough for seconds."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import vidattn as vidattn_package
from tests import processes
from tests.helpers import Run, write_video
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.training import TensorBoardWriter, TrainingDisplay
from vidattn.training.events import (
    EpochDone,
    Event,
    IncompleteValidation,
    StepDone,
    TrainingNote,
    UnreadableVideo,
)

TINY = [
    *("--epochs", "1", "--batch-size", "8", "--device", "cpu"),
    *("--set", "data.clips_per_epoch=16", "--set", "data.val_clips=10", "--set", "data.workers=0"),
    *("--set", "model.depth=1", "--set", "model.width=16", "--set", "model.heads=2"),
]


ONCE = ["--set", "data.clips_per_epoch=0", "--set", "data.workers=0"]
"""A small set is gone through once in an epoch, not sixty times."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with ten clips each."""
    folder = tmp_path_factory.mktemp("originals") / "clips"
    for name, seconds in (("short", 0.5), ("long", 1.0)):
        (folder / name).mkdir(parents=True)
        video = write_video(folder / name / "0.mp4", seconds)
        for i in range(1, 10):
            shutil.copy(video, video.with_name(f"{i}.mp4"))
    return folder


@pytest.fixture
def clips(originals: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return shutil.copytree(originals, tmp_path / "clips")


def test_a_run_leaves_a_usable_model(vidattn: Run, quick: Run, tmp_path: Path) -> None:
    assert vidattn("train", "--dataset", "motion", *TINY).stdout.startswith("epoch 1/1  top1 ")
    run = tmp_path / "runs" / "motion"
    assert {p.name for p in run.iterdir()} >= {"recipe.json", "log.jsonl", "model.safetensors"}
    measured = quick("eval", "-m", run, "--samples", "20", "--views", "1x1", "--json", "-q")
    assert json.loads(measured.stdout)["scored"] == 20


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_trains_and_measures_as_the_commands_do(quick: Run, clips: Path) -> None:
    shape = {"model.depth": 1, "model.width": 16, "model.heads": 2}
    once = {"optim.epochs": 1, "data.clips_per_epoch": 0, "data.workers": 0}
    classifier = vidattn_package.train(clips, "run", settings=shape | once, device="cpu")
    assert classifier.labels == ("long", "short")
    measured = vidattn_package.evaluate("run", clips, runtime=vidattn_package.Runtime("cpu"))
    printed = json.loads(
        quick("eval", "-m", "run", "--dataset", clips, "--device", "cpu", "--json").stdout
    )
    assert measured == printed


def test_a_bundled_model_is_fine_tuned_on_own_clips(quick: Run, clips: Path) -> None:
    done = quick(
        *("train", "--dataset", clips, "--init", "motion-tiny", "--epochs", "1", *ONCE),
        *("--batch-size", "4", "--run-dir", "run", "--device", "cpu"),
    )
    assert "the head starts from random values" in done.stderr
    measured = quick("eval", "-m", "run", "--dataset", clips, "--views", "3x1", "--json")
    assert json.loads(measured.stdout)["labels"] == ["long", "short"]


def test_a_stam_is_trained_used_and_evaluated(quick: Run, clips: Path, video: Path) -> None:
    quick(
        *("train", "--dataset", clips, "-m", "small-stam", "--epochs", "1", "--batch-size", "4"),
        *("--trainable", "temporal", *ONCE, "--run-dir", "run", "--device", "cpu"),
    )
    measured = quick("eval", "-m", "run", "--dataset", clips, "--views", "1x1", "--json")
    assert json.loads(measured.stdout)["labels"] == ["long", "short"]
    prediction = json.loads(quick("classify", video, "-m", "run", "--json").stdout)
    assert prediction["segments"][0]["label"] in ("long", "short")
    timeline = json.loads(quick("segment", video, "-m", "run", "--json").stdout)
    assert timeline["segments"][-1]["end"] == pytest.approx(4.0)
    quick("train", "--run-dir", "run", "--resume", "--epochs", "2", "--device", "cpu")


def test_unreadable_videos_change_the_exit_code(quick: Run, clips: Path, tmp_path: Path) -> None:
    listed = [(path, path.parent.name) for path in sorted(clips.rglob("*.mp4"))]
    validation = listed[::5]
    text = "".join(
        f"{path},{label},{'val' if (path, label) in validation else 'train'}\n"
        for path, label in listed
    )
    (tmp_path / "list.csv").write_text("path,label,split\n" + text)
    for path, _ in (*listed[1:3], validation[0]):
        path.write_bytes(b"")
    done = quick(
        *("train", "--dataset", "list.csv", "--epochs", "2", "--batch-size", "4", *TINY[-6:]),
        *(*ONCE, "-q", "--device", "cpu", "--run-dir", "run"),
        code=4,
    )
    *warnings, last = done.stderr.splitlines()
    assert len(warnings) == 3  # of two epochs
    assert all(line.endswith("(E_EMPTY): the file is empty") for line in warnings)
    assert last == (
        "warning: 2 videos replaced by others and 1 video not counted: unreadable videos are "
        "listed in run/log.jsonl"
    )


def test_a_run_stops_after_too_many_bad_videos(quick: Run, clips: Path, tmp_path: Path) -> None:
    listed = [(path, path.parent.name) for path in sorted(clips.rglob("*.mp4"))]
    rows = [f"{path},{label},train\n" for path, label in listed]
    rows += [f"{path},{label},val\n" for path, label in (listed[-1], listed[0])]
    (tmp_path / "list.csv").write_text("path,label,split\n" + "".join(rows))
    for path, _ in listed[:10]:
        path.write_bytes(b"")
    words = ["train", "--epochs", "2", "--batch-size", "4", *TINY[-6:], *ONCE, "--device", "cpu"]
    done = quick(*words, "--dataset", "list.csv", "--run-dir", "run", code=3)
    assert "list: 2 videos to train on also validate, which flatters the scores" in done.stderr
    *_, error, hint = done.stderr.splitlines()
    assert error == (
        "error: list.csv: 10 of 20 videos to train on do not decode (50.0%); they are named in "
        "run/log.jsonl"
    )
    assert hint.endswith("continue without them: --resume --set data.max_unreadable=1")
    more = ["--resume", "--set", "data.max_unreadable=1", "-q"]
    quick("train", "--run-dir", "run", *more, "--device", "cpu", code=4)


def test_an_option_and_its_setting_exclude_each_other(quick: Run, tmp_path: Path) -> None:
    command = ("train", "--dataset", "motion", *TINY, "--precision", "bf16")
    quick(*command, "--set", "optim.precision=bf16")
    recipe = json.loads((tmp_path / "runs" / "motion" / "recipe.json").read_text())
    assert recipe["optim"]["precision"] == "bf16"
    wrong = quick(*command, "--run-dir", "other", "--set", "optim.precision=fp32", code=2)
    assert "--precision bf16, but --set optim.precision=fp32" in wrong.stderr
    assert not Path("other").exists()


def test_metrics_are_printed_beside_those_of_the_card(quick: Run) -> None:
    done = quick("eval", "-m", "motion-tiny", "--samples", "10", "--offline")
    assert re.search(r"^  its card says motion top-1 9\d\.\d", done.stdout, re.MULTILINE)


def test_a_dot_is_a_dataset(quick: Run, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    small = [*TINY[:4], "--device", "cpu", *ONCE, *TINY[-6:]]
    quick("train", "--dataset", ".", *small)
    assert [path.name for path in (clips / "runs").iterdir()] == ["clips"]
    broken = next(iter(sorted((clips / "long").iterdir())))
    (clips / "val").mkdir()
    (clips / "list.csv").write_text(f"path,label,split\nlong/{broken.name},long,val\n")
    broken.write_bytes(b"")
    with (clips / "list.csv").open("a") as file:
        file.writelines(f"short/{i}.mp4,short,val\n" for i in range(2))
    measured = quick("eval", "-m", "runs/clips", "--dataset", "list.csv", "--device", "cpu", code=4)
    assert measured.stdout.startswith("clips on list.csv: 2 videos of 3\n")
    assert f"{broken.name}: not counted (E_EMPTY): the file is empty" in measured.stderr


def test_a_run_is_named_after_its_dataset_without_suffix(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("path,label\n")
    (tmp_path / "clips.v2").mkdir()
    for name, run in (("videos.csv", "runs/videos"), ("clips.v2", "runs/clips.v2")):
        assert f"run folder {run}\n" in quick("train", "--dataset", name, code=3).stderr


def test_runs_know_where_their_dataset_is(quick: Run, clips: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    quick("models", "import", "motion-tiny", "-o", start)
    quick(
        *("train", "--dataset", clips, "--init", start, "--epochs", "1", *ONCE),
        *("--batch-size", "4", "--run-dir", "run", "--device", "cpu"),
    )
    for name in ("model.safetensors", "best.safetensors", "curves.html"):
        assert os.fsencode(tmp_path) not in (tmp_path / "run" / name).read_bytes(), name
    assert str(clips) in (tmp_path / "run" / "recipe.json").read_text()
    for model in ("run", "run/best.safetensors"):
        measured = quick("eval", "-m", model, "--views", "1x1", "-q", "--device", "cpu")
    quick("train", "--run-dir", "run", "--resume", "--epochs", "2", "--device", "cpu")
    shutil.copy(tmp_path / "run" / "model.safetensors", tmp_path / "sent.safetensors")
    clips.rename(tmp_path / "elsewhere")
    measured = quick("eval", "-m", "sent.safetensors", "--views", "1x1", code=3)
    assert "'clips' is neither a known dataset nor a folder here" in measured.stderr


def test_views_default_to_those_of_the_recipe(quick: Run, clips: Path) -> None:
    quick(
        *("train", "--dataset", clips, *TINY[:4], "--device", "cpu", *TINY[-6:]),
        *(*ONCE, "--set", "views.spatial=1", "--set", "views.clips=2", "--run-dir", "run"),
    )
    for warnings, views in (([], "1x2"), (["--views", "3x1"], "3x1")):
        measured = quick("eval", "-m", "run", "--json", "-q", "--device", "cpu", *warnings)
        assert json.loads(measured.stdout)["settings"]["views"] == views


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_stopped_run_says_how_to_resume(tmp_path: Path, number: int, code: int) -> None:
    words = [*TINY, "--epochs", "5000", "--run-dir", "my run"]
    command = ["train", "--dataset", "motion", *words]
    ended, told = processes.stop(command, tmp_path, "saved", number, COLUMNS="100")
    assert ended == code
    assert "vidattn train --dataset motion --run-dir 'my run' --resume" in told


def test_failed_videos_and_warnings_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(Console(quiet=True)) as follower:
        follower.tell(
            UnreadableVideo(3, "a.mp4", "replaced", "E_EMPTY", "a.mp4: the file is empty")
        )
        follower.tell(TrainingNote("4 videos to train"))
        follower.tell(TrainingNote("clips: nothing to validate of 1 class: a", warning=True))
        follower.tell(IncompleteValidation(1, 2, Path("run/log.jsonl")))
        follower.tell(IncompleteValidation(0, 1, Path("run/log.jsonl")))
    assert capsys.readouterr().err.splitlines() == [
        "warning: a.mp4: replaced by another (E_EMPTY): the file is empty",
        "warning: clips: nothing to validate of 1 class: a",
        "warning: 1 video replaced by others and 2 videos not counted: unreadable videos are "
        "listed in run/log.jsonl",
        "warning: 1 video not counted: unreadable videos are listed in run/log.jsonl",
    ]


def test_an_epoch_without_validation_has_no_scores(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(Console()) as follower:
        follower.tell(EpochDone(4, 1, 2, 1.0, 0.1, {}, 1.0, 0.0))
        follower.tell(EpochDone(8, 2, 2, 1.0, 0.1, {"top1": 0.5}, 1.0, 0.0))
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2  loss 1.0000",
        "epoch 2/2  top1 50.0 %  loss 1.0000",
    ]


@pytest.mark.filterwarnings("ignore")
def test_steps_repeated_after_an_interruption_count_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    reading = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")

    def steps(first: int, last: int) -> list[Event]:
        return [StepDone(n, 9, 1, n / first, 0.1, 1.0, 1.0, 0.0) for n in range(first, last)]

    epoch = EpochDone(4, 1, 2, 1.0, 0.1, {"top1": 0.5}, 1.0, 0.0)
    # Killed in step 6; the last checkpoint is that of step 4, then taken up before measuring.
    for events in (steps(1, 7), [epoch, *steps(5, 7)], steps(6, 8)):
        board = TensorBoardWriter(tmp_path / "board")
        for event in events:
            board.tell(event)
        board.close()
    accumulator = reading.EventAccumulator(str(tmp_path / "board")).Reload()
    points = [(point.step, point.value) for point in accumulator.Scalars("train/loss")]
    assert points == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 1.0), (6, 1.0), (7, pytest.approx(7 / 6)),
    ]  # fmt: skip
    assert [point.step for point in accumulator.Scalars("validation/top1")] == [4]


def test_a_board_leaves_nothing_before_there_is_something_to_draw(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    TensorBoardWriter(tmp_path / "board").close()
    assert not (tmp_path / "board").exists()

"""What a run shows while it goes on."""

import importlib
from pathlib import Path

import pytest

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


def test_failed_videos_and_warnings_are_told_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
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

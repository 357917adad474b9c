"""When processes that work together are started again, and when not."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vidattn.cli import launch
from vidattn.cli.terminal.console import Console
from vidattn.errors import DistributedError

MEMBER = """
import os, signal, sys, time
rank = int(os.environ["RANK"])
exec(sys.argv[1])
"""
DIES = "if rank: os.kill(os.getpid(), 9)\ntime.sleep(0.1); sys.exit(9)"
HANGS = "if rank: os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(9)"
DONE = "sys.exit(0)"


class Saved:
    """Checkpoints of these steps, one after another; all that begins again does the same."""

    def __init__(self, code: str, *steps: int) -> None:
        self.code, self.steps, self.attempts = code, list(steps), 1

    def step(self) -> int:
        return self.steps.pop(0)

    def words(self) -> Sequence[str]:
        self.attempts += 1
        return [self.code]


@pytest.fixture(autouse=True)
def _members(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They need no second to load, and handlers of signals are put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(launch, "COMMAND", (sys.executable, "-S", "-c", MEMBER))
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("code", "reason"), [(DIES, "was ended by signal 9"), (HANGS, "did not answer")]
)
def test_all_restart_after_a_crash(
    code: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    saved = Saved(DONE, 4)
    assert launch.run(2, [code], Console(), saved=saved) == 0
    assert saved.attempts == 2
    assert capfd.readouterr().err == f"warning: process 1 of 2 {reason}; all resume from step 4\n"


def test_three_deaths_after_one_checkpoint_end_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    saved = Saved(DIES, -1, -1, 8, 8, 8)
    with pytest.raises(DistributedError) as caught:
        launch.run(2, [DIES], Console(), saved=saved)
    assert caught.value.message == "process 1 of 2 was ended by signal 9 (3 times since step 8)"
    assert saved.attempts == 5
    assert capfd.readouterr().err.count("all start again\n") == 2


@pytest.mark.parametrize("code", [3, 5, 8])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_ends_all_processes(
    code: int, rank: int, capfd: pytest.CaptureFixture[str]
) -> None:
    fails = f"""if rank == {rank}: sys.stderr.write("error: this\\n"); sys.exit({code})
time.sleep(0.1); sys.exit(9)"""
    saved = Saved(DONE, 4)
    assert launch.run(2, [fails], Console(), saved=saved) == code
    assert saved.attempts == 1
    assert capfd.readouterr().err == "error: this\n"


def test_an_error_of_the_program_is_not_tried_again() -> None:
    saved = Saved(DONE, 4)
    with pytest.raises(DistributedError, match=r"(?m)^process 1 of 2 ended with code 1$"):
        launch.run(2, ["sys.exit(rank)"], Console(), saved=saved)
    assert saved.attempts == 1


def test_a_run_without_checkpoints_ends_with_the_first_death() -> None:
    with pytest.raises(DistributedError, match=r"(?m)^process 1 of 2 was ended by signal 9$"):
        launch.run(2, [DIES], Console())


def test_a_run_resumes_and_one_of_others_does_not(tmp_path: Path) -> None:
    ours = launch.RestartableRun(tmp_path, ["train", "--nproc", "2"], resume=False)
    assert (ours.step(), ours.words()) == (-1, ["train", "--nproc", "2"])
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "00000012.safetensors").touch()
    assert (ours.step(), ours.words()) == (12, ["train", "--nproc", "2", "--resume"])
    theirs = launch.RestartableRun(tmp_path, ["train", "--nproc", "2"], resume=False)
    assert theirs.words() == ["train", "--nproc", "2"]
    again = launch.RestartableRun(tmp_path, ["train", "--resume"], resume=True)
    assert again.words() == ["train", "--resume"]

"""`vidattn train --nproc`: signals, deaths and restarts, and what options make of a recipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests import processes
from tests.cli.test_train_and_eval import TINY
from tests.helpers import Run
from vidattn.cli import launch
from vidattn.cli.terminal.console import Console
from vidattn.errors import DistributedError
from vidattn.training.run_dir import checkpoints
from vidattn.training.trainer import Network

MEMBER = """
import os, signal, sys, time
rank = int(os.environ["RANK"])
exec(sys.argv[1])
"""
DIES = "if rank: os.kill(os.getpid(), 9)\ntime.sleep(0.1); sys.exit(9)"
HANGS = "if rank: os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(9)"
DONE = "sys.exit(0)"


@contextmanager
def training(folder: Path, *words: str) -> Iterator[processes.Popen]:
    """A long run in two processes, once it has made a checkpoint."""
    command = ["train", "--dataset", "motion", *TINY, "--epochs", "5000", "--nproc", "2"]
    with processes.Popen(
        [*command, "--save-every", "1", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stderr=subprocess.PIPE,
    ) as process:
        while not checkpoints(folder / "runs" / "motion"):
            assert process.poll() is None
            time.sleep(0.1)
        yield process
        process.kill()


def step_of(folder: Path) -> int:
    """The newest checkpoint's."""
    return int(checkpoints(folder / "runs" / "motion")[0].stem)


def is_alive(number: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(process: processes.Popen) -> list[int]:
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in task.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_processes_save_and_end_on_a_signal(tmp_path: Path) -> None:
    with training(tmp_path) as process:
        crew = children(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        output = process.stderr.read()
    assert output.count("stopped; resume with the same settings and: vidattn train") == 1
    assert "Traceback" not in output
    assert not any(Path(f"/proc/{number}").exists() for number in crew)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_none_outlives_a_killed_parent(tmp_path: Path) -> None:
    with training(tmp_path, "--quiet") as process:
        dead = children(process)
        os.kill(dead[1], signal.SIGKILL)
        output = process.stderr.readline()
        assert re.fullmatch(
            r"warning: process 1 of 2 was ended by signal 9; all resume from step \d+\n", output
        )
        reached = step_of(tmp_path)
        while step_of(tmp_path) <= reached:
            assert process.poll() is None
            time.sleep(0.05)
        crew = children(process)
        assert not set(crew) & set(dead)
        process.kill()
        process.wait()
        until = time.monotonic() + 60
        while any(map(is_alive, crew)):
            assert time.monotonic() < until
            time.sleep(0.02)


SMALL_RUN = [*TINY, "--epochs", "3", "--save-every", "1", "--nproc", "2", "--timeout", "8"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_whose_processes_die_or_hang_ends_with_the_same_files(
    vidattn: Run, tmp_path: Path, rank: int, number: int
) -> None:
    words = ["train", "--dataset", "motion", *SMALL_RUN, "--run-dir", "run"]
    (tmp_path / "struck").mkdir()
    with processes.Popen(
        words,
        cwd=tmp_path / "struck",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    ) as process:
        folder = tmp_path / "struck" / "run"
        while len(children(process)) < 2 or not checkpoints(folder):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(children(process)[rank], number)
        output = process.stderr.read()
    assert process.returncode == 0, output
    how = "was ended by signal 9" if number == signal.SIGKILL else "did not answer"
    assert f"warning: process {rank} of 2 {how}; all resume from step" in output
    assert "Traceback" not in output
    vidattn(*words)
    one, other = folder, tmp_path / "run"
    names = "model.safetensors", "log.jsonl", checkpoints(other)[0].relative_to(other)
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_run_resumes_with_its_own_recipe(quick: Run, tmp_path: Path) -> None:
    words = [*TINY, "--set", "optim.lr=0.125", "--run-dir", "run"]
    quick("train", "--dataset", "motion", *words)
    more = quick("train", "--run-dir", "run", "--resume", "--epochs", "2", "--device", "cpu")
    assert more.stdout.startswith("epoch 2/2")
    quick("train", "--recipe", "run/recipe.json", "--run-dir", "other", "--device", "cpu")
    assert '"lr": 0.125' in (tmp_path / "other" / "recipe.json").read_text()


@pytest.mark.parametrize(("most", "code"), [(3, 0), (0, 6)])
def test_auto_splits_batches(
    quick: Run, monkeypatch: pytest.MonkeyPatch, most: int, code: int
) -> None:
    forward = Network.forward

    def limited(network: Network, clips: torch.Tensor) -> object:
        if network.training and len(clips) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(network, clips)

    monkeypatch.setattr(Network, "forward", limited)
    words = ["auto" if before == "--batch-size" else word for before, word in pairwise(["", *TINY])]
    words += ["--set", "optim.batch_size=8", "--run-dir", "run"]
    done = quick("train", "--dataset", "motion", *words, code=code)
    output = "batches of 8 clips are split into 4 of up to 2 clips"
    assert (output in done.stderr) == (code == 0)
    assert ("out of memory with a single clip" in done.stderr) == (code == 6)


def test_a_board_that_is_not_installed_is_named_before_anything_is_written(
    quick: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = quick("train", "--dataset", "motion", *TINY, "--tensorboard", "--run-dir", "run", code=2)
    assert "pip install 'vidattn[tensorboard]'" in done.stderr
    assert not (tmp_path / "run").exists()


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

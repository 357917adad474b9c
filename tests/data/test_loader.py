"""What is read ahead, by processes that are killed and that fail."""

import os
import signal
import time
from pathlib import Path

import pytest
from torch.utils.data import Dataset, get_worker_info

from vidattn.data.loader import load_in_order
from vidattn.errors import DataError, VideoError


class Numbers(Dataset[int]):
    """Every number as itself; `deadly` kills the first processes that make it, `bad` raises."""

    signal = signal.SIGKILL

    def __init__(
        self, folder: Path, deadly: int = -1, lives: int = 0, bad: int = -1, slow: float = 0.0
    ) -> None:
        self.folder, self.deadly, self.lives = folder, deadly, lives
        self.bad, self.slow = bad, slow

    def __getitem__(self, number: int) -> int:
        time.sleep(self.slow * (number < self.deadly))
        if number == self.deadly and len(list(self.folder.iterdir())) < self.lives:
            assert get_worker_info()
            (self.folder / str(os.getpid())).touch()
            os.kill(os.getpid(), self.signal)
        if number == self.bad:
            raise VideoError("x.mp4: no video", code="E_NOT_VIDEO", hint="look at it")
        return number


@pytest.mark.parametrize("deadly", [3, 5, 21])
def test_samples_of_a_killed_process_are_made_by_another(tmp_path: Path, deadly: int) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    source = Numbers(tmp_path, deadly, lives=2)
    assert list(load_in_order(source, range(3, 23, 2), workers=2)) == list(range(3, 23, 2))
    assert len(list(tmp_path.iterdir())) == 2
    assert signal.getsignal(signal.SIGCHLD) == before  # a death may not raise anywhere else


def test_a_sample_that_kills_three_processes_is_named(tmp_path: Path) -> None:
    # It is met, and its process missed, while others are still busy with those before it.
    numbers = load_in_order(Numbers(tmp_path, 1, lives=99, slow=0.3), range(8), workers=2)
    assert next(numbers) == 0
    with pytest.raises(DataError, match=r"^sample 1: 3 worker processes have died") as caught:
        next(numbers)
    assert "memory" in (caught.value.hint or "")


class Halting(Numbers):
    """The same; the first processes to make `deadly` stand still."""

    signal = signal.SIGSTOP


def test_a_stalled_process_is_replaced(tmp_path: Path) -> None:
    source = Halting(tmp_path, 3, lives=1)
    assert list(load_in_order(source, range(6), workers=2, timeout=0.5)) == list(range(6))
    (halted,) = (int(path.name) for path in tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(halted, 0)


def test_a_sample_that_stalls_three_processes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?m)^sample 0: .* the last: not heard of for 0\.3 s$"):
        list(load_in_order(Halting(tmp_path, 0, lives=9), range(2), workers=1, timeout=0.3))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_is_the_same_with_and_without_workers(tmp_path: Path, workers: int) -> None:
    with pytest.raises(VideoError) as caught:
        list(load_in_order(Numbers(tmp_path, bad=2), range(4), workers))
    error = caught.value
    assert str(error) == error.message == "x.mp4: no video"
    assert (error.code, error.hint) == ("E_NOT_VIDEO", "look at it")

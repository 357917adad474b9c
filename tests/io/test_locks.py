"""Locks between threads and processes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vidattn.io import locks
from vidattn.io.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from vidattn.io.locks import locked
with locked(Path(sys.argv[1])) as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_a_lock_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.001)
    path, inside, counts = tmp_path / "deep" / "lock", [0], []

    def work() -> None:
        for _ in range(20):
            with locked(path) as free:
                inside[0] += 1
                counts.append((free, inside[0]))
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [(True, 1)] * 80
    assert not path.exists()


def test_a_killed_process_lets_go_of_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "True\n"
        with locked(path, timeout=0) as free:
            assert not free
        os.kill(holder.pid, signal.SIGKILL)
    with locked(path, timeout=5) as free:
        assert free


def test_missing_locks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(*_: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available"), locked(tmp_path / "lock"):
        pass

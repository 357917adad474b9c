"""`--nproc N`: the same command in N processes on this machine that train one model together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import IO

from vidattn.cli.stopping import Stopped
from vidattn.errors import DistributedError, UsageError

PARENT = "VIDATTN_LAUNCHED_BY"
"""Environment variable of the processes started here: the process that watches over them."""
OWN_CODES = range(2, 9)
"""Exit codes that say what is wrong; the others are a death."""
GRACE = 5.0  # seconds for the others to end by themselves after one has


def launched() -> bool:
    """Whether this process was started by `run`; it then ends when that one does."""
    if PARENT not in os.environ:
        return False
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(DistributedError.exit_code)
    return True


def run(count: int, words: Sequence[str]) -> int:
    """`vidattn WORDS` in `count` processes; returns the exit code they end with.

    Signals are handed on: the first lets the processes save, a second ends them at once. When one
    fails the others are stopped. Its exit code is handed on where it says what is wrong; else
    DistributedError is raised. Only the first process prints, unless another is the one that fails.
    """
    if "RANK" in os.environ:
        raise UsageError("--nproc under torchrun, which starts the processes itself")
    with _Crew(count, words) as crew:
        failed = crew.watch()
        if crew.asked:
            raise Stopped(crew.asked)
        return 0 if failed is None else crew.verdict(failed)


class _Crew:
    """The processes, from their start to the end of all of them."""

    def __init__(self, count: int, words: Sequence[str]) -> None:
        self.asked = 0
        self._stopped: set[int] = set()
        self._heard: list[IO[bytes]] = []
        self._open = ExitStack()
        self._members: list[subprocess.Popen[bytes]] = []
        self._port, self._words, self._count = _free_port(), words, count

    def __enter__(self) -> _Crew:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hand_on)
        for rank in range(self._count):
            self._start(rank)
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)
        self._open.close()

    def _start(self, rank: int) -> None:
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        environment = {
            "OMP_NUM_THREADS": threads,
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self._count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._port),
            PARENT: str(os.getpid()),
        }
        heard = tempfile.TemporaryFile()  # noqa: SIM115
        self._heard.append(self._open.enter_context(heard))
        self._members.append(
            subprocess.Popen(
                [sys.executable, "-m", "vidattn", *self._words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else heard,
                start_new_session=True,  # a Ctrl-C reaches them once, from here
            )
        )

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = bool(self.asked), number
        self._end(signal.SIGKILL if again else number)

    def _end(self, number: int) -> None:
        for member in self._members:
            if member.poll() is None:
                member.send_signal(number)

    def watch(self) -> int | None:
        """Wait for the end of all; the number of the first that failed."""
        failed, deadline = None, float("inf")
        while any(member.poll() is None for member in self._members):
            codes = [member.poll() for member in self._members]
            if failed is None and any(codes):
                failed = next(rank for rank, code in enumerate(codes) if code)
                deadline = time.monotonic() + GRACE
            if not self.asked and time.monotonic() > deadline:
                self._stopped |= {r for r, m in enumerate(self._members) if m.poll() is None}
                self._end(signal.SIGKILL)
            time.sleep(0.05)
        if failed is None:
            failed = next((r for r, member in enumerate(self._members) if member.returncode), None)
        return failed

    def verdict(self, failed: int) -> int:
        """The exit code of all, when one has failed."""
        codes = [member.returncode for member in self._members]
        telling = [rank for rank, code in enumerate(codes) if code in OWN_CODES]
        if telling:
            self._repeat(telling[0])
            return codes[telling[0]]
        died = [rank for rank, code in enumerate(codes) if code < 0 and rank not in self._stopped]
        dead = died[0] if died else failed
        self._repeat(failed)
        code = codes[dead]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise DistributedError(
            f"process {dead} of {self._count} {how}",
            hint="what was saved is valid: --resume goes on from the last checkpoint",
        )

    def _repeat(self, rank: int) -> None:
        """Say what a process other than the first said before it failed."""
        self._heard[rank].seek(0)
        sys.stderr.write(self._heard[rank].read().decode(errors="replace"))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

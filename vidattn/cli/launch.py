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
from typing import IO, Protocol

from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import DistributedError, ExitCode, UsageError

PARENT = "VIDATTN_LAUNCHED_BY"
"""Environment variable of the processes started here: the process that watches over them."""
OWN_CODES = range(ExitCode.USAGE, ExitCode.DISTRIBUTED)
"""Exit codes that say what is wrong; the others are a death."""
GRACE = 5.0  # seconds for the others to end by themselves after one has
FAILURES = 3
"""So often may processes die or hang since the same checkpoint."""
COMMAND = (sys.executable, "-m", "vidattn")


def is_lead() -> bool:
    """Whether this process prints and writes for all that work together."""
    return os.environ.get("RANK", "0") == "0"


def is_launched() -> bool:
    """Whether this process was started by `run`; it then ends when that one does."""
    if PARENT not in os.environ:
        return False
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(DistributedError.exit_code)
    return True


class Checkpoints(Protocol):
    """Where processes that have died can be started again from."""

    def step(self) -> int:
        """The newest checkpoint's, -1 before there is one."""

    def words(self) -> Sequence[str]:
        """The command that goes on from there."""


def run(
    count: int, words: Sequence[str], desk: Console, *, saved: Checkpoints | None = None
) -> int:
    """`vidattn WORDS` in `count` processes; returns the exit code they end with.

    Signals are handed on: the first lets the processes save, a second ends them at once. When one
    fails the others are stopped. Its exit code is handed on where it says what is wrong. Where one
    has died or hangs, all start again from what was saved; DistributedError is raised when that is
    nowhere, or at the third time since the same checkpoint. Only the first process prints, unless
    another is the one that fails.
    """
    if "RANK" in os.environ:
        raise UsageError("--nproc under torchrun, which starts the processes itself")
    failures, since = 0, -2
    with _Processes(count) as crew:
        while True:
            crew.begin(words)
            failed = crew.watch()
            if crew.asked:
                raise StopRequested(crew.asked)
            if failed is None:
                return 0
            code = crew.telling(failed)
            if code is not None:
                return code
            step = saved.step() if saved else -1
            failures, since = (failures + 1 if step == since else 1), step
            loss = crew.loss(failed)
            if saved is None or failures == FAILURES or not crew.died(failed):
                often = f" ({failures} times since step {max(step, 0)})" if failures > 1 else ""
                raise DistributedError(
                    loss + often,
                    hint="what was saved is valid: --resume goes on from the last checkpoint",
                )
            whence = f"go on from step {step}" if step >= 0 else "begin again"
            desk.warn(f"{loss}; all {whence}")
            words = saved.words()


class _Processes:
    """The processes, from their start to the end of all of them, again and again."""

    def __init__(self, count: int) -> None:
        self.asked = 0
        self._count = count
        self._stopped: set[int] = set()
        self._heard: list[IO[bytes]] = []
        self._open = ExitStack()
        self._members: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Processes:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hand_on)
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)
        self._open.close()

    def begin(self, words: Sequence[str]) -> None:
        """Start all of them; none is left of those before."""
        self._open.close()
        self._members, self._heard, self._stopped = [], [], set()
        port = _free_port()  # dead processes are never asked for by where they were
        for rank in range(self._count):
            self._start(rank, port, words)
        if self.asked:
            self._end(self.asked)

    def _start(self, rank: int, port: int, words: Sequence[str]) -> None:
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        environment = {
            "OMP_NUM_THREADS": threads,
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self._count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            PARENT: str(os.getpid()),
        }
        heard = tempfile.TemporaryFile()  # noqa: SIM115
        self._heard.append(self._open.enter_context(heard))
        self._members.append(
            subprocess.Popen(
                [*COMMAND, *words],
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

    def telling(self, failed: int) -> int | None:
        """The exit code that says what is wrong, if one does; what else was said is repeated."""
        codes = [member.returncode for member in self._members]
        rank = next((rank for rank, code in enumerate(codes) if code in OWN_CODES), None)
        self._repeat(failed if rank is None else rank)
        return None if rank is None else codes[rank]

    def _lost(self, failed: int) -> int:
        """Which has died, or did not answer the others: all but that say that one is lost."""
        codes = [member.returncode for member in self._members]
        died = [rank for rank, code in enumerate(codes) if code < 0 and rank not in self._stopped]
        if died or codes[failed] != DistributedError.exit_code:
            return died[0] if died else failed
        return min(self._stopped, default=failed)

    def died(self, failed: int) -> bool:
        """Whether that was no error of the program, so that another attempt may end well."""
        code = self._members[self._lost(failed)].returncode
        return code < 0 or code == DistributedError.exit_code

    def loss(self, failed: int) -> str:
        """What became of the one that is lost, in words."""
        rank = self._lost(failed)
        code = self._members[rank].returncode
        if rank in self._stopped:
            how = "did not answer"
        else:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"process {rank} of {self._count} {how}"

    def _repeat(self, rank: int) -> None:
        """Say what a process other than the first said before it failed."""
        self._heard[rank].seek(0)
        sys.stderr.write(self._heard[rank].read().decode(errors="replace"))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

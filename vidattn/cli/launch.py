"""`--nproc N`: N processes on this machine that run the same command together."""

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
from pathlib import Path
from types import FrameType
from typing import IO

from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested, listen
from vidattn.errors import DistributedError, ExitCode, UsageError
from vidattn.io.files import exists

PARENT = "VIDATTN_LAUNCHED_BY"
"""Environment variable of launched processes: the id of the launching one."""
OWN_CODES = range(ExitCode.USAGE, ExitCode.DISTRIBUTED)
"""Exit codes that name a problem; all others mean that the process died."""
GRACE_SECONDS = 5.0
"""Time for the others to end by themselves after one has."""
MOST_FAILURES = 3
"""Number of crashes or hangs since the same checkpoint that ends a run."""
COMMAND = (sys.executable, "-m", "vidattn")


def is_lead() -> bool:
    """Whether this process prints and writes for all that work together."""
    return os.environ.get("RANK", "0") == "0"


def is_launched() -> bool:
    """Whether `run` started this process, which then ends together with the launching one."""
    if PARENT not in os.environ:
        return False
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(DistributedError.exit_code)
    return True


class RestartableRun:
    """A run whose processes are started again after a crash, from the last checkpoint.

    given: the words of the command. resume: whether they ask to resume a run.
    """

    def __init__(self, folder: Path, given: Sequence[str], *, resume: bool) -> None:
        self.folder, self.given = folder, given
        # The run of somebody else is never resumed unasked, whichever process dies first.
        self._ours = not resume and not self._exists()

    def _exists(self) -> bool:
        return exists(self.folder / "recipe.json") or self.step() >= 0

    def step(self) -> int:
        """The step of the newest checkpoint, -1 without one."""
        from vidattn.training.run_dir import checkpoints

        return max((int(path.stem) for path in checkpoints(self.folder)), default=-1)

    def words(self) -> Sequence[str]:
        """The command that resumes the run."""
        return [*self.given, "--resume"] if self._ours and self._exists() else self.given


def run(
    count: int, words: Sequence[str], console: Console, *, saved: RestartableRun | None = None
) -> int:
    """Run `vidattn WORDS` in `count` processes; returns their exit code.

    The first signal lets the processes save, a second one ends them at once. When a process fails,
    the others are stopped, and an exit code that names a problem is returned. When a process died
    or hangs, all restart from the last checkpoint; without one, or at the third time since the same
    one, DistributedError is raised. Only the first process prints, unless another one fails.
    """
    if "RANK" in os.environ:
        raise UsageError("--nproc under torchrun, which starts the processes itself")
    failures, since = 0, -2
    with _Processes(count) as group:
        while True:
            group.start(words)
            failed = group.watch()
            if group.signal:
                raise StopRequested(group.signal)
            if failed is None:
                return 0
            code = group.exit_code(failed)
            if code is not None:
                return code
            step = saved.step() if saved else -1
            failures, since = (failures + 1 if step == since else 1), step
            loss = group.describe_loss(failed)
            if saved is None or failures == MOST_FAILURES or not group.died(failed):
                often = f" ({failures} times since step {max(step, 0)})" if failures > 1 else ""
                raise DistributedError(
                    loss + often,
                    hint="checkpoints are valid: add --resume to continue from the last one",
                )
            restart = f"resume from step {step}" if step >= 0 else "start again"
            console.warn(f"{loss}; all {restart}")
            words = saved.words()


class _Processes:
    """A group of processes, from their start to the end of all, repeatedly."""

    def __init__(self, count: int) -> None:
        self.signal = 0
        self._count = count
        self._stopped: set[int] = set()
        self._outputs: list[IO[bytes]] = []
        self._open = ExitStack()
        self._members: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Processes:
        listen(self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)
        self._open.close()

    def start(self, words: Sequence[str]) -> None:
        """Start all processes; those of an earlier start have ended."""
        self._open.close()
        self._members, self._outputs, self._stopped = [], [], set()
        port = _free_port()
        for rank in range(self._count):
            self._start(rank, port, words)
        if self.signal:
            self._end(self.signal)

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
        output = tempfile.TemporaryFile()  # noqa: SIM115
        self._outputs.append(self._open.enter_context(output))
        self._members.append(
            subprocess.Popen(
                [*COMMAND, *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else output,
                start_new_session=True,  # Ctrl-C reaches them once, through _forward
            )
        )

    def _forward(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = bool(self.signal), number
        self._end(signal.SIGKILL if again else number)

    def _end(self, number: int) -> None:
        for member in self._members:
            if member.poll() is None:
                member.send_signal(number)

    def watch(self) -> int | None:
        """Wait for the end of all processes; returns the rank of the first that failed."""
        failed, deadline = None, float("inf")
        while any(member.poll() is None for member in self._members):
            codes = [member.poll() for member in self._members]
            if failed is None and any(codes):
                failed = next(rank for rank, code in enumerate(codes) if code)
                deadline = time.monotonic() + GRACE_SECONDS
            if not self.signal and time.monotonic() > deadline:
                self._stopped |= {r for r, m in enumerate(self._members) if m.poll() is None}
                self._end(signal.SIGKILL)
            time.sleep(0.05)
        if failed is None:
            failed = next((r for r, member in enumerate(self._members) if member.returncode), None)
        return failed

    def exit_code(self, failed: int) -> int | None:
        """The exit code that names a problem, if any; repeats the output of that process."""
        codes = [member.returncode for member in self._members]
        rank = next((rank for rank, code in enumerate(codes) if code in OWN_CODES), None)
        self._repeat(failed if rank is None else rank)
        return None if rank is None else codes[rank]

    def _lost(self, failed: int) -> int:
        """The rank of the process that died or did not answer; the others report a lost one."""
        codes = [member.returncode for member in self._members]
        died = [rank for rank, code in enumerate(codes) if code < 0 and rank not in self._stopped]
        if died or codes[failed] != DistributedError.exit_code:
            return died[0] if died else failed
        return min(self._stopped, default=failed)

    def died(self, failed: int) -> bool:
        """Whether a process was lost without an error of its own, so that a restart may help."""
        code = self._members[self._lost(failed)].returncode
        return code < 0 or code == DistributedError.exit_code

    def describe_loss(self, failed: int) -> str:
        """The fate of the lost process in words."""
        rank = self._lost(failed)
        code = self._members[rank].returncode
        if rank in self._stopped:
            how = "did not answer"
        else:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"process {rank} of {self._count} {how}"

    def _repeat(self, rank: int) -> None:
        """Print the output of a process other than the first."""
        self._outputs[rank].seek(0)
        sys.stderr.write(self._outputs[rank].read().decode(errors="replace"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

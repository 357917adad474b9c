"""The supervisor's side of worker processes: messages, watchdog, end; and those that are kept."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from vidattn.video.process import messages
from vidattn.video.protocol import Frames, Limits

PIPE_BYTES = 1 << 20
"""Bytes of frames that a decoder may be ahead of its consumer."""
RENEWAL_SECONDS = 0.5
"""Time after which a message renews the CPU time that a child has."""
PROCESS_CLOCK = 2
"""Part of the number of the clock of another process's CPU time (linux/posix-timers.h)."""
MAX_THREADS = 16
"""Threads of a decoder, as FFmpeg chooses them."""
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
"""The environment that a child needs to load its libraries; the rest may hold secrets."""
TIMES_DURATION = 4
BYTES_PER_SECOND = 5e6
"""The slowest reading of a large file, over a network."""
USUAL_PIXELS = 1920 * 1080 * 30
"""In a second of video; more pixels may take more time."""
MAX_FACTOR = 16
MAX_FRAME_SECONDS = 1.0
"""A frame that is shown for longer takes no longer to decode."""


class TimeBudget:
    """Seconds that a caller waits for processes while one video is read."""

    def __init__(self, limits: Limits, file_bytes: int) -> None:
        """For opening a file, which may mean to read it all."""
        self._least = max(limits.decoding_seconds, file_bytes / BYTES_PER_SECOND)
        self.allowed, self.spent = self._least, 0.0
        self._frames, self._requested, self._once = 1, 0, self._least

    @property
    def left(self) -> float:
        """Seconds to go; below 0 at the end."""
        return self.allowed - self.spent

    def extend(self, frames: int, duration: float, pixels: int) -> None:
        """For decoding a video once; duration: seconds. pixels: of a frame."""
        factor = pixels * frames / (max(duration, 1e-3) * USUAL_PIXELS)
        seconds = min(duration, frames * MAX_FRAME_SECONDS)
        decoding = TIMES_DURATION * seconds * min(max(factor, 1.0), MAX_FACTOR)
        self._frames, self._once = frames, max(self._least, decoding)
        self.allowed = max(self.allowed, self._once)

    def request(self, frames: int) -> None:
        """For decoding so many frames; time is added when all of them came once."""
        self._requested += frames
        self.allowed = self._once * max(1.0, self._requested / self._frames)


class DiedError(Exception):
    """The child is gone; the message says how it ended."""


class SilentError(DiedError):
    """The child sent nothing for too long, or took too long in all, and was killed."""


class WorkerProcess:
    """A spawned worker; messages are read on demand, so it is ahead by a full pipe at most."""

    def __init__(
        self, silence_seconds: float, module: str = "vidattn.video.process.worker"
    ) -> None:
        """module: the program of the child, which speaks `messages`."""
        self._silence = silence_seconds
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(silence_seconds)
        self._stderr, stderr = os.pipe()
        os.set_blocking(stderr, False)  # a chatty library loses words, it does not stop
        # Its own process group keeps Ctrl-C away. A session of its own would too, but Linux may
        # schedule sessions, not processes: the child would escape the caller's `nice`, or starve
        # beside the model.
        self._child = subprocess.Popen(
            _command(module),
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(),
            cwd="/",
            process_group=0,
        )
        theirs.close()
        os.close(stderr)
        assert self._child.stdout is not None
        self._replies = self._child.stdout.fileno()
        _widen(self._replies)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self.threads = min(os.cpu_count() or 1, MAX_THREADS)
        """Number of threads that may work at once."""
        self._renewed = 0.0
        self._owner = os.getpid()
        self.files = 0
        """Number of files served to the end."""
        self.key: object = None
        """What a file must have in common with the first one to be served, too."""
        self.budget: TimeBudget | None = None
        """Of the video at hand."""
        self._number = 0
        self._ended = 0
        self._max_raw = 0
        self._torn = False

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return int(self._child.pid)

    @property
    def usable(self) -> bool:
        """False after a message was left half read, after the end, and in a fork of the opener."""
        return not self._torn and self._owner == os.getpid()

    def is_current(self, number: int) -> bool:
        """Whether request `number` is still the one being answered."""
        return number == self._number and self.usable

    def send(
        self,
        meta: Mapping[str, Any],
        raw: bytes | memoryview = b"",
        fd: int | None = None,
        *,
        max_raw: int = messages.MAX_RAW,
    ) -> int:
        """Send a request, ending the one before it; returns its number.

        max_raw: bytes of the longest raw part of a reply.
        """
        if self._ended != self._number:
            self._send({"kind": "stop"})
            for _ in self.replies(self._number):
                pass  # the rest of the abandoned request
        self._max_raw = max_raw
        self._renew_cpu_limit()
        return self._send(meta, raw, fd)

    def _send(
        self, meta: Mapping[str, Any], raw: bytes | memoryview = b"", fd: int | None = None
    ) -> int:
        self._number += 1
        message = messages.encode({**meta, "number": self._number}, len(raw))
        try:
            head = messages.HEAD.size
            sent = socket.send_fds(self._socket, [message[:head]], [] if fd is None else [fd])
            self._socket.sendall(message[sent:])
            self._socket.sendall(raw)
        except TimeoutError:
            raise self._end_silent() from None
        except OSError:
            raise self._end_dead() from None
        return self._number

    def replies(self, number: int) -> Iterator[tuple[messages.Meta, Frames]]:
        """Messages (JSON, raw bytes) of a request until its end.

        Raises DiedError, after which the child is gone.
        """
        self._since = time.monotonic()
        while True:
            self._torn = True
            head = bytes(self._read(messages.HEAD.size))
            try:
                text, raw = messages.parse_head(head, self._max_raw)
                meta = messages.decode(bytes(self._read(text)))
            except ValueError:
                raise self.end_liar() from None
            data = self._read(raw)
            self._torn = False
            self._renew_cpu_limit()
            if meta["kind"] == "end":
                self._ended = meta["number"]
                if self._ended == number:
                    return
            elif meta["kind"] != "beat":
                yield meta, data
                self._since = time.monotonic()

    def _read(self, count: int) -> Frames:
        data = np.empty(count, np.uint8)
        view = data.data
        filled = 0
        while filled < count:
            left = self._silence if self.budget is None else min(self._silence, self.budget.left)
            ready = left > 0 and self._poll.poll(left * 1000)
            self._spend()
            if not ready:
                raise self._end_late() if left < self._silence else self._end_silent()
            size = os.readv(self._replies, [view[filled:]])
            if not size:
                raise self._end_dead()
            filled += size
        return data

    def _renew_cpu_limit(self) -> None:
        """Let the kernel end a child that spins while nobody waits for it (Linux)."""
        now = time.monotonic()
        if sys.platform != "linux" or now - self._renewed < RENEWAL_SECONDS:
            return
        self._renewed = now
        import resource

        with suppress(OSError):  # it has ended
            used = time.clock_gettime(~self.pid << 3 | PROCESS_CLOCK)
            limit = int(used + self._silence * self.threads) + 1
            hard = resource.prlimit(self.pid, resource.RLIMIT_CPU)[1]
            soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.prlimit(self.pid, resource.RLIMIT_CPU, (soft, hard))

    def _spend(self) -> None:
        now = time.monotonic()
        if self.budget is not None:
            self.budget.spent += now - self._since
        self._since = now

    def _end_late(self) -> SilentError:
        self.kill()
        allowed = 0.0 if self.budget is None else self.budget.allowed
        return SilentError(f"the decoder took more than {allowed:.3g} s in all")

    def _end_silent(self) -> SilentError:
        self.kill()
        return SilentError(f"the decoder sent nothing for {self._silence:g} s")

    def end_liar(self) -> DiedError:
        """End a child whose reply no honest one sends: a file may have taken it over."""
        self.kill()
        return DiedError("the decoder sent an invalid reply and was ended")

    def _end_dead(self) -> DiedError:
        try:
            code = self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        line = self._last_line()
        self.kill()
        if code == -signal.SIGXCPU:
            return SilentError("the decoder exceeded its CPU time limit")
        if code == -signal.SIGSYS:
            return DiedError("the decoder made a forbidden system call and was ended")
        return DiedError(f"the decoder died ({how}){line}")

    def _last_line(self) -> str:
        os.set_blocking(self._stderr, False)
        try:
            text = os.read(self._stderr, 1 << 16).decode("utf-8", "backslashreplace")
        except BlockingIOError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {lines[-1][:200]}" if lines else ""

    def interrupt(self) -> None:
        """End the child; a thread that waits for it gets DiedError, and must `kill`."""
        self._child.kill()

    def kill(self) -> None:
        """End the child at once and free everything; calling it twice is fine."""
        self._torn = True
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        os.close(self._stderr)
        assert self._child.stdout is not None
        self._child.stdout.close()
        if self._owner == os.getpid():
            self._child.kill()
            self._child.wait()


class ProcessPool:
    """Keeps decoding processes from one file to the next, where starting them dominates.

    Results are those of fresh processes: an error in a kept process is retried in a fresh one (by
    `SupervisedVideo`), and a process ends after `FILES` files. A copy in another process, forked or
    pickled, starts empty. size: number of processes kept.
    """

    FILES = 200

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._processes: list[WorkerProcess] = []
        self._finalizer = weakref.finalize(self, _kill_all, self._processes)

    def take(self, key: object) -> WorkerProcess | None:
        """A process with this key that the caller then owns; None if no usable one is there."""
        while process := next((p for p in reversed(self._processes) if p.key == key), None):
            self._processes.remove(process)
            if process.usable:
                return process
            process.kill()
        return None

    def put(self, process: WorkerProcess) -> None:
        """Keep a process for later, or end it if it is old or unusable, and one too many."""
        process.files += 1
        if process.files >= self.FILES or not process.usable:
            process.kill()
            return
        self._processes.append(process)
        while len(self._processes) > self._size:
            self._processes.pop(0).kill()

    def close(self) -> None:
        """End the kept processes; the next file starts a new one."""
        _kill_all(self._processes)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProcessPool, (self._size,)


def _kill_all(processes: list[WorkerProcess]) -> None:
    while processes:
        processes.pop().kill()


def available_layers() -> list[str]:
    """The `LAYERS` of the sandbox of a decoder on this system, tried in one."""
    process = WorkerProcess(Limits().silence_seconds)
    try:
        number = process.send({"kind": "sandbox", "limits": asdict(Limits())})
        return [str(name) for meta, _ in process.replies(number) for name in meta["layers"]]
    except DiedError:
        return []
    finally:
        process.kill()


def _widen(pipe: int) -> None:
    """Let a pipe hold a few frames, so that the two processes take turns less often."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # more than the user may have; the pipe stays as it is
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _command(module: str) -> list[str]:
    # The kernel's parent-death signal follows the spawning thread: only the main one asks for it.
    main = threading.current_thread() is threading.main_thread()
    command = [sys.executable, "-m", module, str(os.getpid())]
    return [*command, "die-with-thread"] if main else command


def _environment() -> dict[str, str]:
    """The same modules as here, found in the same order, and nothing from the current folder."""
    folders = [os.path.abspath(folder) for folder in sys.path if folder]  # noqa: PTH100
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(folders),
        "PATH": os.defpath,
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }

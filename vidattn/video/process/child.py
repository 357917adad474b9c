"""The supervisor's side: one decoding child, its messages, its watchdog, its end."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from vidattn.video.process import messages
from vidattn.video.protocol import Frames

PIPE_BYTES = 1 << 20
"""How far a decoder may be ahead of its consumer, in bytes of frames."""
_APART: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
)
"""A Ctrl-C does not reach the child. A session of its own would do that too, but Linux may schedule
sessions, not processes: the child would escape the caller's `nice`, or starve beside the model."""


class DiedError(Exception):
    """The child ended by itself; says how."""


class SilentError(Exception):
    """The child said nothing for too long and was killed."""


class DecoderProcess:
    """A spawned decoder; messages are read when somebody wants one, so its lead is a full pipe."""

    def __init__(
        self, silence_seconds: float, module: str = "vidattn.video.process.worker"
    ) -> None:
        """module: what the child runs; it speaks the messages of `wire`."""
        self._silence = silence_seconds
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(silence_seconds)
        self._noise, noise = os.pipe()
        os.set_blocking(noise, False)  # a chatty library loses words, it does not stop
        self._child = subprocess.Popen(
            _command(module),
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=noise,
            env=_environment(),
            cwd="/",
            **_APART,
        )
        theirs.close()
        os.close(noise)
        assert self._child.stdout is not None
        self._answers = self._child.stdout.fileno()
        _widen(self._answers)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._owner = os.getpid()
        self.files = 0
        """How many were served to the end."""
        self._number = 0
        self._ended = 0
        self._most_bytes = 0
        self._torn = False

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return int(self._child.pid)

    @property
    def usable(self) -> bool:
        """False after a message was left half read, after the end, and in a fork of the opener."""
        return not self._torn and self._owner == os.getpid()

    def current(self, number: int) -> bool:
        """Whether request `number` is still the one being answered."""
        return number == self._number and self.usable

    def ask(
        self,
        meta: Mapping[str, Any],
        raw: bytes | memoryview = b"",
        fd: int | None = None,
        *,
        most_bytes: int = messages.MAX_RAW,
    ) -> int:
        """Send a request, ending the one before it; returns its number.

        most_bytes: no answer may have a longer raw part.
        """
        if self._ended != self._number:
            self._send({"kind": "stop"})
            for _ in self.answers(self._number):
                pass  # what the abandoned request had still to say
        self._most_bytes = most_bytes
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
            raise self._silent() from None
        except OSError:
            raise self._died() from None
        return self._number

    def answers(self, number: int) -> Iterator[tuple[messages.Meta, Frames]]:
        """Messages (JSON, raw bytes) of a request until its end.

        Raises DiedError or SilentError, after which the child is gone.
        """
        while True:
            self._torn = True
            head = bytes(self._exactly(messages.HEAD.size))
            try:
                text, raw = messages.lengths(head, self._most_bytes)
                meta = messages.decode(bytes(self._exactly(text)))
            except ValueError:
                raise self.nonsense() from None
            data = self._exactly(raw)
            self._torn = False
            if meta["kind"] == "end":
                self._ended = meta["number"]
                if self._ended == number:
                    return
            elif meta["kind"] != "beat":
                yield meta, data

    def _exactly(self, count: int) -> Frames:
        data = np.empty(count, np.uint8)
        view = data.data
        filled = 0
        while filled < count:
            if not self._poll.poll(self._silence * 1000):
                raise self._silent()
            got = os.readv(self._answers, [view[filled:]])
            if not got:
                raise self._died()
            filled += got
        return data

    def _silent(self) -> SilentError:
        self.kill()
        return SilentError(f"the decoder said nothing for {self._silence:g} s")

    def nonsense(self) -> DiedError:
        """End a child whose answer no honest one gives: a file may have taken it over."""
        self.kill()
        return DiedError("the decoder made no sense and was ended")

    def _died(self) -> DiedError | SilentError:
        try:
            code = self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        words = self._last_words()
        self.kill()
        if code == -signal.SIGXCPU:
            return SilentError("the decoder came to nothing in all the processor time it may have")
        return DiedError(f"the decoder died ({how}){words}")

    def _last_words(self) -> str:
        os.set_blocking(self._noise, False)
        try:
            lines = os.read(self._noise, 1 << 16).decode("utf-8", "backslashreplace").splitlines()
        except BlockingIOError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return f": {said[-1][:200]}" if said else ""

    def interrupt(self) -> None:
        """End the child; who waits for it in another thread gets DiedError, and must `kill`."""
        self._child.kill()

    def kill(self) -> None:
        """End the child at once and free everything; calling it twice is fine."""
        self._torn = True
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        os.close(self._noise)
        assert self._child.stdout is not None
        self._child.stdout.close()
        if self._owner == os.getpid():
            self._child.kill()
            self._child.wait()


class ProcessPool:
    """Keeps decoding processes from one file to the next, where starting them is what costs.

    Results are those of fresh processes: whoever meets an error with a kept one tries a fresh one
    (`SupervisedVideo` does), and after `FILES` files it is let go. A copy in another process,
    forked or pickled, starts empty. most: how many are kept.
    """

    FILES = 200

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._kept: list[DecoderProcess] = []
        self._finalizer = weakref.finalize(self, _kill_all, self._kept)

    def take(self) -> DecoderProcess | None:
        """A kept process, which is the caller's then; None when there is none of any use."""
        while self._kept:
            process = self._kept.pop()
            if process.usable:
                return process
            process.kill()
        return None

    def keep(self, process: DecoderProcess) -> None:
        """Keep a process that is in order, unless it is too old or enough are kept already."""
        process.files += 1
        if len(self._kept) >= self._most or process.files >= self.FILES or not process.usable:
            process.kill()
        else:
            self._kept.append(process)

    def close(self) -> None:
        """End the kept processes; the next file brings a new one."""
        _kill_all(self._kept)

    def __reduce__(self) -> tuple[type[ProcessPool], tuple[int]]:
        return ProcessPool, (self._most,)


def _kill_all(processes: list[DecoderProcess]) -> None:
    while processes:
        processes.pop().kill()


def _widen(pipe: int) -> None:
    """Let a pipe hold a few frames, so that the two processes take turns less often."""
    if sys.platform == "linux":
        # More than the user may have is refused; then the pipe stays as it is.
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _command(module: str) -> list[str]:
    # The kernel's parent-death signal follows the spawning thread: only the main one asks for it.
    main = threading.current_thread() is threading.main_thread()
    command = [sys.executable, "-m", module, str(os.getpid())]
    return [*command, "die-with-thread"] if main else command


def _environment() -> dict[str, str]:
    """The same modules as here, found in the same order, and nothing from the current folder."""
    folders = [os.path.abspath(folder) for folder in sys.path if folder]  # noqa: PTH100
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(folders),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }

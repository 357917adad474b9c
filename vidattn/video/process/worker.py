"""The decoding process: `python -m vidattn.video.process.worker PARENT_PID [die-with-thread]`.

Requests come over a socket on standard input, each perhaps with an open file; answers leave through
what was standard output, which libraries then find pointing to standard error. It imports no torch
unless the torchcodec reader was asked for, and ends when its parent does.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from select import select
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.container.frame_table import Source
from vidattn.video.container.open import open_container
from vidattn.video.container.probe import Probe, Probes, probe
from vidattn.video.pixels import Converter
from vidattn.video.process import messages
from vidattn.video.protocol import Limits
from vidattn.video.readers.pyav import PyAVReader
from vidattn.video.readers.reader import Reader, UnreadableFrame

BEAT_SECONDS = 0.5
MOST_THREADS = 16
"""Of a decoder, as FFmpeg chooses them."""
MOST_FILES = 256
MOST_HOARDED = 1024
"""Pieces of 32 MiB that a rehearsal takes, 32 GiB in all."""

PARENT_DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38  # linux/prctl.h
NEW_USERS, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h


class Channel:
    """Both directions to the parent."""

    def __init__(self, requests: socket.socket, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._last = self._allowed = time.monotonic()
        self.cpu_seconds = 0.0
        """Processor time that may pass from one word to the next; 0 for any."""

    def receive(self) -> tuple[messages.Meta, bytes, int | None] | None:
        """The next request, its raw part and the file that came with it; None at the end."""
        head, fds = bytearray(), list[int]()
        while len(head) < messages.HEAD.size:
            part, new, _, _ = socket.recv_fds(self._requests, messages.HEAD.size - len(head), 1)
            fds += new
            if not part:
                return None
            head += part
        text, raw = messages.lengths(bytes(head))
        return messages.decode(self._exactly(text)), self._exactly(raw), fds[0] if fds else None

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._requests.recv(min(count - len(data), 1 << 20))
            if not part:
                raise SystemExit(0)
            data += part
        return bytes(data)

    def waiting(self) -> bool:
        """Whether the parent has said something new."""
        return bool(select([self._requests], [], [], 0)[0])

    def send(self, meta: Mapping[str, Any], raw: memoryview | bytes = b"") -> None:
        """Send one message, waiting while the parent is busy."""
        view = memoryview(raw).cast("B")
        for part in (memoryview(messages.encode(meta, len(view))), view):
            sent = 0
            while sent < len(part):
                sent += os.write(self._answers, part[sent:])
        self._last = time.monotonic()
        if self.cpu_seconds and self._last - self._allowed > BEAT_SECONDS:
            self.allow()

    def beat(self) -> None:
        """Show that work goes on, twice a second at most."""
        if time.monotonic() - self._last > BEAT_SECONDS:
            self.send({"kind": "beat"})

    def allow(self) -> None:
        """Begin to count processor time anew; the kernel ends a process that uses up its own."""
        self._allowed = time.monotonic()
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _limit(resource.RLIMIT_CPU, int(used + self.cpu_seconds) + 1)


class Worker:
    """Serves requests about one file at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._file: int | None = None
        self._lacking = "out of memory while decoding"
        self._probes = Probes()
        self._sparse: Reader
        self._dense: Reader

    def serve(self) -> None:
        """Answer until the parent closes its end."""
        while (request := self._channel.receive()) is not None:
            meta, raw, fd = request
            number = meta.get("number")
            try:
                if meta["kind"] == "open":
                    self._open(meta, fd)
                elif meta["kind"] == "frames":
                    reader = self._dense if meta["dense"] else self._sparse
                    self._frames(reader, np.frombuffer(raw, np.int64))
            except VideoError as error:
                self._fail(error)
            except MemoryError:
                self._fail(VideoError(self._lacking, code="E_MEMORY"))
            self._channel.send({"kind": "end", "number": number})

    def _fail(self, error: VideoError) -> None:
        answer = {"kind": "error", "message": error.message, "code": error.code, "hint": error.hint}
        self._channel.send(answer)

    def _open(self, meta: messages.Meta, fd: int | None) -> None:
        limits = Limits(**meta["limits"])
        threads = limits.threads or min(os.cpu_count() or 1, MOST_THREADS)
        self._channel.cpu_seconds = limits.silence_seconds * threads
        self._channel.allow()
        self._forget()
        self._file, source = fd, path_of(fd)
        if meta["reader"] == "torchcodec":  # torch wants temporary files and address space
            confine(None, None)
        else:
            confine(limits.memory_bytes, 0)
            if limits.memory_bytes is not None:
                most = f"{limits.memory_bytes / 1e9:.2g} GB"
                self._lacking = f"out of memory while decoding: a decoder may take {most}"

        def open_source() -> Source:
            return open_container(source, limits)

        _rehearse_fault("open")
        found = self._known(fd, limits, open_source)
        convert = Converter(*found.stored, found.turn, meta["short_side"])
        if convert.width * convert.height > limits.max_pixels:
            raise VideoError(
                f"frames of {found.stored[0]}x{found.stored[1]} would become {convert.width}x"
                f"{convert.height}, more than {limits.max_pixels} pixels",
                code="E_TOO_LARGE",
            )
        self._dense = self._sparse = PyAVReader(open_source, found.table, convert)
        size = (convert.width, convert.height)
        other = _other_reader(meta["reader"], source, found, size, limits)
        if other is not None:
            self._sparse = other
            if other.name != "decord":
                self._dense = other
        self._tell(found, size)

    def _known(self, fd: int | None, limits: Limits, open_source: Callable[[], Source]) -> Probe:
        def make() -> Probe:
            return probe(open_source, self._channel.beat, limits.max_frames)

        return make() if fd is None else self._probes.of(fd, limits, make)

    def _forget(self) -> None:
        """Close the file served so far."""
        for reader in {self.__dict__.pop(name, None) for name in ("_sparse", "_dense")} - {None}:
            reader.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _tell(self, found: Probe, size: tuple[int, int]) -> None:
        facts = asdict(found.facts)
        for name in ("fps", "sar"):
            facts[name] = [facts[name].numerator, facts[name].denominator]
        answer = {
            "kind": "facts",
            "facts": facts,
            "reader": self._sparse.name,
            "size": size,
            "available": found.table.duration,
            "truncated": found.truncated,
            "holes": found.table.holes,
        }
        self._channel.send(answer, found.table.times.tobytes())

    def _frames(self, reader: Reader, wanted: NDArray[np.int64]) -> None:
        _rehearse_fault("frames")
        for event in reader.frames(wanted):
            if event is None:
                self._channel.beat()
            elif isinstance(event, UnreadableFrame):
                self._channel.send({"kind": "lost", "index": event.index})
            else:
                index, frame = event
                self._channel.send({"kind": "frame", "index": index}, frame.data)
            if self._channel.waiting():
                return  # a new request, or the parent is gone


def _other_reader(
    name: str, source: str, found: Probe, size: tuple[int, int], limits: Limits
) -> Reader | None:
    """The reader asked for by name; None for PyAV, which "auto" means."""
    if name == "decord":
        from vidattn.video.readers.decord import DecordReader

        return DecordReader(source, found, size, limits)
    if name == "opencv":
        from vidattn.video.readers.opencv import OpenCVReader

        return OpenCVReader(source, found, size, limits)
    if name == "torchcodec":
        from vidattn.video.readers.torchcodec import TorchcodecReader

        return TorchcodecReader(source, found, size, limits)
    return None


def path_of(fd: int | None) -> str:
    """A path that opens the file behind a descriptor; raises VideoError."""
    if fd is None:
        raise VideoError("no file came with the request", code="E_GONE")
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return f"{folder}/{fd}"
    raise VideoError("this system has no /dev/fd", code="E_NOT_REGULAR")


def _rehearse_fault(moment: str) -> None:
    """Crash, spin, sleep or take all memory on demand: tests hold the supervisor to its word."""
    fault = os.environ.get("VIDATTN_REHEARSE", "")
    if fault == f"abort-{moment}":
        os.abort()
    while fault == f"spin-{moment}":
        pass
    if fault == f"sleep-{moment}":
        time.sleep(3600)
    if fault == f"hoard-{moment}":
        hoard = [np.empty(32 << 20, np.uint8) for _ in range(MOST_HOARDED)]
        raise AssertionError(f"{len(hoard)} pieces of memory and no limit")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def harden(parent: int, *, by_kernel: bool) -> None:
    """Limits that hold until the process ends: what a file could do with it if it took it over.

    No network and no new privileges (Linux), few open files, no core dump. It may still read the
    user's files: that would take a list of allowed system calls, which differs between libraries.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # A network of its own has no way out. Who is not root needs a user space of its own for
        # it; neither may be allowed here, and then it goes without. Before the first thread.
        own = NEW_NETWORK if os.geteuid() == 0 else NEW_NETWORK | NEW_USERS
        libc.unshare(own)
        libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if by_kernel:
            libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def confine(memory_bytes: int | None, file_bytes: int | None) -> None:
    """Limit memory and the size of any file written until the next file is opened; None is free."""
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, memory_bytes)
        _limit(resource.RLIMIT_FSIZE, file_bytes)


def _limit(what: int, most: int | None) -> None:
    """Set a limit that can be changed again, never above what the system allows this process."""
    _, hard = resource.getrlimit(what)
    soft = hard if most is None else most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (soft, hard))


def main() -> None:
    """Serve until the parent goes."""
    parent, by_kernel = int(sys.argv[1]), sys.argv[2:] == ["die-with-thread"]
    harden(parent, by_kernel=by_kernel)
    answers = os.dup(1)
    os.dup2(2, 1)
    av.logging.set_level(None)
    Worker(Channel(socket.socket(fileno=0), answers)).serve()


if __name__ == "__main__":
    main()

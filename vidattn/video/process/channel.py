"""A worker process's side of the messages: requests come in, replies go out."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from select import select

import av

from vidattn.errors import VideoError
from vidattn.video.container.open import SCHEME
from vidattn.video.process import messages
from vidattn.video.process.sandbox import Sandbox

BEAT_SECONDS = 0.5

Request = tuple[messages.Meta, bytes, int | None]
"""JSON, raw part, and the descriptor of a file that came with it."""


class Channel:
    """Both directions to the parent."""

    def __init__(self, requests: socket.socket, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._last = time.monotonic()

    def receive(self) -> Request | None:
        """The next request; None at the end."""
        head, fds = bytearray(), list[int]()
        while len(head) < messages.HEAD.size:
            part, new, _, _ = socket.recv_fds(self._requests, messages.HEAD.size - len(head), 1)
            fds += new
            if not part:
                return None
            head += part
        text, raw = messages.parse_head(bytes(head))
        return messages.decode(self._read(text)), self._read(raw), fds[0] if fds else None

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._requests.recv(min(count - len(data), 1 << 20))
            if not part:
                raise SystemExit(0)
            data += part
        return bytes(data)

    def has_request(self) -> bool:
        """Whether the parent has sent something new."""
        return bool(select([self._requests], [], [], 0)[0])

    def send(self, meta: Mapping[str, object], raw: memoryview | bytes = b"") -> None:
        """Send one message, waiting while the parent is busy."""
        view = memoryview(raw).cast("B")
        for part in (memoryview(messages.encode(meta, len(view))), view):
            sent = 0
            while sent < len(part):
                sent += os.write(self._replies, part[sent:])
        self._last = time.monotonic()

    def send_error(self, error: VideoError) -> None:
        """Send an error of the file."""
        fields = {"message": error.message, "code": error.code, "hint": error.hint}
        self.send({"kind": "error", **fields})

    def beat(self) -> None:
        """Show that work continues, twice a second at most."""
        if time.monotonic() - self._last > BEAT_SECONDS:
            self.send({"kind": "beat"})


def source_of(fd: int | None) -> str:
    """The file behind a descriptor as a source of `open_container`; raises VideoError."""
    if fd is None:
        raise VideoError("no file came with the request", code="E_GONE")
    return f"{SCHEME}{fd}"


def path_of(fd: int) -> str:
    """A path that opens the file behind a descriptor; raises VideoError."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return f"{folder}/{fd}"
    raise VideoError("this system has no /dev/fd", code="E_NOT_REGULAR")


def load_libraries() -> None:
    """Import what PyAV and NumPy load late, when the sandbox lets no file be opened any more."""
    import_module("numpy.ma")
    for module in walk_packages(av.__path__, "av."):
        if not module.name.endswith(("__main__", "datasets")):
            import_module(module.name)


def run_worker(serve: Callable[[Channel, Sandbox], None]) -> None:
    """The main function of a worker: `python -m MODULE PARENT_PID [die-with-thread]`.

    Requests come over a socket on standard input; replies leave through what was standard output,
    which libraries then find pointing to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    sandbox = Sandbox(int(sys.argv[1]), by_kernel=sys.argv[2:] == ["die-with-thread"])
    replies = os.dup(1)
    os.dup2(2, 1)
    av.logging.set_level(None)
    load_libraries()
    serve(Channel(socket.socket(fileno=0), replies), sandbox)

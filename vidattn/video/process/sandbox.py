"""What a worker process may do: nearly nothing, so that a file that takes it over gains nothing."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
import threading
import time
from pathlib import Path

from vidattn.errors import VideoError
from vidattn.video.process.landlock import restrict_files
from vidattn.video.process.seccomp import filter_system_calls
from vidattn.video.protocol import LAYERS, Limits

MAX_FILES = 256
PARENT_DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38  # linux/prctl.h
CAPABILITY_VERSION, READ_ALL = 0x20080522, 1 << 2  # linux/capability.h; CAP_DAC_READ_SEARCH
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")


class Sandbox:
    """The limits of this process, which hold until it ends."""

    def __init__(self, parent: int, *, by_kernel: bool) -> None:
        """parent: the process dies with it. by_kernel: at once."""
        self._parent = parent
        self._layers: list[str] | None = None
        for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, MAX_FILES)):
            _limit(what, most)
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            if by_kernel:
                libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def enter(
        self,
        limits: Limits,
        *,
        memory_bytes: int | None,
        file_bytes: int | None,
        path: int | None = None,
    ) -> list[str]:
        """Give up every right that decoding does not need; returns the `LAYERS` that hold.

        To be called before the first byte of a file is looked at; the first call counts. No other
        process can be started, signaled or looked into, no network reached and no file changed.
        path: descriptor of a file that will be opened by path; without it, no file can be opened.
        Raises VideoError E_NO_SANDBOX if a layer is missing and the limits require all.
        """
        if self._layers is None:
            if sys.platform == "linux":
                _limit(resource.RLIMIT_AS, memory_bytes)
                _limit(resource.RLIMIT_FSIZE, file_bytes)
                _drop_capabilities()
            # A thread that ran before would keep its files.
            held = {"landlock": _has_one_thread() and restrict_files(_readable(path))}
            threading.Thread(target=_end_with, args=(self._parent,), daemon=True).start()
            held["seccomp"] = filter_system_calls(by_path=path is not None)
            self._layers = [name for name in LAYERS if held[name]]
        missing = [name for name in LAYERS if name not in self._layers]
        if missing and limits.sandbox == "require":
            raise VideoError(
                f"not decoded, since the sandbox has no {' and no '.join(missing)} here",
                code="E_NO_SANDBOX",
                hint="`vidattn doctor` shows what is missing; --sandbox auto makes do without",
            )
        return self._layers


def _limit(what: int, most: int | None) -> None:
    """Set a limit for good; the user's own may be lower. None: leave it."""
    if most is not None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _drop_capabilities() -> None:
    """Keep none of root's powers but reading; for other users there is nothing to drop."""
    libc, header = ctypes.CDLL(None), struct.pack("<Ii", CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) == 0:
        permitted = struct.unpack_from("<I", sets.raw, 4)[0] & READ_ALL
        libc.capset(header, struct.pack("<6I", permitted, permitted, 0, 0, 0, 0))


def _has_one_thread() -> bool:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) == 1 if tasks.exists() else threading.active_count() == 1


def _readable(path: int | None) -> list[str | int]:
    """What a library that opens a file by path may read: that file, and code that it loads late."""
    if path is None:
        return []
    stdlib = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    packages = [folder for folder in sys.path if folder.endswith(("-packages", "lib-dynload"))]
    return [path, str(Path(__file__).parents[2]), *stdlib, *packages, *LIBRARIES]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

"""Limits of a worker process, so that a file that takes it over gains little."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time

MAX_FILES = 256
PARENT_DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38  # linux/prctl.h
NEW_USERS, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h


def harden(parent: int, *, by_kernel: bool) -> None:
    """Set the limits that hold until the process ends, which it does with its parent.

    No network and no new privileges (Linux), few open files, no core dump. It may still read the
    user's files: that would take a list of allowed system calls, which differs between libraries.
    by_kernel: the kernel ends it, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_NOFILE, MAX_FILES)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # A network namespace has no way out. Users other than root need a user namespace for it;
        # where neither is allowed, the process goes without. Before the first thread.
        libc.unshare(NEW_NETWORK if os.geteuid() == 0 else NEW_NETWORK | NEW_USERS)
        libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if by_kernel:
            libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def confine(memory_bytes: int | None, file_bytes: int | None) -> None:
    """Limit memory and the size of written files until the next call; None means no limit."""
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, memory_bytes)
        _limit(resource.RLIMIT_FSIZE, file_bytes)


def limit_cpu(seconds: float) -> None:
    """Let the kernel end the process after so much more CPU time."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _limit(resource.RLIMIT_CPU, int(used + seconds) + 1)


def _limit(what: int, value: int | None) -> None:
    """Set a limit that can be changed again, never above the hard limit of this process."""
    _, hard = resource.getrlimit(what)
    infinite = hard == resource.RLIM_INFINITY
    soft = hard if value is None else value if infinite else min(value, hard)
    resource.setrlimit(what, (soft, hard))

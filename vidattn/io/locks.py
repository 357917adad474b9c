"""Locks between processes, which the system releases when their holder ends or is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidattn.io.files import make_folder

POLL_SECONDS = 0.2


@contextmanager
def locked(path: Path, *, timeout: float = -1) -> Iterator[bool]:
    """Hold the lock file `path` during the block; yields False if another holder keeps it.

    timeout: seconds to wait for it; below zero there is no end. Missing folders are created. The
    file is removed at the end; a killed process leaves it behind, without a lock. Raises OSError if
    the file cannot be created or the file system has no locks.
    """
    from filelock import FileLock, Timeout  # takes 50 ms

    make_folder(path.parent)
    lock = FileLock(path, timeout)
    try:
        lock.acquire(poll_interval=POLL_SECONDS)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink()  # before the release: a process that waits for it notices and starts over
        lock.release()

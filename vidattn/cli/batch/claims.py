"""Claims: of several processes with one folder of results, one does an input at a time.

A claim is a lock of the system on a file beside the results. It ends with the process that holds
it, however that ends, so none is ever stale. What a killed process leaves is an empty name.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidattn.errors import OutputError
from vidattn.io.files import make_folder

POLL_SECONDS = 0.2


@contextmanager
def claimed(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the claim `path` for the block; False when another process has it.

    wait: until it can be had. Missing folders are made. Raises OutputError when the file cannot be
    made or the file system knows no locks.
    """
    try:
        make_folder(path.parent)
        descriptor = _locked(path)
        while wait and descriptor is None:
            time.sleep(POLL_SECONDS)
            descriptor = _locked(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be locked: {error.strerror}", hint="choose another place with -o"
        ) from error
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        # Gone before it is free: who opened it meanwhile sees that and tries again.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock, None when it is taken."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the locked file is the one of that name; its last owner may have removed it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))

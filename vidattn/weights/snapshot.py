"""Weights files, held in memory while they are read.

Nobody else can change what is held, and tensors may be parts of it: so a file is in memory once,
however it changes or vanishes meanwhile, where bytes would be there beside what is made of them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vidattn.errors import MemoryLimitError, WeightsError
from vidattn.io.files import exists, reading

PIECE = 1 << 20


@dataclass(frozen=True)
class FileSnapshot:
    """The bytes that a file had when it was read."""

    path: Path
    """Where it lies, for messages."""
    data_path: Path
    """Where the bytes are found until `snapshot_file` ends."""
    in_memory: bool
    """Whether the bytes are in memory, where nobody can change them; else `data_path` is `path`."""
    size: int
    sha256: str


@contextmanager
def snapshot_file(path: Path) -> Iterator[FileSnapshot]:
    """A regular file, read once. Raises WeightsError that names it where that fails.

    Where a system cannot hold it in memory under a path (none but Linux can; there not without
    /dev/fd, nor above a limit on the size of files), its bytes are found where it lies.
    """
    require_regular(path)
    with _memory(path) as copy:
        digest, size = hashlib.sha256(), 0
        with reading(path, WeightsError), path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                size += len(piece)
                if copy and not _kept(copy, piece, path):
                    copy = None
        place = Path(f"/dev/fd/{copy.fileno()}") if copy else path
        yield FileSnapshot(path, place, copy is not None, size, digest.hexdigest())


@contextmanager
def _memory(path: Path) -> Iterator[IO[bytes] | None]:
    """A file in memory that nobody else knows, if there can be one."""
    if not hasattr(os, "memfd_create"):
        yield None
        return
    with reading(path, WeightsError):
        number = os.memfd_create("weights")
    with os.fdopen(number, "w+b", buffering=0) as file:
        yield file if exists(f"/dev/fd/{number}") else None


def _kept(copy: IO[bytes], piece: bytes, path: Path) -> bool:
    """Write all of a piece; whether it was allowed to."""
    try:
        left = memoryview(piece)
        while left:
            left = left[copy.write(left) :]
    except OSError as error:
        if error.errno == errno.EFBIG:
            return False
        raise WeightsError(f"{path}: cannot be held in memory: {error.strerror}") from error
    return True


def raise_resource_error(error: Exception, path: Path) -> None:
    """Raise what says so if `error` is about the means of this process, and not about a file.

    MemoryLimitError for memory, WeightsError for open files.
    """
    text = str(error).lower()
    if isinstance(error, MemoryError) or "allocate memory" in text:
        raise MemoryLimitError(
            f"{path}: out of memory while it is read", hint="take a smaller model"
        ) from error
    if "too many open files" in text:
        raise WeightsError(
            f"{path}: cannot be read: too many open files",
            hint="`ulimit -n` shows how many this shell allows",
        ) from error


def require_regular(path: Path) -> None:
    """Raise WeightsError unless `path` is a regular file, or a link to one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise WeightsError(f"{path}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
        raise WeightsError(f"{path}: not a regular file")

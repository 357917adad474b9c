"""Snapshots of weights files: held in memory while they are read.

Nobody else can change a snapshot, and tensors can be mapped from it: weights are in memory once,
whatever happens to the file meanwhile.
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
from vidattn.io.files import CHUNK, exists, reading


@dataclass(frozen=True)
class FileSnapshot:
    """The bytes of a file at the time it was read."""

    path: Path
    """The original path, for messages."""
    data_path: Path
    """The path of the bytes until `snapshot_file` ends."""
    in_memory: bool
    """Whether the bytes are in memory, where nobody can change them; else `data_path` is `path`."""
    size: int
    sha256: str


@contextmanager
def snapshot_file(path: Path) -> Iterator[FileSnapshot]:
    """Read a regular file once. Raises WeightsError with its path.

    Without in-memory files that have a path (everywhere but on Linux; there without /dev/fd, or
    above a limit on the size of files), the bytes are read from the original path.
    """
    require_regular(path)
    _require_beginning(path)
    with _open_in_memory(path) as copy:
        digest, size = hashlib.sha256(), 0
        with reading(path, WeightsError), path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if copy and not _try_write(copy, chunk, path):
                    copy = None
        data_path = Path(f"/dev/fd/{copy.fileno()}") if copy else path
        yield FileSnapshot(path, data_path, copy is not None, size, digest.hexdigest())


def _require_beginning(path: Path) -> None:
    """Raise WeightsError, before gigabytes are read, for a file that does not begin as weights do.

    A safetensors file begins with the length of its header and the header, an object.
    """
    with reading(path, WeightsError), path.open("rb") as file:
        start, size = file.read(9), os.fstat(file.fileno()).st_size
    if path.suffix == ".safetensors":
        right = start[8:] == b"{" and int.from_bytes(start[:8], "little") + 8 <= size
        if not right:
            raise WeightsError(f"{path}: not a safetensors file, or cut off ({size:,} bytes)")
    elif start and not any(start):
        raise WeightsError(f"{path}: begins with zeros: not a checkpoint, or a broken one")


@contextmanager
def _open_in_memory(path: Path) -> Iterator[IO[bytes] | None]:
    """An anonymous file in memory, or None where there is none."""
    if not hasattr(os, "memfd_create"):
        yield None
        return
    with reading(path, WeightsError):
        number = os.memfd_create("weights")
    with os.fdopen(number, "w+b", buffering=0) as file:
        yield file if exists(f"/dev/fd/{number}") else None


def _try_write(copy: IO[bytes], chunk: bytes, path: Path) -> bool:
    """Write a whole chunk; False beyond the limit on the size of files."""
    try:
        left = memoryview(chunk)
        while left:
            left = left[copy.write(left) :]
    except OSError as error:
        if error.errno == errno.EFBIG:
            return False
        raise WeightsError(f"{path}: cannot be held in memory: {error.strerror}") from error
    return True


def raise_resource_error(error: Exception, path: Path) -> None:
    """Raise a better error if `error` is about this process and not about the file.

    MemoryLimitError for memory, WeightsError for open files.
    """
    text = str(error).lower()
    if isinstance(error, MemoryError) or "allocate memory" in text:
        message = f"{path}: out of memory while it is read"
        raise MemoryLimitError(message, hint="use a smaller model") from error
    if "too many open files" in text:
        hint = "`ulimit -n` shows the limit of this shell"
        raise WeightsError(f"{path}: cannot be read: too many open files", hint=hint) from error


def require_regular(path: Path) -> None:
    """Raise WeightsError unless `path` is a regular file, or a link to one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise WeightsError(f"{path}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode):  # opening a named pipe would block
        raise WeightsError(f"{path}: not a regular file")

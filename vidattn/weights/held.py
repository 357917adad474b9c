"""Weights files, held in memory while they are read.

Nobody else can change what is held, and tensors may be parts of it: so a file is in memory once,
however it changes or vanishes meanwhile, where bytes would be there beside what is made of them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vidattn.errors import MemoryLimitError, WeightsError
from vidattn.files import is_there

PIECE = 1 << 20


@dataclass(frozen=True)
class Held:
    """The bytes that a file had when it was read."""

    path: Path
    """Where it lies, for messages."""
    copy: Path
    """Where the bytes are found until `held` ends; what was mapped from there stays."""
    size: int
    sha256: str


@contextmanager
def held(path: Path) -> Iterator[Held]:
    """A regular file, read once. Raises WeightsError that names it where that fails."""
    require_regular(path)
    with _nowhere(path) as (copy, place):
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
                    size += _kept(copy, piece, path)
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
        yield Held(path, place, size, digest.hexdigest())


@contextmanager
def _nowhere(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A file that nobody else knows, and its path: in memory on Linux, elsewhere on a disk."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile(buffering=0) as file:
            yield file.file, Path(file.name)
        return
    try:
        number = os.memfd_create("weights")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    with os.fdopen(number, "w+b", buffering=0) as file:
        place = Path(f"/dev/fd/{number}")
        if not is_there(place):
            raise WeightsError(f"{path}: cannot be read: this system has no /dev/fd")
        yield file, place


def _kept(copy: IO[bytes], piece: bytes, path: Path) -> int:
    """Write all of a piece; its size."""
    try:
        left = memoryview(piece)
        while left:
            left = left[copy.write(left) :]
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be held in memory: {error.strerror}",
            hint="`ulimit -a` shows the limits of this shell",
        ) from error
    return len(piece)


def require_means(error: Exception, path: Path) -> None:
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

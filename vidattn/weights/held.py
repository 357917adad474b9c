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
from typing import BinaryIO

from vidattn.errors import WeightsError

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
    with _nowhere() as copy:
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
                    size += copy.write(piece)
            copy.flush()
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
        yield Held(path, Path(f"/dev/fd/{copy.fileno()}"), size, digest.hexdigest())


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


def _nowhere() -> BinaryIO:
    """A file without a name: in memory on Linux, elsewhere on a disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("weights"), "w+b")
    return tempfile.TemporaryFile()

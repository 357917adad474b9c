"""The folder of what can be made or fetched again, and a bounded store of files in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidattn.errors import OutputError
from vidattn.io.files import is_folder, read_file, write_atomically

MOST_STORED, MOST_CHECKS = 4 << 30, 1 << 20
"""Bytes of a store by default, and of all precision checks."""


def cache_folder() -> Path:
    """$VIDATTN_CACHE, or ~/.cache/vidattn."""
    folder = os.environ.get("VIDATTN_CACHE")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "vidattn"


@dataclass(frozen=True)
class CachedFile:
    """A file of a store."""

    path: Path
    bytes: int
    used: float
    """When it was last read or written, in seconds since 1970."""


@dataclass(frozen=True)
class FileStore:
    """Files by name in a folder of the cache; the ones unused for longest make room for new ones.

    A file that has vanished, or cannot be written or read, counts as absent: everything in a store
    can be made again.
    """

    folder: Path
    most_bytes: int = MOST_STORED

    def read(self, name: str, most: int) -> bytes | None:
        """The content of a file, None if it is absent or longer than `most` bytes."""
        path = self.folder / name
        try:
            data = read_file(path, most, regular=True)
        except OSError:
            return None
        with suppress(OSError):  # a cache that others may only read serves them, too
            os.utime(path)
        return data

    def write(self, name: str, data: bytes) -> bool:
        """Add a file, whole or not at all; returns whether it is there now."""
        if len(data) > self.most_bytes:
            return False
        try:
            write_atomically(self.folder / name, data)
        except OutputError:
            return False
        return True

    def files(self) -> list[CachedFile]:
        """All files, the one unused for longest first."""
        return sorted(self._scan(), key=lambda file: (file.used, file.path))

    def trim(self, most_bytes: int | None = None) -> int:
        """Remove the files unused for longest until the rest fits; returns the number removed."""
        files, room = self.files(), self.most_bytes if most_bytes is None else most_bytes
        excess, removed = sum(file.bytes for file in files) - room, 0
        for file in files:
            if excess <= 0:
                break
            with suppress(OSError):
                file.path.unlink()
                removed += 1
            excess -= file.bytes
        return removed

    def _scan(self) -> Iterator[CachedFile]:
        if not is_folder(self.folder):
            return
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                        known = entry.stat(follow_symlinks=False)
                        yield CachedFile(Path(entry.path), known.st_size, known.st_mtime)


def open_checks() -> FileStore:
    """The files of `vidattn.inference.precision_check`."""
    return FileStore(cache_folder() / "checks", MOST_CHECKS)

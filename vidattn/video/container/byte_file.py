"""The bytes behind a descriptor, for FFmpeg in a process that may open no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, cast

from av.error import FFmpegError

SCHEME = "fd:"
"""A source is a path, or this and the number of a descriptor."""


class ByteFile:
    """Binary reading and writing with a position of its own, so that one descriptor serves many."""

    def __init__(self, fd: int) -> None:
        self.name = f"{SCHEME}{fd}"
        self._fd, self._position = fd, 0

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, none at the end; raises FFmpegError."""
        try:
            data = os.pread(self._fd, count, self._position)
        except OSError as error:
            raise _translate(error) from None
        self._position += len(data)
        return data

    def write(self, data: bytes) -> int:
        """Write all of `data`; raises FFmpegError."""
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._fd, view, self._position)
                self._position, view = self._position + count, view[count:]
        except OSError as error:
            raise _translate(error) from None
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, which is returned; raises FFmpegError before the start."""
        origin = (0, self._position, os.fstat(self._fd).st_size)[whence]
        if origin + offset < 0:
            raise FFmpegError(22, "a position before the start")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def __enter__(self) -> ByteFile:
        return self

    def __exit__(self, *_: object) -> None:
        """The descriptor belongs to others."""


def open_bytes(source: str) -> BinaryIO:
    """A source for reading in Python. Raises OSError."""
    return cast("BinaryIO", for_ffmpeg(source)) if _is_fd(source) else Path(source).open("rb")


def for_ffmpeg(source: str) -> Any:
    """A source as `av.open` takes it."""
    return ByteFile(int(source.removeprefix(SCHEME))) if _is_fd(source) else source


def _is_fd(source: str) -> bool:
    return source.startswith(SCHEME)


def _translate(error: OSError) -> FFmpegError:
    return FFmpegError(error.errno or 5, error.strerror or "input or output failed")

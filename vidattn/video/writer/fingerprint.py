"""The last box of an mp4 file: a digest of its origin, and a sign that the file is complete.

A free box, which every player passes over. A truncated file has lost it, and a file of other origin
has none, so a few bytes at the end tell whether a video must be made again.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from vidattn.io.files import open_output, regular_opener

MARK = b"vidattn:"
_HEAD = struct.Struct(">I4s8sQ")
"""Length and kind of the box, its writer, and the number of bytes before it."""


def add_fingerprint(path: Path, digest: bytes) -> None:
    """Add the box to a finished file; digest: of its origin. Raises OSError."""
    with os.fdopen(open_output(path, os.O_WRONLY | os.O_APPEND), "ab") as file:
        file.write(_box(digest, file.tell()))


def has_fingerprint(path: str | os.PathLike[str], digest: bytes) -> bool:
    """Whether a file exists, is complete, and has this origin."""
    length = _HEAD.size + len(digest)
    try:
        with open(path, "rb", opener=regular_opener) as file:
            before = file.seek(0, os.SEEK_END) - length
            if before < 0:
                return False
            file.seek(before)
            return file.read(length) == _box(digest, before)
    except OSError:
        return False


def _box(digest: bytes, before: int) -> bytes:
    return _HEAD.pack(_HEAD.size + len(digest), b"free", MARK, before) + digest

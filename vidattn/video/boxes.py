"""Top-level boxes of ISO media files: enough to tell a cut-off file from one that is no video."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

MAX_BOXES = 10_000
KNOWN = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"uuid"}


def unfinished(file: BinaryIO) -> str | None:
    """Why an mp4 or mov cannot be opened: its end is missing; None when that is not the reason."""
    size = file.seek(0, os.SEEK_END)
    found = list(_boxes(file, size))
    if not found or found[0][0] not in KNOWN:
        return None
    kind, stop = found[-1]
    if stop > size:
        missing = "" if b"moov" in dict(found) else "; moov missing"
        name = kind.decode("latin-1")
        return f"cut off: box {name} ends {stop - size} bytes behind the file{missing}"
    return None if b"moov" in dict(found) else "cut off: moov missing"


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    start = 0
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        elif length == 0:
            length = size - start
        if length < 8 or not kind.isalnum():
            return
        yield kind, start + length
        start += length

"""SHA-256 of text, bytes and files."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 1 << 20


def sha256(data: str | bytes, digits: int = 64) -> str:
    """The first hexadecimal digits of the digest of bytes or of a text, such as any file name."""
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return hashlib.sha256(data).hexdigest()[:digits]


def sha256_file(path: Path) -> str:
    """The digest of a file as 64 hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

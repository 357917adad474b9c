"""Files that are written whole or not at all, errors of reading and writing, and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, AnyStr

from vidattn.errors import OutputError, OutputPathError, VidattnError

HINTS = {
    errno.ENOSPC: "free some space, or choose another place with -o",
    errno.EDQUOT: "free some space, or choose another place with -o",
    errno.EROFS: "choose a place that can be written with -o",
    errno.EACCES: "choose a place that can be written with -o",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}
OF_ONE_PATH = frozenset(
    {errno.EACCES, errno.EILSEQ, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}
    | {errno.EPERM}
)
"""Reasons for which a file cannot be written while others can."""
MOST_BYTES = 1 << 28
"""The largest text that is read; an endless one must not fill the memory."""
MOST_ARRAY_BYTES = 1 << 32
"""The same for files of arrays."""
PART = 1 << 22
"""Bytes or characters that are read at once."""
CHUNK = 1 << 20
"""Bytes of a digest that are read at once."""
_PARTS: set[Path] = set()
"""The temporary files of this process."""


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file exists; False also if the system does not tell.

    pathlib raises for names that are too long and folders that may not be searched; here they count
    as absent, and opening them gives the reason.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder exists; see `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether anything exists; see `is_file`."""
    return os.path.exists(path)  # noqa: PTH110


@contextmanager
def reading(
    path: str | os.PathLike[str], kind: type[VidattnError], *, hint: str | None = None
) -> Iterator[None]:
    """Turn an OSError of the block into an error of this kind: "PATH: cannot be read: REASON"."""
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror or error}", hint=hint) from error


@contextmanager
def writing(path: str | os.PathLike[str], *, hint: str | None = None) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError: "PATH: cannot be written: REASON".

    hint: by default one for the reason.
    """
    try:
        yield
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        kind = OutputPathError if error.errno in OF_ONE_PATH else OutputError
        raise kind(message, hint=hint or HINTS.get(error.errno or 0)) from error


def read_file(
    path: str | os.PathLike[str], most: int = MOST_BYTES, *, regular: bool = False
) -> bytes:
    """The bytes of a file. Raises OSError, also for more than `most` bytes.

    regular: whether anything but a regular file is refused, where nobody has named the path: a pipe
    would be waited for.
    """
    with open(path, "rb", opener=regular_opener if regular else None) as file:
        return read_stream(file, most)


def read_stream(stream: IO[AnyStr], most: int = MOST_BYTES) -> AnyStr:
    """What is left in a stream. Raises OSError for more than `most` bytes or characters."""
    data, left = [stream.read(0)], most + 1
    while part := stream.read(min(left, PART)):  # room is made for as much as is asked for
        data.append(part)
        left -= len(part)
    if not left:
        raise OSError(errno.EFBIG, f"longer than {most / 1e6:.0f} MB")
    return data[0].join(data)


def open_output(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a regular file to write or append to, which is made if it is missing.

    In a folder that others can write, a name may be a link to any file, or a pipe that stops
    whoever opens it: none is followed or waited for. flags: of `os.open`. Raises OSError, and
    OutputPathError for anything but a regular file.
    """
    require_regular(path)
    return regular_opener(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))


def require_regular(path: str | os.PathLike[str]) -> None:
    """Raise OutputPathError when a path is taken by a link, a folder, a pipe or a device."""
    if os.path.lexists(path) and (os.path.islink(path) or not is_file(path)):  # noqa: PTH114
        kind = "a link, which is not followed" if os.path.islink(path) else "not a regular file"  # noqa: PTH114
        raise OutputPathError(f"{path}: is {kind}", hint="move it away, or name another file")


def regular_opener(path: str | os.PathLike[str], flags: int) -> int:
    """As `os.open`, but raises OSError for anything but a regular file, without waiting on it."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EPERM, "not a regular file")
    return descriptor


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The block writes the temporary file. Afterwards it is flushed to disk and renamed, and the
    folder is flushed, so a crash leaves the old file or the new one, never a part. Missing folders
    are created. If the block fails, the temporary file is removed and `path` is unchanged. Raises
    OutputError, see `writing`, and OutputPathError if `path` is a link, a folder, a device or a
    pipe.
    """
    target = Path(path)
    require_regular(target)
    part = target.with_name(f".vidattn-{_prefix(target)}{secrets.token_hex(6)}.part")
    _PARTS.add(part)
    try:
        with writing(path):
            make_folder(target.parent)
            yield part
            publish(part, target)
    finally:
        _discard(part)
        _PARTS.discard(part)


def discard_parts() -> None:
    """Remove the temporary files of all blocks of `replacing_file`, for a process that ends now."""
    for part in list(_PARTS):
        _discard(part)


def remove_partial_files(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed processes have left; only for the one writer of `path`."""
    target = Path(path)
    for part in target.parent.glob(f".vidattn-{_prefix(target)}*.part"):
        _discard(part)


def _prefix(target: Path) -> str:
    """The common prefix of the temporary files of a path."""
    return sha256(target.name, 12)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` so that readers see the old content or all of the new; returns `path`.

    Raises OutputError, see `replacing_file`.
    """
    with (
        replacing_file(path) as part,
        os.fdopen(open_output(part, os.O_WRONLY | os.O_EXCL), "wb") as file,
    ):
        file.write(data)
    return Path(path)


def make_folder(path: Path) -> None:
    """Create a folder and the missing ones above it, so that they survive a power cut.

    Flushed files are lost with their folder if that is not yet an entry of the one above it. Raises
    OSError.
    """
    missing = [folder for folder in (path, *path.parents) if not exists(folder)]
    path.mkdir(parents=True, exist_ok=True)
    for new in reversed(missing):
        flush_folder(new.parent)


def publish(part: Path, target: Path) -> None:
    """Give a finished file its name once all of it is on the disk. Raises OSError."""
    _flush(part, os.O_RDWR)
    part.replace(target)
    flush_folder(target.parent)


def _flush(path: Path, flags: int) -> None:
    """Push a file from the system's cache to the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Make new names in a folder durable, except on Windows and some network drives, which cannot.

    Raises OSError.
    """
    if os.name != "posix":
        return
    try:
        _flush(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _discard(part: Path) -> None:
    """Remove a temporary file; it may have gone with its folder."""
    with suppress(OSError):
        part.unlink(missing_ok=True)


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

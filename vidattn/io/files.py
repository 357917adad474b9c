"""Files that are written whole or not at all, and errors of reading and writing."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidattn.errors import OutputError, VidattnError
from vidattn.io.digest import sha256

HINTS = {
    errno.ENOSPC: "free some space, or choose another place with -o",
    errno.EDQUOT: "free some space, or choose another place with -o",
    errno.EROFS: "choose a place that can be written with -o",
    errno.EACCES: "choose a place that can be written with -o",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.ENAMETOOLONG: "choose a shorter name",
}


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
        raise OutputError(message, hint=hint or HINTS.get(error.errno or 0)) from error


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The block writes the temporary file. Afterwards it is flushed to disk and renamed, and the
    folder is flushed, so a crash leaves the old file or the new one, never a part. Missing folders
    are created; a symbolic link keeps its target. If the block fails, the temporary file is removed
    and `path` is unchanged. Raises OutputError, see `writing`, and if `path` is a folder, a device
    or a pipe.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".vidattn-{_prefix(target)}{secrets.token_hex(6)}.part")
    try:
        if exists(target) and not is_file(target):
            raise OutputError(f"{path}: is not a regular file", hint="name a file")
        with writing(path):
            make_folder(target.parent)
            yield part
            publish(part, target)
    finally:
        _discard(part)


def remove_partial_files(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed processes have left; only for the one writer of `path`."""
    target = Path(os.path.realpath(path))
    for part in target.parent.glob(f".vidattn-{_prefix(target)}*.part"):
        _discard(part)


def _prefix(target: Path) -> str:
    """The common prefix of the temporary files of a path."""
    return sha256(target.name, 12)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` so that readers see the old content or all of the new; returns `path`.

    Raises OutputError, see `replacing_file`.
    """
    with replacing_file(path) as part:
        part.write_bytes(data)
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

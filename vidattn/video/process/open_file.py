"""Opening a regular file without ever waiting on it."""

from __future__ import annotations

import errno
import os
import re
import stat

from vidattn.errors import VideoError

_GONE = {errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ESTALE}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def printable_path(path: str | os.PathLike[str]) -> str:
    """The path as text that can always be printed and encoded."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def open_regular(path: str | os.PathLike[str]) -> int:
    """A read-only descriptor of a non-empty regular file.

    Raises VideoError: E_GONE, E_PERM, E_NOT_REGULAR (folders, pipes, devices, URLs) or E_EMPTY.
    """
    name = printable_path(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _translate(name, error) from None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        return fd
    os.close(fd)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
        message = f"{name}: not a regular file but a {kind}"
        raise VideoError(message, code="E_NOT_REGULAR", hint="name a video file")
    raise VideoError(f"{name}: the file is empty", code="E_EMPTY")


def _translate(name: str, error: OSError | ValueError) -> VideoError:
    number = error.errno if isinstance(error, OSError) else errno.ENOENT
    if _URL.match(name) and number in _GONE:
        message = f"{name}: not a file; URLs are not opened"
        return VideoError(message, code="E_NOT_REGULAR", hint="download it first")
    if number in (errno.EACCES, errno.EPERM):
        return VideoError(f"{name}: permission denied", code="E_PERM", hint="check its permissions")
    if number in _GONE:
        reason = os.strerror(number) if isinstance(error, OSError) else str(error)
        return VideoError(f"{name}: {reason.lower()}", code="E_GONE", hint="check the path")
    reason = f"cannot be opened: {os.strerror(number or errno.EIO)}"
    if number == errno.ENXIO:  # the answer of a socket
        reason = "not a regular file but a socket"
    return VideoError(f"{name}: {reason}", code="E_NOT_REGULAR")

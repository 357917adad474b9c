"""Landlock (Linux 5.13 and later): which files a process may still open, whatever its user may."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on all machines."""
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3  # linux/landlock.h
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of rights over files by version; later ones have no more."""
NETWORK_VERSION, SCOPE_VERSION = 4, 6
"""The first that know TCP, and signals and abstract sockets."""


def restrict_files(readable: Iterable[str | int]) -> bool:
    """Let this thread read only these folders and descriptors; False where that cannot be.

    Holds for threads that it starts, for good. TCP, signals to others and looking into them are
    refused, too, where the kernel can. Needs "no new privileges".
    """
    version = landlock_version()
    if version < 1:
        return False
    rights = FILE_RIGHTS.get(version, max(FILE_RIGHTS.values()))
    attributes = struct.pack("<Q", (1 << rights) - 1)
    attributes += struct.pack("<Q", 3) if version >= NETWORK_VERSION else b""
    attributes += struct.pack("<Q", 3) if version >= SCOPE_VERSION else b""
    ruleset = _call(CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for source in readable:
            _allow_reading(ruleset, source)
        return _call(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """The version of the kernel's Landlock; below 1 if it has none."""
    if sys.platform != "linux":
        return 0
    return _call(CREATE_RULESET, None, 0, 1)


def _allow_reading(ruleset: int, source: str | int) -> None:
    try:
        fd = os.open(source, os.O_PATH) if isinstance(source, str) else source
    except OSError:
        return  # not there, or out of reach anyway
    try:
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        rights = READ_FILE | (READ_FOLDER | EXECUTE if folder else 0)
        _call(ADD_RULE, ruleset, 1, ctypes.c_char_p(struct.pack("<Qi", rights, fd)), 0)
    finally:
        if isinstance(source, str):
            os.close(fd)


def _call(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *wide))

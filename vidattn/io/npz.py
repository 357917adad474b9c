"""Archives of plain arrays (.npz) from untrusted sources."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VidattnError

BROKEN = (
    *(ValueError, TypeError, EOFError, OSError, RecursionError, OverflowError, MemoryError),
    *(SyntaxError, NotImplementedError, RuntimeError, AttributeError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""Errors that json, zipfile and numpy raise, depending on the wrong byte."""


@contextmanager
def refusing_broken(what: str, kind: type[VidattnError], hint: str) -> Iterator[None]:
    """Turn a missing name, and errors of BROKEN, into one of this kind: `what`, and the fault."""
    try:
        yield
        return
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except BROKEN as error:
        reason = str(error).split("\n")[0]
    raise kind(f"{what}: {reason}", hint=hint)


def read_arrays(data: bytes, names: Sequence[str]) -> list[NDArray[Any]]:
    """The arrays of these names, in this order. Pickles and compressed members are refused.

    Raises KeyError for a missing name, one of BROKEN for an invalid archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        if sum(member.file_size for member in members.infolist()) > len(data):
            raise ValueError("a compressed archive, which would expand beyond its size")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = [archive[name] for name in names]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise ValueError("an entry is no array")
    return arrays

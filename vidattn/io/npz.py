"""Archives of plain arrays (.npz) that may come from anyone."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BROKEN = (
    *(ValueError, TypeError, EOFError, OSError, RecursionError, OverflowError, MemoryError),
    *(SyntaxError, NotImplementedError, RuntimeError, AttributeError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What json, zipfile and numpy raise, depending on which byte is wrong."""


def read_arrays(data: bytes, names: Sequence[str]) -> list[NDArray[Any]]:
    """The arrays of these names, in this order. Pickles and compressed members are refused.

    Raises KeyError for a name that is missing, one of BROKEN for an archive that is none.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        if sum(member.file_size for member in members.infolist()) > len(data):
            raise ValueError("a compressed archive: it would unfold to more than its size")
    with np.load(io.BytesIO(data), allow_pickle=False) as opened:
        found = [opened[name] for name in names]
    if not all(isinstance(array, np.ndarray) for array in found):
        raise ValueError("an entry is no array")
    return found

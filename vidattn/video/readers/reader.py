"""The interface of all readers inside the decoding process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.io.text import first_line
from vidattn.video.protocol import Frames
from vidattn.video.readers import READERS


@dataclass(frozen=True, slots=True)
class UnreadableFrame:
    """A frame that does not decode."""

    index: int


Event = tuple[int, Frames] | UnreadableFrame | None
"""A frame, an unreadable frame, or None: still at work."""


class Reader(Protocol):
    """Reads frames of one file; made from a path, its Probe, the size of frames and Limits."""

    name: str

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """Yield each frame of `wanted`, strictly rising numbers, in order.

        Raises VideoError E_DECODE when the library's frames are not those of the frame table.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def refuse(reader: str, reason: str) -> VideoError:
    """The error of a reader that cannot be exact on a file."""
    message = f"{reader} is not exact on this file: {reason}"
    return VideoError(message, code="E_DECODE", hint="use --reader pyav")


def missing(reader: str, error: Exception) -> VideoError:
    """The error of a reader whose library cannot be imported."""
    return VideoError(
        f"reader {reader} cannot be used: {first_line(error)}",
        code="E_NO_READER",
        hint=f"pip install vidattn{READERS[reader].extra}, or use --reader pyav",
    )

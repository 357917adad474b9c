"""What the decoding process needs of a reader, whichever library does the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.protocol import Frames


@dataclass(frozen=True, slots=True)
class UnreadableFrame:
    """A frame that does not decode."""

    index: int


Event = tuple[int, Frames] | UnreadableFrame | None
"""A frame, a lost frame, or None: still at work."""


class Reader(Protocol):
    """Wanted frames of one file."""

    name: str

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """wanted: strictly rising frame numbers; yields each once, in order, as a frame or Lost.

        Raises VideoError E_DECODE when the library's frames are not those of the frame table.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def declines(reader: str, reason: str) -> VideoError:
    """The error of a reader that cannot be exact on a file."""
    message = f"{reader} is not exact on this file: {reason}"
    return VideoError(message, code="E_DECODE", hint="use --reader pyav")


def missing(reader: str, reason: str) -> VideoError:
    """The error of a reader whose library is not there."""
    extra = "vidattn[torchcodec]" if reader == "torchcodec" else "vidattn"
    return VideoError(
        f"reader {reader} cannot be used: {reason}",
        code="E_NO_READER",
        hint=f"pip install {extra}, or use --reader pyav",
    )

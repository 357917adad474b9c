"""One reader per decoding library, all with one interface; `READERS` is the table of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.io.text import first_line
from vidattn.video.protocol import Frames


@dataclass(frozen=True, slots=True)
class ReaderInfo:
    """A reader: the class that implements it, and the library that it needs."""

    cls: str
    """Of the module with the name of the reader."""
    package: str
    """Name of the library on the package index."""
    extra: str = ""
    """Extra of vidattn that installs it; none for a core dependency."""
    dense: bool = True
    """Whether streams are read with it too; otherwise PyAV reads them."""
    library: str = ""
    """Module to import before the process gives up its rights, if it opens the file by path."""
    confined: bool = True
    """Whether it works without writing files and within the memory limit; torch does not."""

    @property
    def by_path(self) -> bool:
        """Whether the library opens the file itself; its process then serves one file only."""
        return bool(self.library)


READERS = {
    "pyav": ReaderInfo("PyAVReader", "av"),
    "decord": ReaderInfo("DecordReader", "decord", dense=False, library="decord"),
    "opencv": ReaderInfo("OpenCVReader", "opencv-python", library="cv2"),
    "torchcodec": ReaderInfo(
        "TorchcodecReader",
        "torchcodec",
        extra="[torchcodec]",
        library="torchcodec.decoders",
        confined=False,
    ),
}
READER_NAMES = ("auto", *READERS)
"""Values of `reader`; "auto" is PyAV, which is exact on every file and the fastest for sparse
frames, because it plans which packets to decode."""


@dataclass(frozen=True, slots=True)
class UnreadableFrame:
    """A frame that does not decode."""

    index: int


Event = tuple[int, Frames] | UnreadableFrame | None
"""A frame, an unreadable frame, or None: still at work."""


class Reader(Protocol):
    """Reads frames of one file; made from a path, its Probe, the size of frames and Limits."""

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[Event]:
        """Yield each frame of `wanted`, strictly rising numbers, in order.

        Raises VideoError E_DECODE when the library's frames are not those of the frame table.
        """
        ...

    def close(self) -> None:
        """Close the file, if it is held open."""


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

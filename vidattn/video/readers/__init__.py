"""One reader per decoding library; `READERS` is the table of them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReaderInfo:
    """A reader: the class that implements it, and the library that it needs."""

    module: str
    """Below `vidattn.video.readers`."""
    cls: str
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
    "pyav": ReaderInfo("pyav", "PyAVReader", "av"),
    "decord": ReaderInfo("decord", "DecordReader", "decord", dense=False, library="decord"),
    "opencv": ReaderInfo("opencv", "OpenCVReader", "opencv-python", library="cv2"),
    "torchcodec": ReaderInfo(
        "torchcodec",
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

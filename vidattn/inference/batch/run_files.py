"""Files about all results of a batch run, which are whole whenever they exist."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from weakref import finalize

from vidattn.errors import InputError
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import open_output, read_file, reading

INTERVAL = 10.0
"""Least seconds between two writes of a file while a run goes."""
SHARE = 20
"""Writing takes at most one part in this many of the time."""
SCORES = b'\n  "scores": '
"""Begins the scores in a saved document, which rows of segments do not need."""


class Spool:
    """Bytes by name in a temporary file, so that those of any number of results fit in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}
        """Offset and length."""

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __setitem__(self, name: str, data: bytes) -> None:
        self._places[name] = self._file.seek(0, os.SEEK_END), len(data)
        self._file.write(data)

    def __getitem__(self, name: str) -> bytes:
        offset, length = self._places[name]
        self._file.seek(offset)
        return self._file.read(length)


class RunFile(ABC):
    """A file about many videos. It is whole whenever it exists: a longer one replaces it while a
    run goes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._rows = Spool()
        """What the file needs of each input."""
        self._written, self._cost = time.monotonic(), 0.0

    def __contains__(self, path: str) -> bool:
        """Whether an input has been taken."""
        return path in self._rows

    @abstractmethod
    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """Take the document of an input.

        Raises InputError if it is none, DataError if it lacks something, and UsageError if it is of
        another file.
        """

    def foresee(self, paths: Sequence[str]) -> list[str]:
        """Sentences on what the file will lack, told before the inputs are worked on."""
        return []

    def fail(self, path: str, code: str) -> None:
        """Take a failure, which most files have no place for."""
        return

    @property
    def lock(self) -> Path:
        """What a process holds that adds results of others to the file."""
        return self.place.with_name(f".{self.place.name}.lock")

    @property
    def is_due(self) -> bool:
        """Whether it is time to write the file while a run goes."""
        return time.monotonic() - self._written > max(INTERVAL, SHARE * self._cost)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not len(self._rows)

    def write(self, order: Iterable[str]) -> Path | None:
        """Write what is known of all inputs, in an order; None without any. Raises OutputError."""
        if self.is_empty:
            return None
        begun = time.monotonic()
        self._write(order)
        self._written = time.monotonic()
        self._cost = self._written - begun
        return self.place

    @abstractmethod
    def _write(self, order: Iterable[str]) -> None:
        """Write the whole file, or several."""


def create_part(part: Path) -> IO[bytes]:
    """A new file to write. Raises OSError."""
    return os.fdopen(open_output(part, os.O_WRONLY | os.O_EXCL), "wb")


@contextmanager
def reading_values(path: str) -> Iterator[None]:
    """Turn errors that wrong values of a document lead to into an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: not a timeline in JSON: {error}") from None


def load_document(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """A saved timeline as plain values: that of a segmentation without its scores, which is fast.

    Raises InputError for a file that is none.
    """
    with reading(path, InputError):
        data = read_file(path, regular=True)
    head, _, _ = data.partition(SCORES)
    try:
        document = json.loads(head.rstrip().rstrip(b",") + b"}")
        if document["schema"] == "vidattn/timeline/1" and document["task"] == "segment":
            return dict(document)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # of other software, changed by hand, or none: checked value for value
    return load_timeline(path).to_dict()

"""failures.jsonl: the inputs of a batch run that failed, with reasons.

A line is appended when an input fails, in one piece and under a lock, so that several processes can
share the file. A run that ends sorts it: the last line of each input that is still failed, by path.
A torn line, or one of another kind, is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vidattn.errors import TRANSIENT
from vidattn.inference.batch.inputs import file_size, name_result
from vidattn.io.files import (
    exists,
    flush_folder,
    open_output,
    read_file,
    require_regular,
    write_atomically,
    writing,
)
from vidattn.io.json import dumps, parse_object
from vidattn.io.locks import locked

NAME = "failures.jsonl"
ATTEMPTS = 3
"""Attempts, over several runs, before a transient failure counts as permanent."""


@dataclass(frozen=True)
class FailureRecord:
    """An input without a result."""

    path: str
    code: str
    message: str
    attempt: int = 1
    """How often it has been tried."""
    bytes: int = -1
    """File size, -1 if unknown."""
    modified: int = -1
    """Modification time in ns, -1 if unknown."""
    asked: str = ""
    """Digest of model and settings."""
    roi: str = ""
    """The area of the picture, of several."""

    @property
    def name(self) -> str:
        """Of its result, as in a table of all."""
        return name_result(self.path, self.roi)

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may avoid the failure."""
        return self.code in TRANSIENT and self.attempt < ATTEMPTS

    def is_same_input(self, other: FailureRecord) -> bool:
        """Whether both have the same file, model and settings."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("path", "bytes", "modified", "asked", "roi")
        )


class FailureList:
    """The file in an output folder; it exists only while an input is failed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> dict[str, FailureRecord]:
        """The last record of each input, or area of one, by name."""
        with writing(self.path):
            if not exists(self.path):
                return {}
            require_regular(self.path)
            data = read_file(self.path, regular=True)
            return {one.name: one for one in _parse_records(data)}

    def add(self, record: FailureRecord) -> None:
        """Append a line. Raises OutputError."""
        line = dumps(asdict(record)).encode() + b"\n"
        with (
            writing(self.path),
            self._locked(),
            os.fdopen(open_output(self.path, os.O_RDWR | os.O_APPEND), "a+b") as file,
        ):
            if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
                line = b"\n" + line  # the last line is torn
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            flush_folder(self.path.parent)

    def sort(self, done: set[str]) -> None:
        """Keep the last line of each input, by name, without those `done`. Raises OutputError."""
        with writing(self.path):
            if not exists(self.path):
                return
            with self._locked():
                records = {k: v for k, v in self.read().items() if k not in done}
                if records:
                    lines = [dumps(asdict(records[name])) + "\n" for name in sorted(records)]
                    write_atomically(self.path, "".join(lines).encode())
                else:
                    self.path.unlink(missing_ok=True)

    def _locked(self) -> AbstractContextManager[bool]:
        return locked(self.path.with_suffix(".lock"))


def describe_failure(
    path: str, digest: str, code: str = "", message: str = "", roi: str = ""
) -> FailureRecord:
    """A record of a file in its present state."""
    try:
        changed = os.stat(path).st_mtime_ns  # noqa: PTH116 - any path, also one that is no text
    except (OSError, ValueError):
        changed = -1
    return FailureRecord(path, code, message, 1, file_size(path), changed, digest, roi)


def _parse_records(data: bytes) -> Iterator[FailureRecord]:
    for line in data.split(b"\n"):
        row = parse_object(line) or {}
        given: dict[str, Any] = {
            field.name: row[field.name] for field in fields(FailureRecord) if field.name in row
        }
        if {"path", "code", "message"} <= given.keys() and _has_types(given):
            yield FailureRecord(**given)


def _has_types(given: Mapping[str, Any]) -> bool:
    numbers = "attempt", "bytes", "modified"
    return all(isinstance(v, int if name in numbers else str) for name, v in given.items())

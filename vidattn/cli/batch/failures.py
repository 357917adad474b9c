"""failures.jsonl: which inputs of a corpus failed, and why.

A line is appended when an input fails, in one piece and under a lock, so that several processes can
write it. At its end a run puts the file in order: the last line of each input that is still failed,
by path. A line that a power cut has torn, or that is of anything else, is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vidattn.cli.batch.results import bytes_of
from vidattn.errors import InputError, OutputError, VideoError
from vidattn.io.files import flush_folder, make_folder, write_atomically
from vidattn.io.json import dumps

NAME = "failures.jsonl"


@dataclass(frozen=True)
class Failure:
    """An input that gave no result."""

    path: str
    code: str
    message: str
    attempt: int = 1
    """How often it has been tried in vain."""
    bytes: int = -1
    """Of the file, -1 when it could not be asked."""
    modified: int = -1
    """When, in ns; a file that has changed since is another one."""
    asked: str = ""
    """A digest of model and settings."""

    def is_of(self, other: Failure) -> bool:
        """Whether both are about the same file, model and settings."""
        return (self.path, self.bytes, self.modified, self.asked) == (
            other.path,
            other.bytes,
            other.modified,
            other.asked,
        )


class Failures:
    """The file in a folder of results; nothing is made before something fails."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> dict[str, Failure]:
        """The last line about each input, by path."""
        try:
            return {one.path: one for one in _parsed(self.path.read_bytes())}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def add(self, failure: Failure) -> None:
        """Append a line. Raises OutputError."""
        line = dumps(asdict(failure)).encode() + b"\n"
        with self._held() as descriptor:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            if end and os.pread(descriptor, 1, end - 1) != b"\n":
                line = b"\n" + line  # after what a power cut has torn
            os.write(descriptor, line)
            os.fsync(descriptor)
            flush_folder(self.path.parent)

    def settle(self, done: set[str]) -> None:
        """One line for each input that is still failed, by path; no file when there is none.

        done: paths of inputs that have a result by now. Raises OutputError.
        """
        if not self.path.exists():
            return
        with self._held():
            rows = {k: v for k, v in self.read().items() if k not in done}
            if rows:
                lines = [dumps(asdict(rows[path])) + "\n" for path in sorted(rows)]
                write_atomically(self.path, "".join(lines).encode())
            else:
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The file open and locked; another process may have replaced it while this one waited."""
        try:
            make_folder(self.path.parent)
            while True:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if self.path.exists() and os.path.samestat(
                        self.path.stat(), os.fstat(descriptor)
                    ):
                        yield descriptor
                        return
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def failure_of(path: str, digest: str, code: str = "", message: str = "") -> Failure:
    """The failure of a file as it is now."""
    try:
        changed = os.stat(path).st_mtime_ns  # noqa: PTH116 - any path, also one that is no text
    except (OSError, ValueError):
        changed = -1
    return Failure(path, code, message, 1, bytes_of(path), changed, digest)


def code_of(error: InputError) -> str:
    """The reason code of an input that failed."""
    return error.code if isinstance(error, VideoError) else "E_INPUT"


def failure(path: str, error: InputError) -> str:
    """What is printed with --json of one of several inputs that failed, in the place of its result,
    schema vidattn/failure/1."""
    record = {"path": path, "code": code_of(error), "message": error.message, "hint": error.hint}
    return json.dumps({"schema": "vidattn/failure/1", "input": {"path": path}, "error": record})


def _parsed(data: bytes) -> Iterator[Failure]:
    for line in data.split(b"\n"):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict):
            continue
        given = {field.name: row[field.name] for field in fields(Failure) if field.name in row}
        if {"path", "code", "message"} <= given.keys() and _is_sound(given):
            yield Failure(**given)


def _is_sound(given: Mapping[str, Any]) -> bool:
    """Whether values are of the types that a Failure has."""
    numbers = "attempt", "bytes", "modified"
    return all(isinstance(v, int if name in numbers else str) for name, v in given.items())


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error.strerror}", hint="choose another -o")

"""The scores of a run on disk while it is under way, so that a killed run can be resumed.

The file begins with `MAGIC`; then come records, each `length, crc32` (uint32, little-endian) and so
many bytes. The first is JSON, the identity of the run. Every other is one window: its number
(uint32), flags (uint8: 1 scored, 2 whole, 4 reused), and its numbers (float32). A record is
handed to the system when its window closes, which survives the process, and flushed to disk every
few seconds, which survives the machine. The log is removed when the timeline is written.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import InputError, OutputError
from vidattn.io.files import flush_folder, open_output, writing
from vidattn.io.json import parse_object
from vidattn.io.locks import locked

MAGIC = b"vidattn/log/1\n"
HEAD = struct.Struct("<II")
WINDOW = struct.Struct("<IB")
SCORED, WHOLE, REUSED = 1, 2, 4
HINT = "free some space, or choose another place with -o"
FLUSH_SECONDS = 5.0
"""The most work that a power cut loses."""


@dataclass(frozen=True, eq=False)
class ScoreRecord:
    """One window."""

    index: int
    scores: NDArray[np.float32] | None
    """Probabilities [K], then the embedding if there is one, then changes between frames where shot
    cuts are looked for; None where too little decodes."""
    whole: bool
    """Whether all frames up to here could be read."""
    reused: bool = False
    """Whether the scores are those of an earlier window."""


class ScoreLog(AbstractContextManager["ScoreLog", None]):
    """The log of one run; a context manager that closes it. Nothing is opened until `begin`.

    resume: use the windows that are there, which are discarded otherwise. anew: discard them also
    when the run had another model or other settings, instead of refusing to resume.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, resume: bool = False, anew: bool = False
    ) -> None:
        self.path = Path(path)
        self.resume = resume
        self.anew = anew
        self.notes: list[str] = []
        """Remarks on the log that was there, one sentence each."""
        self._fd = -1
        self._lock = ExitStack()
        self._flushed = 0.0

    def begin(self, identity: Mapping[str, Any], classes: int) -> dict[int, ScoreRecord]:
        """Open the file for a run and return the windows in it by number.

        identity: everything that the scores depend on, as JSON values. classes: numbers of each
        window. Raises InputError when the windows are of another run, naming the differences, and
        OutputError when the file cannot be written, is in use, or is not a log.
        """
        plain = json.loads(json.dumps(dict(identity)))
        with writing(self.path, hint=HINT):
            data = self._open()
            records, end = self._read(data, plain, classes) if self.resume else ({}, 0)
            if not self.resume and (count := sum(1 for _ in _payloads(data)) - 1) > 0:
                self.notes.append(f"{self.path}: {count} windows of an earlier run were discarded")
            os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)
            if not end:
                self._write(MAGIC + _framed(json.dumps(plain).encode()))
            self._flush()
            flush_folder(self.path.parent)
        return records

    def add(self, record: ScoreRecord) -> None:
        """Append a window. Raises OutputError when that fails."""
        flags = SCORED * (record.scores is not None) + WHOLE * record.whole
        flags += REUSED * record.reused
        payload = WINDOW.pack(record.index, flags)
        if record.scores is not None:
            payload += np.asarray(record.scores, dtype="<f4").tobytes()
        with writing(self.path, hint=HINT):
            self._write(_framed(payload))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flush()

    def remove(self) -> None:
        """Delete the log after the results are written."""
        if self._fd >= 0:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the log and keep it for another run; calling it twice is fine."""
        if self._fd >= 0:
            descriptor, self._fd = self._fd, -1
            os.close(descriptor)
        self._lock.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> bytes:
        """Lock the file and read it."""
        lock = self.path.with_name(self.path.name + ".lock")
        if not self._lock.enter_context(locked(lock, timeout=0)):
            raise OutputError(
                f"{self.path}: another run is writing it",
                hint="wait for that run, or choose another folder with -o",
            )
        self._fd = open_output(self.path, os.O_RDWR)
        with open(self._fd, "rb", closefd=False) as file:
            data = file.read()
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            raise OutputError(f"{self.path}: is not a score log of vidattn", hint="move it away")
        return data

    def _read(
        self, data: bytes, identity: Mapping[str, Any], classes: int
    ) -> tuple[dict[int, ScoreRecord], int]:
        """The windows in the file, and the end of the last good record; 0 to start over."""
        payloads = _payloads(data)
        header, end = next(payloads, (b"", 0))
        if not end:
            return {}, 0
        if changed := _changed(self._identity(header), identity):
            if self.anew:
                self.notes.append(f"{self.path}: started over: {'; '.join(changed)}")
                return {}, 0
            raise InputError(
                f"{self.path}: belongs to another run: {'; '.join(changed)}",
                hint="repeat what that run was asked for, or leave out --resume to start over",
            )
        records: dict[int, ScoreRecord] = {}
        for payload, after in payloads:
            record = _record(payload, classes)
            if record is None or record.index != len(records):
                break
            records[record.index], end = record, after
        if end < len(data):
            what = "is cut off, as a killed run leaves it" if _torn(data, end) else "is damaged"
            self.notes.append(
                f"{self.path}: record {len(records) + 1} {what}; "
                f"resuming after {len(records)} windows"
            )
        return records, end

    def _identity(self, header: bytes) -> Mapping[str, Any]:
        """The identity of the run in the first record."""
        plain = parse_object(header)
        if plain is None:
            raise OutputError(f"{self.path}: is not a score log of vidattn", hint="move it away")
        return plain

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def _flush(self) -> None:
        os.fsync(self._fd)
        self._flushed = time.monotonic()


def _torn(data: bytes, at: int) -> bool:
    """Whether the record that begins at `at` is cut off by the end of the file."""
    begun = at + HEAD.size <= len(data)
    return not begun or at + HEAD.size + HEAD.unpack_from(data, at)[0] > len(data)


def _framed(payload: bytes) -> bytes:
    return HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _payloads(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The records from the beginning, and the end of each; stops before the first bad one."""
    at = len(MAGIC)
    while at + HEAD.size <= len(data):
        length, checksum = HEAD.unpack_from(data, at)
        payload = data[at + HEAD.size : at + HEAD.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        at += HEAD.size + length
        yield payload, at


def _record(payload: bytes, classes: int) -> ScoreRecord | None:
    """The record in a payload, or None for any other bytes."""
    if len(payload) < WINDOW.size:
        return None
    index, flags = WINDOW.unpack_from(payload)
    scored = bool(flags & SCORED)
    if len(payload) != WINDOW.size + 4 * classes * scored:
        return None
    scores = (
        np.frombuffer(payload, "<f4", offset=WINDOW.size).astype(np.float32) if scored else None
    )
    return ScoreRecord(index, scores, bool(flags & WHOLE), bool(flags & REUSED))


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences of two identities, in words."""
    return [
        f"{key} was {before.get(key, 'unknown')}, is {now.get(key, 'unknown')}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]

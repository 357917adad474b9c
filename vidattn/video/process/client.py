"""A Video that is decoded in a child process, which may crash, hang or be killed."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import UsageError, VideoError
from vidattn.types import Area, Window
from vidattn.video.process.child import (
    DiedError,
    ProcessPool,
    SilentError,
    TimeBudget,
    WorkerProcess,
)
from vidattn.video.process.open_file import open_regular, printable_path
from vidattn.video.protocol import (
    LAYERS,
    TAILS,
    Frames,
    Limits,
    UnreadableSpan,
    Video,
    VideoDetails,
    check_indices,
)
from vidattn.video.readers import READER_NAMES, READERS

MAX_SIDE = 1 << 20
"""Pixels; no frame is that large, however it is resized."""


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class SupervisedVideo(Video):
    """See Video. Made by open_video; for one thread at a time."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        reader: str = "auto",
        short_side: int | None = None,
        limits: Limits | None = None,
        pool: ProcessPool | None = None,
        ahead: bool = False,
        areas: Sequence[Area] = (),
    ) -> None:
        """As `open_video`. areas: parts of the picture, the smallest of which is to have
        `short_side`; frames are of the whole picture. ahead: a child begins to open the file, and
        `wait` must be called before anything else; it raises the errors of opening."""
        if reader not in READER_NAMES:
            raise UsageError(f"no reader {reader!r}", hint=f"readers: {', '.join(READER_NAMES)}")
        if short_side is not None and not 1 <= short_side <= 16384:
            raise UsageError(f"short side {short_side} is outside 1 to 16384")
        self.path = os.fspath(path)
        self._name = printable_path(path)
        self._short_side, self._areas = short_side, [str(area) for area in areas]
        self.limits = limits or Limits()
        self.unreadable: list[UnreadableSpan] = []
        self._fd = open_regular(path)
        self._pool = pool
        status = os.fstat(self._fd)
        self._identity, self._bytes = _identity(status), status.st_size
        self._budget = TimeBudget(self.limits, self._bytes)
        self._process: WorkerProcess | None = None
        self._interrupted: WorkerProcess | None = None
        self._close_file = weakref.finalize(self, os.close, self._fd)
        self.reader = reader
        try:
            if ahead:
                self._begin(reader)
            else:
                self._start(reader)
        except DiedError as error:
            self.close()
            raise self._translate(error) from None
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Finish opening after `ahead`; raises as `open_video`."""
        try:
            self._start(self.reader, begun=True)
        except BaseException:
            self.close()
            raise

    def _start(self, reader: str, *, begun: bool = False) -> None:
        """Let a child open the file, a kept one or a new one, and take in its properties.

        An error in a kept child may come from an earlier file, and a new one that dies may have
        been out of luck: either is replaced once. A silent one is not, since that would double the
        wait. begun: a child has begun already.
        """
        fresh, lives = False, 1
        while True:
            try:
                if not begun:
                    self._begin(reader, fresh=fresh)
                self._finish()
                return
            except VideoError:
                if not self._is_kept:
                    raise
            except DiedError as error:
                lives -= not self._is_kept
                if isinstance(error, SilentError) or lives < 0:
                    raise self._translate(error) from None
            begun, fresh = False, True

    def _begin(self, reader: str, *, fresh: bool = False) -> None:
        """Tell a child to open the file. Raises DiedError."""
        self._end_process()
        # A process gives up its rights once: it opens files by path, which then is one, or none.
        by_path = reader != "auto" and READERS[reader].by_path
        self._pool_of_process = None if by_path else self._pool
        pool = None if fresh else self._pool_of_process
        kept = pool.take(self.limits) if pool else None
        self._is_kept, self._in_order = kept is not None, False
        self._process = kept or WorkerProcess(self.limits.silence_seconds)
        self._process.key, self._process.budget = self.limits, self._budget
        self._process.threads = self.limits.threads or self._process.threads
        self._kill = weakref.finalize(self, self._process.kill)
        limits = asdict(self.limits)
        sizes = {"short_side": self._short_side, "areas": self._areas}
        request = {"reader": reader, **sizes, "limits": limits}
        self._request_number = self._process.send({"kind": "open", **request}, fd=self._fd)

    def _finish(self) -> None:
        """Take in the child's reply. Raises VideoError or DiedError."""
        process = self._process
        assert process is not None
        for meta, raw in process.replies(self._request_number):
            if meta["kind"] == "error":
                raise self._error(meta)
            try:
                self._take_in(meta, raw)
            except (LookupError, TypeError, ValueError, ArithmeticError):
                raise process.end_liar() from None
        self._in_order = True
        pixels = self.details.width * self.details.height
        self._budget.extend(self.frames, self.duration, pixels)

    def _take_in(self, meta: dict[str, Any], raw: NDArray[np.uint8]) -> None:
        info = dict(meta["info"])
        info["fps"], info["sar"] = Fraction(*info["fps"]), Fraction(*info["sar"])
        info["warnings"] = tuple(info["warnings"])
        self.details = VideoDetails(**info)
        self.reader = meta["reader"]
        self.times = raw.view(np.float64)
        self.frames = len(self.times)
        self.fps, self.duration = self.details.fps, self.details.duration
        self.width, self.height = map(int, meta["size"])
        self._available = float(meta["available"])
        if missing := [name for name in LAYERS if name not in meta["sandbox"]]:
            message = f"the sandbox of decoders has no {' and no '.join(missing)} on this system"
            warnings.warn(message, stacklevel=1)  # Python shows it once
        self._require_plausible()
        if not self.unreadable:
            holes = [Window(float(start), float(stop)) for start, stop in meta["holes"]]
            if not all(0 <= hole.start < hole.stop <= self._available for hole in holes):
                raise ValueError("holes lie outside the video")
            self.unreadable += [UnreadableSpan(hole, "E_DECODE") for hole in holes]
        if meta["tail"] in TAILS and not self.unreadable:
            tail = Window(self._available, self.duration)
            self.unreadable.append(UnreadableSpan(tail, meta["tail"]))

    def _require_plausible(self) -> None:
        """Raise ValueError unless the child's reply about the file can be true."""
        rising = (
            0 < self.frames <= self._bytes
            and self.times[0] == 0
            and (np.diff(self.times) > 0).all()
        )
        if not rising or not self.times[-1] <= self._available < np.inf:
            raise ValueError("times do not rise from 0 to the end")
        if not self._available <= self.duration < np.inf or self.details.frames != self.frames:
            raise ValueError("the file does not last until its last frame")
        if not 0 <= (self.details.start_offset or 0.0) < np.inf:
            raise ValueError("the file begins after its first frame")
        if not self.details.is_plausible:
            raise ValueError("no video has such facts")
        if not 0 < min(self.width, self.height) <= max(self.width, self.height) <= MAX_SIDE:
            raise ValueError("frames have no such size")

    def read(self, indices: Sequence[int]) -> Frames:
        wanted = check_indices(indices, self.frames, self._name)
        unique, inverse = np.unique(wanted, return_inverse=True)
        out = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for index, frame in self._decode(unique, dense=False):
            if frame is None:
                raise VideoError(
                    f"{self._name}: frame {index} does not decode",
                    code="E_DECODE",
                    hint="the file is damaged there; --reader opencv may get further"
                    if self.reader == "pyav"
                    else "use --reader pyav",
                )
            out[inverse == np.searchsorted(unique, index)] = frame
        return out

    def stream(self, indices: Iterable[int]) -> Iterator[tuple[int, Frames]]:
        wanted = check_indices(indices, self.frames, self._name)
        if (np.diff(wanted) <= 0).any():
            raise ValueError("stream needs rising frame numbers")
        for index, frame in self._decode(wanted, dense=True):
            if frame is not None:
                yield index, frame

    def _decode(
        self, wanted: NDArray[np.int64], *, dense: bool
    ) -> Iterator[tuple[int, Frames | None]]:
        """Each wanted frame, None for an unreadable one; a dead child is replaced once."""
        done, lives = 0, 1
        while done < len(wanted):
            try:
                for index, frame in self._request(wanted[done:], dense):
                    done += 1
                    yield index, frame
            except DiedError as error:
                lives -= 1
                hung = isinstance(error, SilentError) and self.reader == "pyav"
                if lives < 0 or hung or self._interrupted is self._process:
                    raise self._translate(error) from None
                self._start("pyav")

    def _request(
        self, wanted: NDArray[np.int64], dense: bool
    ) -> Iterator[tuple[int, Frames | None]]:
        """Frames of one request; ends early when another request came in between."""
        process = self._ensure_process()
        shape = (self.height, self.width, 3)
        size = self.height * self.width * 3
        request = {"kind": "frames", "dense": dense}
        self._budget.request(len(wanted))
        number = process.send(request, wanted.tobytes(), max_raw=size)
        expected = iter(wanted.tolist())
        for meta, raw in process.replies(number):
            if meta["kind"] == "error":
                raise self._error(meta)
            index = next(expected, None)
            unreadable = meta["kind"] == "unreadable"
            fits = raw.size == (0 if unreadable else size)
            if index is None or meta.get("index") != index or not fits:
                raise process.end_liar()
            if unreadable:
                self._add_unreadable(index)
            yield index, None if unreadable else raw.reshape(shape)
            if not process.is_current(number):
                return

    def _ensure_process(self) -> WorkerProcess:
        if self._fd < 0:
            raise ValueError(f"{self._name}: the video is closed")
        if self._process is None or not self._process.usable:
            self._start(self.reader)
        assert self._process is not None
        return self._process

    def _add_unreadable(self, index: int) -> None:
        """List a frame as unreadable, joined to the span before it."""
        start = float(self.times[index])
        stop = float(self.times[index + 1]) if index + 1 < self.frames else self._available
        last = self.unreadable[-1] if self.unreadable else None
        if last and last.code == "E_DECODE" and last.window.stop == start:
            self.unreadable[-1] = UnreadableSpan(Window(last.window.start, stop), "E_DECODE")
        elif all(not (u.window.start <= start < u.window.stop) for u in self.unreadable):
            self.unreadable.append(UnreadableSpan(Window(start, stop), "E_DECODE"))

    def _error(self, meta: dict[str, Any]) -> VideoError:
        self._in_order = False
        text, hint = f"{self._name}: {meta.get('message')}", meta.get("hint")
        return VideoError(
            text, code=str(meta.get("code")), hint=None if hint is None else str(hint)
        )

    def _translate(self, error: DiedError) -> VideoError:
        code = "E_TIMEOUT" if isinstance(error, SilentError) else "E_DECODER_DIED"
        hint = "the file may be damaged or hostile; skip it"
        return VideoError(f"{self._name}: {error}", code=code, hint=hint)

    def _end_process(self) -> None:
        if self._process is None:
            return
        if self._pool_of_process is not None and self._in_order:
            self._kill.detach()
            self._pool_of_process.put(self._process)
        else:
            self._kill()
        self._process = None

    def check_unchanged(self) -> None:
        now = {_identity(os.fstat(self._fd))}
        with suppress(OSError):
            now.add(_identity(os.stat(self.path)))  # noqa: PTH116
        if now != {self._identity}:
            raise VideoError(
                f"{self._name}: the file changed while it was read",
                code="E_CHANGED",
                hint="run again when it is complete",
            )

    def interrupt(self) -> None:
        if self._process is not None:
            self._interrupted = self._process
            self._process.interrupt()

    def close(self) -> None:
        self._end_process()
        self._close_file()
        self._fd = -1

"""The caller's side of video writing: frames go in, a supervised process makes an mp4."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import OutputError, VideoError
from vidattn.io.files import open_output
from vidattn.types import Window
from vidattn.video.process.child import DiedError, TimeBudget, WorkerProcess
from vidattn.video.process.open_file import open_regular, printable_path
from vidattn.video.protocol import Frames, Times, Video

CRF = 20
"""x264's measure of quality: 18 is hard to tell from the original, 23 is its default."""


@dataclass(frozen=True)
class AudioTrack:
    """The audio of a written video."""

    codec: str
    """Of the source, "" if it has none."""
    included: bool
    copied: bool
    """Whether packets were copied; otherwise they were encoded as AAC."""


class VideoWriter(AbstractContextManager["VideoWriter", None]):
    """Writes mp4 files of frames, with the audio of their source, or of packets of the source.

    All reading of the source, audio included, happens in the writing process. For one thread.
    """

    def __init__(self, video: Video) -> None:
        """video: the open source; it stays open and is not read."""
        limits = video.limits
        self._name = printable_path(video.path)
        self._details = video.details
        self._pixels = video.details.width * video.details.height
        self._process = WorkerProcess(limits.silence_seconds, "vidattn.video.writer.worker")
        self._kill = weakref.finalize(self, self._process.kill)
        self._frames, self._shape = video.frames, (0, 0)
        fd = open_regular(video.path)
        self._process.budget = TimeBudget(limits, os.fstat(fd).st_size)
        self._process.budget.extend(video.frames, video.duration, self._pixels)
        try:
            self._ask({"kind": "source", "limits": asdict(limits)}, fd=fd)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)

    @contextmanager
    def recording(
        self, path: Path, size: tuple[int, int], times: Times, stop: float
    ) -> Iterator[AudioTrack]:
        """Make a new H.264 file of the frames that `write` receives during the block.

        size: width and height. times: seconds of all frames that may come, as `Video.times`; the
        file begins at times[0]. stop: end of the last one. Raises OutputError if writing fails.
        """
        width, height = (side + side % 2 for side in size)
        self._shape = (height, width)
        zero, sar = self._details.start_pts_seconds, self._details.sar
        sar = 1 / sar if self._details.rotation % 180 and sar else sar
        order = {
            "size": [width, height],
            "sar": [sar.numerator, sar.denominator],
            "start": zero + float(times[0]),
            "stop": zero + stop,
            "audio": self._details.audio,
            "crf": CRF,
        }
        raw = (times - times[0]).astype(np.float64).tobytes()
        reply = self._ask_for_file(path, {"kind": "record", "order": order}, raw)
        yield AudioTrack(**reply["audio"])
        self._ask({"kind": "finish"})

    def write(self, number: int, frame: Frames) -> None:
        """Write the frame of times[number]: uint8 [H, W, 3] RGB of the size given.

        Odd sizes are made even by repeating the last row or column, since H.264 needs that.
        """
        rows, columns = (even - n for even, n in zip(self._shape, frame.shape[:2], strict=True))
        if rows or columns:
            frame = np.pad(frame, ((0, rows), (0, columns), (0, 0)), "edge")
        self._ask({"kind": "frame", "index": number}, np.ascontiguousarray(frame).data.cast("B"))

    def copy(self, path: Path, window: Window, tolerance: float) -> Window | None:
        """Write the packets of a window to a new file; returns the part of the source in it.

        None if an edge would be off by more than `tolerance` seconds, or the file cannot be cut so.
        """
        edges = {"start": window.start, "stop": window.stop, "tolerance": tolerance}
        copied = self._ask_for_file(path, {"kind": "copy", **edges})["window"]
        return None if copied is None else Window(*copied)

    def _ask_for_file(self, path: Path, meta: dict[str, Any], raw: bytes = b"") -> dict[str, Any]:
        """Ask the process to write a new file, which may take as long as decoding once."""
        if self._process.budget is not None:
            self._process.budget.request(self._frames)
        fd = open_output(path, os.O_RDWR | os.O_TRUNC)
        try:
            return self._ask(meta, raw, fd)
        finally:
            os.close(fd)

    def _ask(
        self, meta: dict[str, Any], raw: bytes | memoryview = b"", fd: int | None = None
    ) -> dict[str, Any]:
        reply: dict[str, Any] = {}
        try:
            for answer, _ in self._process.replies(self._process.send(meta, raw, fd)):
                reply = answer
        except DiedError as error:
            text = str(error).replace("decoder", "encoder")
            raise OutputError(f"{self._name}: no video was made: {text}") from None
        if reply.get("kind") == "error":
            raise self._error(reply)
        return reply

    def _error(self, reply: dict[str, Any]) -> VideoError | OSError:
        if "errno" in reply:
            number = abs(int(reply["errno"]))  # FFmpeg has numbers beyond the system's
            return OSError(number, os.strerror(number) if number < 200 else reply["message"])
        text = f"{self._name}: {reply['message']}"
        return VideoError(text, code=str(reply["code"]), hint=reply["hint"])

    def close(self) -> None:
        """End the process; calling it twice is fine."""
        self._kill()

    def __exit__(self, *_: object) -> None:
        self.close()

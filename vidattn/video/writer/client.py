"""The caller's side of recording: frames go in, an mp4 comes out, made by a supervised process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import OutputError, VideoError
from vidattn.io.closing import Closing
from vidattn.types import Window
from vidattn.video.process.child import DecoderProcess, DiedError, SilentError
from vidattn.video.process.open_file import open_regular, printable_path
from vidattn.video.protocol import Frames, Limits, Times, Video

CRF = 20
"""x264's measure of quality: 18 is hard to tell from the original, 23 is its default."""


@dataclass(frozen=True)
class AudioSource:
    """What became of the sound of a film."""

    codec: str
    """Of the original, "" where there is none."""
    heard: bool
    copied: bool
    """Its own packets; otherwise it was encoded anew, as AAC."""


class VideoWriter(Closing):
    """Makes mp4 files of frames, with the sound of the film they come from, or of its packets.

    Whatever is read of that film, sound included, is read in the recording process. For one thread.
    """

    def __init__(self, video: Video, limits: Limits | None = None) -> None:
        """video: the open film; it stays open and is not read. limits: by default its own."""
        limits = limits or video.limits
        self._name = printable_path(video.path)
        self._facts = video.facts
        self._process = DecoderProcess(limits.silence_seconds, "vidattn.video.writer.worker")
        self._killer = weakref.finalize(self, self._process.kill)
        self._shape = (0, 0)
        fd = open_regular(video.path)
        try:
            self._ask({"kind": "source", "limits": asdict(limits)}, fd=fd)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)

    @contextmanager
    def recording(
        self, path: Path, size: tuple[int, int], times: Times, stop: float, *, sound: bool = True
    ) -> Iterator[AudioSource]:
        """Record into a new file what `frame` is given until the block ends.

        size: width and height. times: seconds of all frames that may come, as `Video.times`. stop:
        when the last one ends. The file begins at times[0] and is H.264 with upright pixels. Raises
        OutputError when it cannot be written.
        """
        width, height = (side + side % 2 for side in size)
        self._shape = (height, width)
        zero, sar = self._facts.start_pts_seconds, self._facts.sar
        sar = 1 / sar if self._facts.rotation % 180 and sar else sar
        order = {
            "kind": "record",
            "size": [width, height],
            "sar": [sar.numerator, sar.denominator],
            "start": zero + float(times[0]),
            "stop": zero + stop,
            "sound": sound and self._facts.audio,
            "crf": CRF,
        }
        fd = _created(path)
        try:
            told = self._ask(order, (times - times[0]).astype(np.float64).tobytes(), fd)
        finally:
            os.close(fd)
        yield AudioSource(told["sound"], told["heard"], told["copied"])
        self._ask({"kind": "finish"})

    def frame(self, number: int, frame: Frames) -> None:
        """The frame of times[number]: uint8 [H, W, 3] RGB of the size given.

        Odd sizes are made even by showing the last row or column twice, since H.264 needs that.
        """
        rows, columns = (now - was for now, was in zip(self._shape, frame.shape[:2], strict=True))
        if rows or columns:
            frame = np.pad(frame, ((0, rows), (0, columns), (0, 0)), "edge")
        self._ask({"kind": "frame", "index": number}, np.ascontiguousarray(frame).data.cast("B"))

    def copy(self, path: Path, part: Window, tolerance: float) -> Window | None:
        """Write the packets of a part to a new file; what of the film that is, in seconds.

        None when that would be off by more than `tolerance` seconds at one of its edges, or the
        file cannot be cut so.
        """
        fd = _created(path)
        edges = {"start": part.start, "stop": part.stop, "tolerance": tolerance}
        try:
            told = self._ask({"kind": "copy", **edges}, fd=fd)
        finally:
            os.close(fd)
        return Window(told["start"], told["stop"]) if told["kind"] == "copied" else None

    def _ask(
        self, meta: dict[str, Any], raw: bytes | memoryview = b"", fd: int | None = None
    ) -> dict[str, Any]:
        """Send a request and wait for what the process has to say."""
        told: dict[str, Any] = {}
        try:
            for answer, _ in self._process.answers(self._process.ask(meta, raw, fd)):
                told = answer
        except (DiedError, SilentError) as error:
            text = str(error).replace("decoder", "encoder")
            raise OutputError(f"{self._name}: no film was made: {text}") from None
        if told.get("kind") == "error":
            raise self._error(told)
        return told

    def _error(self, told: dict[str, Any]) -> VideoError | OSError:
        if "errno" in told:
            number = abs(int(told["errno"]))  # FFmpeg has numbers of its own, beyond the system's
            return OSError(number, os.strerror(number) if number < 200 else told["message"])
        text = f"{self._name}: {told['message']}"
        return VideoError(text, code=str(told["code"]), hint=told["hint"])

    def close(self) -> None:
        """End the process; calling it twice is fine."""
        self._killer()


def _created(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

"""The writing process: makes mp4 files of frames that it receives and of packets of a source file.

The source is untrusted; its audio and packets are read here, so that nothing of it is parsed in the
process that holds the results.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.container.frame_table import Source
from vidattn.video.container.open import for_ffmpeg, open_container
from vidattn.video.process import messages
from vidattn.video.process.channel import Channel, run_worker, source_of
from vidattn.video.process.sandbox import Sandbox
from vidattn.video.protocol import Limits
from vidattn.video.writer.audio import AudioCopy
from vidattn.video.writer.cut import StreamCut
from vidattn.video.writer.h264 import ColorTags, add_h264

MAX_TICKS = 1_000_000
"""Ticks a second; finer or odd time bases are replaced by the usual 90,000."""
KEY_SECONDS = 2.0
OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors of the place of the results, not of the source."""


@dataclass(frozen=True)
class WriteOrder:
    """A part of the source to write, with its audio."""

    target: str
    times: NDArray[np.float64]
    """Seconds of the coming frames, from `start`."""
    size: tuple[int, int]
    """Width and height."""
    sar: Fraction
    start: float
    """Seconds of the first frame in the source."""
    stop: float
    audio: bool
    crf: int


class Mp4Encoder:
    """One mp4 file: frames come in order, audio is taken from the source."""

    def __init__(
        self,
        order: WriteOrder,
        source: str,
        tick: Fraction,
        colors: ColorTags,
        beat: Callable[[], None],
    ) -> None:
        self._order, self._colors = order, colors
        self._tick = _time_base(tick, order.times)
        stamps = np.rint(order.times / float(self._tick)).astype(np.int64)
        end = round((order.stop - order.start) / self._tick)
        self._pts = [*stamps.tolist(), max(end, int(stamps[-1]) + 1)]
        self._number = {pts: number for number, pts in enumerate(self._pts)}
        self._source = AudioCopy(source, order.start, order.stop, beat) if order.audio else None
        try:
            self._begin(self._source if self._source and self._source.exists else None)
        except FFmpegError:
            if self._source is None or not self._source.exists:
                raise
            self._source.codec += " (damaged)"
            self._begin(None)  # audio that no header can describe

    def _begin(self, audio: AudioCopy | None) -> None:
        order = self._order
        self._out = av.open(for_ffmpeg(order.target), "w", format="mp4")
        length = float(self._pts[-1] * self._tick)
        rate = Fraction(len(order.times) / length).limit_denominator(1001)
        # Pictures stored in the order shown: only then does an mp4 tell the last one's duration.
        options = {"preset": "veryfast", "crf": str(order.crf), "bf": "0"}
        self._stream = add_h264(self._out, max(rate, Fraction(1, 1000)), order.size, options)
        context = self._stream.codec_context
        context.time_base = self._tick
        context.sample_aspect_ratio = order.sar
        context.gop_size = max(1, round(KEY_SECONDS * float(rate)))
        self._colors.tag(self._stream)
        self._audio = audio
        if audio is not None:
            audio.join(self._out)
        self._out.start_encoding()

    def describe_audio(self) -> dict[str, Any]:
        """The fields of an AudioTrack."""
        return {
            "codec": self._source.codec if self._source else "",
            "included": self._audio is not None,
            "copied": self._audio is not None and self._audio.copied,
        }

    def write(self, number: int, rgb: NDArray[np.uint8]) -> None:
        """Encode the frame of times[number]; numbers rise and may have gaps."""
        width, height = self._order.size
        frame = self._colors.to_yuv(rgb.reshape(height, width, 3))
        frame.pts, frame.time_base = self._pts[number], self._tick
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            number = self._number.get(packet.pts or 0, 0)
            packet.duration = self._pts[number + 1] - self._pts[number]
            if self._audio is not None:
                self._audio.mux_until(self._order.start + float(self._pts[number] * self._tick))
            self._out.mux(packet)

    def finish(self) -> None:
        """Write the rest and the end of the file."""
        self._mux(None)
        if self._audio is not None:
            self._audio.finish()
        self._out.close()
        if self._source is not None:
            self._source.close()


class WriteWorker:
    """Serves requests about one source."""

    def __init__(self, channel: Channel, sandbox: Sandbox) -> None:
        self._channel, self._sandbox = channel, sandbox
        self._source = ""
        self._encoder: Mp4Encoder
        self._target: int
        self._cut: StreamCut | None = None
        self._failure: dict[str, Any] | None = None

    def serve(self) -> None:
        """Answer until the parent closes its end."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a limit on file sizes is a normal error
        while (request := self._channel.receive()) is not None:
            meta, raw, fd = request
            is_frame = meta["kind"] == "frame"
            if self._failure is None and not is_frame:
                self._attempt(partial(self._answer, meta, raw, fd))
            if self._failure is not None:
                self._channel.send({"kind": "error", **self._failure})
            self._channel.send({"kind": "end", "number": meta.get("number")})
            if self._failure is None and is_frame:
                # The reply has gone out: the next frame is made while this one is encoded.
                pixels = np.frombuffer(raw, np.uint8)
                self._attempt(partial(self._encoder.write, int(meta["index"]), pixels))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except VideoError as error:
            self._failure = {"code": error.code, "message": error.message, "hint": error.hint}
        except FFmpegError as error:
            self._failure = {"errno": error.errno or errno.EIO, "message": error.strerror}
        except MemoryError:
            self._failure = {"errno": errno.ENOMEM, "message": "out of memory while encoding"}

    def _answer(self, meta: messages.Meta, raw: bytes, fd: int | None) -> None:
        if fd is not None and meta["kind"] != "source":
            self._target = fd
        if meta["kind"] == "source":
            self._open(Limits(**meta["limits"]), fd)
        elif meta["kind"] == "record":
            fields = {**meta["order"], "sar": Fraction(*meta["order"]["sar"])}
            order = WriteOrder(source_of(fd), np.frombuffer(raw, np.float64), **fields)
            beat = self._channel.beat
            self._encoder = Mp4Encoder(order, self._source, self._tick, self._colors, beat)
            self._channel.send({"kind": "recording", "audio": self._encoder.describe_audio()})
        elif meta["kind"] == "finish":
            self._encoder.finish()
            self._close_target()
        elif meta["kind"] == "copy":
            self._copy(meta, source_of(fd))
            self._close_target()

    def _close_target(self) -> None:
        """Give up the finished file: a process may have a few open ones only."""
        os.close(self._target)

    def _open(self, limits: Limits, fd: int | None) -> None:
        self._sandbox.enter(limits, memory_bytes=limits.memory_bytes, file_bytes=None)
        self._source, self._limits = source_of(fd), limits
        container, stream = self._reopen()
        with container:
            self._tick = stream.time_base or Fraction(1, 90_000)
            self._colors = ColorTags.like(stream)

    def _reopen(self) -> Source:
        return open_container(self._source, self._limits)

    def _copy(self, meta: messages.Meta, target: str) -> None:
        if self._cut is None:
            self._cut = StreamCut(self._reopen, self._source, self._channel.beat)
        span = self._cut.find_span(meta["start"], meta["stop"], meta["tolerance"])
        try:
            if span is not None:
                self._cut.write(target, span)
        except (VideoError, FFmpegError) as error:
            if isinstance(error, FFmpegError) and error.errno in OUTPUT_ERRORS:
                raise
            span = None
        window = None if span is None else [span.start, span.stop]
        self._channel.send({"kind": "copied", "window": window})


def _time_base(tick: Fraction, times: NDArray[np.float64]) -> Fraction:
    """That of the source, if an mp4 can have it and it tells all frames apart."""
    if tick.denominator <= MAX_TICKS and (np.diff(np.rint(times / float(tick))) > 0).all():
        return tick
    return Fraction(1, 90_000)


if __name__ == "__main__":
    run_worker(lambda channel, sandbox: WriteWorker(channel, sandbox).serve())

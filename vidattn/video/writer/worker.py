"""The recording process: makes mp4 files of frames it is sent and of packets of a source file.

`python -m vidattn.video.writer.worker PARENT_PID [die-with-thread]`, with `messages`. The source is
a stranger's file; its sound and packets are read here, so that nothing of it is parsed
where the results are.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import sys
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
from vidattn.video.container import frame_table
from vidattn.video.container.open import open_container
from vidattn.video.process import messages
from vidattn.video.process.worker import Channel, confine, harden, path_of
from vidattn.video.protocol import Limits
from vidattn.video.writer.audio import AudioCopy
from vidattn.video.writer.colorspace import ColorTags
from vidattn.video.writer.cut import StreamCut

THREADS = 4
"""Of the encoder, the same on every machine: their number changes the bytes."""
FINEST = 1_000_000
"""Ticks a second; clocks that are finer or odd are replaced by the usual 90,000."""
KEY_SECONDS = 2.0
WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors of the place where results go, not of the source."""


@dataclass(frozen=True)
class WriteOrder:
    """What is to be recorded: a part of the source, with its sound."""

    fd: int
    width: int
    height: int
    sar: Fraction
    start: float
    """Seconds as the source counts them, of the first frame."""
    stop: float
    sound: bool
    crf: int
    times: NDArray[np.float64]
    """Seconds of the frames to come, from `start`."""


class Recording:
    """One mp4 file in the making: frames come in order, sound is taken from the source."""

    def __init__(
        self,
        order: WriteOrder,
        source: str,
        tick: Fraction,
        colours: ColorTags,
        beat: Callable[[], None],
    ) -> None:
        self._order, self._colours = order, colours
        self._tick = _clock(tick, order.times)
        stamps = np.rint(order.times / float(self._tick)).astype(np.int64)
        end = round((order.stop - order.start) / self._tick)
        self._pts = [*stamps.tolist(), max(end, int(stamps[-1]) + 1)]
        self._number = {pts: number for number, pts in enumerate(self._pts)}
        self._sound = AudioCopy(source, order.start, order.stop, beat) if order.sound else None
        try:
            self._begin(self._sound if self._sound and self._sound.there else None)
        except FFmpegError:
            if self._sound is None or not self._sound.there:
                raise
            self._sound.codec += " (damaged)"
            self._begin(None)  # sound that no header can describe

    def _begin(self, sound: AudioCopy | None) -> None:
        order = self._order
        self._out = av.open(f"{path_of(order.fd)}", "w", format="mp4")
        length = float(self._pts[-1] * self._tick)
        rate = Fraction(len(order.times) / length).limit_denominator(1001)
        self._stream = self._out.add_stream("libx264", rate=max(rate, Fraction(1, 1000)))
        self._stream.width, self._stream.height = order.width, order.height
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._tick
        context.sample_aspect_ratio = order.sar
        context.gop_size = max(1, round(KEY_SECONDS * float(rate)))
        # Pictures stored in the order shown: only so does an mp4 say how long the last one lasts.
        context.options = {"preset": "veryfast", "crf": str(order.crf), "bf": "0"}
        context.thread_count = THREADS
        self._colours.tag(self._stream)
        self._heard = sound
        if sound is not None:
            sound.join(self._out)
        self._out.start_encoding()

    def told(self) -> dict[str, Any]:
        """What became of the sound."""
        codec = self._sound.codec if self._sound else ""
        copied = self._heard is not None and self._heard.copied
        return {"kind": "recording", "sound": codec, "heard": bool(self._heard), "copied": copied}

    def frame(self, number: int, rgb: NDArray[np.uint8]) -> None:
        """Encode a frame of `WriteOrder.times` by its number; numbers rise and may have gaps."""
        frame = self._colours.frame(rgb.reshape(self._order.height, self._order.width, 3))
        frame.pts, frame.time_base = self._pts[number], self._tick
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            number = self._number.get(packet.pts or 0, 0)
            packet.duration = self._pts[number + 1] - self._pts[number]
            if self._heard is not None:
                self._heard.until(self._order.start + float(self._pts[number] * self._tick))
            self._out.mux(packet)

    def finish(self) -> None:
        """Write what is left and the end of the file."""
        self._mux(None)
        if self._heard is not None:
            self._heard.finish()
        self._out.close()
        if self._sound is not None:
            self._sound.close()


class WriterWorker:
    """Serves requests about one source."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._source = ""
        self._recording: Recording
        self._excerpt: StreamCut | None = None
        self._failure: dict[str, Any] | None = None

    def serve(self) -> None:
        """Answer until the parent closes its end."""
        while (request := self._channel.receive()) is not None:
            meta, raw, fd = request
            if self._failure is None and meta["kind"] != "frame":
                self._attempt(partial(self._answer, meta, raw, fd))
            if self._failure is not None:
                self._channel.send(self._failure)
            self._channel.send({"kind": "end", "number": meta.get("number")})
            if self._failure is None and meta["kind"] == "frame":
                # The answer has gone out: the next frame is made while this one is encoded.
                pixels = np.frombuffer(raw, np.uint8)
                self._attempt(partial(self._recording.frame, int(meta["index"]), pixels))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except VideoError as error:
            self._failure = {"code": error.code, "message": error.message, "hint": error.hint}
        except FFmpegError as error:
            self._failure = {"errno": error.errno or errno.EIO, "message": error.strerror}
        except MemoryError:
            self._failure = {"errno": errno.ENOMEM, "message": "out of memory while encoding"}
        if self._failure is not None:
            self._failure["kind"] = "error"

    def _answer(self, meta: messages.Meta, raw: bytes, fd: int | None) -> None:
        if meta["kind"] == "source":
            self._open(Limits(**meta["limits"]), fd)
        elif meta["kind"] == "record":
            order = _order(meta, raw, fd)
            beat = self._channel.beat
            self._recording = Recording(order, self._source, self._tick, self._colours, beat)
            self._channel.send(self._recording.told())
        elif meta["kind"] == "finish":
            self._recording.finish()
        elif meta["kind"] == "copy":
            self._copy(meta, fd)

    def _open(self, limits: Limits, fd: int | None) -> None:
        confine(limits.memory_bytes, None)
        self._source, self._limits = path_of(fd), limits
        container, stream = self._reopen()
        with container:
            self._tick = stream.time_base or Fraction(1, 90_000)
            self._colours = ColorTags.like(stream)

    def _reopen(self) -> frame_table.Source:
        return open_container(self._source, self._limits)

    def _copy(self, meta: messages.Meta, fd: int | None) -> None:
        if self._excerpt is None:
            self._excerpt = StreamCut(self._reopen, self._source, self._channel.beat)
        span = self._excerpt.span(meta["start"], meta["stop"], meta["tolerance"])
        if span is None:
            self._channel.send({"kind": "apart"})
            return
        try:
            self._excerpt.write(path_of(fd), span)
        except (VideoError, FFmpegError) as error:
            if isinstance(error, FFmpegError) and error.errno in WRITING:
                raise
            self._channel.send({"kind": "apart"})
            return
        self._channel.send({"kind": "copied", "start": span.start, "stop": span.stop})


def _order(meta: messages.Meta, raw: bytes, fd: int | None) -> WriteOrder:
    assert fd is not None
    width, height = meta["size"]
    return WriteOrder(
        fd=fd,
        width=width,
        height=height,
        sar=Fraction(*meta["sar"]),
        start=meta["start"],
        stop=meta["stop"],
        sound=meta["sound"],
        crf=meta["crf"],
        times=np.frombuffer(raw, np.float64),
    )


def _clock(tick: Fraction, times: NDArray[np.float64]) -> Fraction:
    """The clock of the source, where an mp4 can have it and it tells all frames apart."""
    if tick.denominator <= FINEST and (np.diff(np.rint(times / float(tick))) > 0).all():
        return tick
    return Fraction(1, 90_000)


def main() -> None:
    """Serve until the parent goes."""
    parent, by_kernel = int(sys.argv[1]), sys.argv[2:] == ["die-with-thread"]
    harden(parent, by_kernel=by_kernel)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a limit on file sizes is an error like any
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.dup(1)
    os.dup2(2, 1)
    av.logging.set_level(None)
    WriterWorker(Channel(socket.socket(fileno=0), answers)).serve()


if __name__ == "__main__":
    main()

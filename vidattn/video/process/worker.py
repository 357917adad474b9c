"""The decoding process. It imports no torch unless the torchcodec reader was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.container.frame_table import Source
from vidattn.video.container.open import open_container
from vidattn.video.container.probe import Probe, ProbeCache, probe
from vidattn.video.pixels import Converter
from vidattn.video.process import messages
from vidattn.video.process.channel import Channel, path_of, run_worker
from vidattn.video.process.confinement import confine
from vidattn.video.protocol import Limits
from vidattn.video.readers import READERS
from vidattn.video.readers.pyav import PyAVReader
from vidattn.video.readers.reader import Reader, UnreadableFrame, refuse

MAX_THREADS = 16
"""Threads of a decoder, as FFmpeg chooses them."""
MAX_HOARDED = 1024
"""Pieces of 32 MiB that a rehearsal takes, 32 GiB in all."""


class DecodeWorker:
    """Serves requests about one file at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._file: int | None = None
        self._out_of_memory = "out of memory while decoding"
        self._probes = ProbeCache()
        self._sparse: Reader
        self._dense: Reader

    def serve(self) -> None:
        """Answer until the parent closes its end."""
        while (request := self._channel.receive()) is not None:
            meta, raw, fd = request
            try:
                if meta["kind"] == "open":
                    self._open(meta, fd)
                elif meta["kind"] == "frames":
                    reader = self._dense if meta["dense"] else self._sparse
                    self._frames(reader, np.frombuffer(raw, np.int64))
            except VideoError as error:
                self._channel.send_error(error)
            except MemoryError:
                self._channel.send_error(VideoError(self._out_of_memory, code="E_MEMORY"))
            except (ArithmeticError, LookupError, OSError, ValueError) as error:
                # A file states what nobody has foreseen, such as times beyond all numbers.
                text = f"what it states makes no sense: {str(error) or type(error).__name__}"
                self._channel.send_error(VideoError(text, code="E_DECODE"))
            self._channel.send({"kind": "end", "number": meta.get("number")})

    def _open(self, meta: messages.Meta, fd: int | None) -> None:
        limits = Limits(**meta["limits"])
        threads = limits.threads or min(os.cpu_count() or 1, MAX_THREADS)
        self._channel.cpu_seconds = limits.silence_seconds * threads
        self._channel.renew_cpu_limit()
        self._close()
        self._file, source = fd, path_of(fd)
        asked = READERS.get(meta["reader"], READERS["pyav"])
        if asked.confined:
            confine(limits.memory_bytes, 0)
            if limits.memory_bytes is not None:
                most = f"{limits.memory_bytes / 1e9:.2g} GB"
                self._out_of_memory = f"out of memory while decoding: a decoder may take {most}"
        else:
            confine(None, None)

        def open_source() -> Source:
            return open_container(source, limits)

        _rehearse_fault("open")
        found = self._probe(fd, limits, open_source)
        convert = Converter(*found.stored, found.rotation, meta["short_side"])
        size = (convert.width, convert.height)
        if size[0] * size[1] > limits.max_pixels:
            raise VideoError(
                f"frames of {found.stored[0]}x{found.stored[1]} would become {size[0]}x{size[1]}, "
                f"more than {limits.max_pixels} pixels",
                code="E_TOO_LARGE",
            )
        self._dense = self._sparse = PyAVReader(open_source, found.table, convert)
        if asked != READERS["pyav"]:
            if limits.stream is not None:
                raise refuse(asked.package, "it cannot choose a stream")
            module = import_module(f"vidattn.video.readers.{asked.module}")
            self._sparse = getattr(module, asked.cls)(source, found, size, limits)
            if asked.dense:
                self._dense = self._sparse
        self._send_info(found, size)

    def _probe(self, fd: int | None, limits: Limits, open_source: Callable[[], Source]) -> Probe:
        def make() -> Probe:
            chosen = limits.stream is not None
            return probe(open_source, self._channel.beat, limits.max_frames, chosen=chosen)

        return make() if fd is None else self._probes.get(fd, limits, make)

    def _close(self) -> None:
        """Close the current file."""
        for reader in {self.__dict__.pop(name, None) for name in ("_sparse", "_dense")} - {None}:
            reader.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _send_info(self, found: Probe, size: tuple[int, int]) -> None:
        info = asdict(found.details)
        for name in ("fps", "sar"):
            info[name] = [info[name].numerator, info[name].denominator]
        answer = {
            "kind": "info",
            "info": info,
            "reader": self._sparse.name,
            "size": size,
            "available": found.table.duration,
            "tail": found.tail,
            "holes": found.table.holes,
        }
        self._channel.send(answer, found.table.times.tobytes())

    def _frames(self, reader: Reader, wanted: NDArray[np.int64]) -> None:
        _rehearse_fault("frames")
        for event in reader.frames(wanted):
            if event is None:
                self._channel.beat()
            elif isinstance(event, UnreadableFrame):
                self._channel.send({"kind": "unreadable", "index": event.index})
            else:
                index, frame = event
                self._channel.send({"kind": "frame", "index": index}, frame.data)
            if self._channel.has_request():
                return  # a new request, or the parent is gone


def _rehearse_fault(moment: str) -> None:
    """Crash, spin, sleep or take all memory on demand, for tests of the supervisor."""
    fault = os.environ.get("VIDATTN_REHEARSE", "")
    if fault == f"abort-{moment}":
        os.abort()
    while fault == f"spin-{moment}":
        pass
    if fault == f"sleep-{moment}":
        time.sleep(3600)
    if fault == f"hoard-{moment}":
        hoard = [np.empty(32 << 20, np.uint8) for _ in range(MAX_HOARDED)]
        raise AssertionError(f"{len(hoard)} pieces of memory and no limit")


if __name__ == "__main__":
    run_worker(lambda channel: DecodeWorker(channel).serve())

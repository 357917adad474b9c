"""The decoding process. It imports no torch unless the torchcodec reader was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.types import Area
from vidattn.video.container.frame_table import Source
from vidattn.video.container.open import open_container
from vidattn.video.container.probe import Probe, ProbeCache, probe
from vidattn.video.framing import decoded_side
from vidattn.video.pixels import Converter
from vidattn.video.process import messages
from vidattn.video.process.channel import Channel, path_of, run_worker, source_of
from vidattn.video.process.sandbox import Sandbox
from vidattn.video.protocol import Limits
from vidattn.video.readers import READERS, Reader, ReaderInfo, UnreadableFrame, refuse
from vidattn.video.readers.pyav import PyAVReader


class DecodeWorker:
    """Serves requests about one file at a time."""

    def __init__(self, channel: Channel, sandbox: Sandbox) -> None:
        self._channel, self._sandbox = channel, sandbox
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
                elif meta["kind"] == "sandbox":
                    layers = self._enter_sandbox(READERS["pyav"], Limits(**meta["limits"]))
                    self._channel.send({"kind": "sandbox", "layers": layers})
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
        self._close()
        self._file, source = fd, source_of(fd)
        name = meta["reader"] if meta["reader"] in READERS else "pyav"
        asked = READERS[name]
        layers = self._enter_sandbox(asked, limits)

        def open_source() -> Source:
            return open_container(source, limits)

        found = self._probe(fd, limits, open_source)
        if not found.details.is_plausible:
            raise VideoError("what it states makes no sense", code="E_DECODE")
        side, areas = meta["short_side"], tuple(map(Area.parse, meta["areas"]))
        if side is not None and areas:
            side = decoded_side((found.details.width, found.details.height), areas, side)
        convert = Converter(*found.stored, found.rotation, side)
        size = (convert.width, convert.height)
        if size[0] * size[1] > limits.max_pixels:
            raise VideoError(
                f"frames of {found.stored[0]}x{found.stored[1]} would become {size[0]}x{size[1]}, "
                f"more than {limits.max_pixels} pixels",
                code="E_TOO_LARGE",
            )
        self._dense = self._sparse = PyAVReader(open_source, found.table, convert)
        if name != "pyav":
            if limits.stream is not None:
                raise refuse(asked.package, "it cannot choose a stream")
            module = import_module(f"vidattn.video.readers.{name}")
            assert fd is not None
            self._sparse = getattr(module, asked.cls)(path_of(fd), found, size, limits)
            if asked.dense:
                self._dense = self._sparse
        self._send_info(found, name, size, layers)

    def _enter_sandbox(self, asked: ReaderInfo, limits: Limits) -> list[str]:
        """Load what the reader needs, and give up the right to do anything else."""
        if asked.by_path:
            with suppress(ImportError, OSError, RuntimeError):  # the reader will say so
                import_module(asked.library)
        if asked.confined and limits.memory_bytes is not None:
            most = f"{limits.memory_bytes / 1e9:.2g} GB"
            self._out_of_memory = f"out of memory while decoding: a decoder may take {most}"
        return self._sandbox.enter(
            limits,
            memory_bytes=limits.memory_bytes if asked.confined else None,
            file_bytes=0 if asked.confined else None,
            path=self._file if asked.by_path else None,
        )

    def _probe(self, fd: int | None, limits: Limits, open_source: Callable[[], Source]) -> Probe:
        def make() -> Probe:
            chosen = limits.stream is not None
            return probe(open_source, self._channel.beat, limits.max_frames, chosen=chosen)

        return make() if fd is None else self._probes.get(fd, limits, make)

    def _close(self) -> None:
        for reader in {self.__dict__.pop(name, None) for name in ("_sparse", "_dense")} - {None}:
            reader.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _send_info(
        self, found: Probe, reader: str, size: tuple[int, int], layers: list[str]
    ) -> None:
        info = asdict(found.details)
        for name in ("fps", "sar"):
            info[name] = [info[name].numerator, info[name].denominator]
        answer = {
            "kind": "info",
            "info": info,
            "reader": reader,
            "size": size,
            "sandbox": layers,
            "available": found.table.duration,
            "tail": found.tail,
            "holes": found.table.holes,
        }
        self._channel.send(answer, found.table.times.tobytes())

    def _frames(self, reader: Reader, wanted: NDArray[np.int64]) -> None:
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


if __name__ == "__main__":
    run_worker(lambda channel, sandbox: DecodeWorker(channel, sandbox).serve())

"""A decoding process that fails on demand: `run("abort-open")`, or `rehearse` of the helpers."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from vidattn.video.process import sandbox
from vidattn.video.process.channel import Channel, run_worker
from vidattn.video.process.worker import DecodeWorker

MAX_HOARDED = 1024
"""Pieces of 32 MiB, 32 GiB in all."""


def fail(kind: str, channel: Channel) -> None:
    """Crash, spin, sleep, take all memory, attack, or show signs of life."""
    if kind == "abort":
        os.abort()
    while kind == "spin":
        pass
    if kind == "sleep":
        time.sleep(3600)
    if kind == "hoard":
        hoard = [np.empty(32 << 20, np.uint8) for _ in range(MAX_HOARDED)]
        raise AssertionError(f"{len(hoard)} pieces of memory and no limit")
    if kind == "fork" and os.fork() == 0:
        os._exit(0)
    while kind in {"beat", "flood"}:
        channel.send({"kind": "beat"})
        time.sleep(0.05 if kind == "beat" else 0)


def run(fault: str) -> None:
    """The main function of the process; fault: KIND-open, KIND-frames, KIND-end, or no-LAYER."""
    kind, _, moment = fault.partition("-")

    class FaultyWorker(DecodeWorker):
        def _probe(self, *arguments: Any) -> Any:
            if moment == "open":
                fail(kind, self._channel)
            return super()._probe(*arguments)

        def _frames(self, *arguments: Any) -> None:
            if moment == "frames":
                fail(kind, self._channel)
            super()._frames(*arguments)

        def serve(self) -> None:
            receive, requests = self._channel.receive, 0

            def next_request() -> Any:
                nonlocal requests
                requests += 1
                if moment == "end" and requests == 2:
                    fail(kind, self._channel)
                return receive()

            self._channel.receive = next_request  # type: ignore[method-assign]
            super().serve()

    if moment == "landlock":
        sandbox.restrict_files = lambda readable: False
    if moment == "seccomp":
        sandbox.filter_system_calls = lambda *, by_path: False
    run_worker(lambda channel, box: FaultyWorker(channel, box).serve())

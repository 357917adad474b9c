"""Decoding processes that are kept from one file to the next."""

from __future__ import annotations

import weakref
from typing import Any

from vidattn.video.process.child import WorkerProcess


class ProcessPool:
    """Keeps decoding processes from one file to the next, where starting them dominates.

    Results are those of fresh processes: an error in a kept process is retried in a fresh one (by
    `SupervisedVideo`), and a process ends after `FILES` files. A copy in another process, forked or
    pickled, starts empty. size: number of processes kept.
    """

    FILES = 200

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._processes: list[WorkerProcess] = []
        self._finalizer = weakref.finalize(self, _kill_all, self._processes)

    def take(self, key: object) -> WorkerProcess | None:
        """A process with this key that the caller then owns; None if no usable one is there."""
        while process := next((p for p in reversed(self._processes) if p.key == key), None):
            self._processes.remove(process)
            if process.usable:
                return process
            process.kill()
        return None

    def put(self, process: WorkerProcess) -> None:
        """Keep a process for later, or end it if it is old or unusable, and one too many."""
        process.files += 1
        if process.files >= self.FILES or not process.usable:
            process.kill()
            return
        self._processes.append(process)
        while len(self._processes) > self._size:
            self._processes.pop(0).kill()

    def close(self) -> None:
        """End the kept processes; the next file starts a new one."""
        _kill_all(self._processes)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProcessPool, (self._size,)


def _kill_all(processes: list[WorkerProcess]) -> None:
    while processes:
        processes.pop().kill()

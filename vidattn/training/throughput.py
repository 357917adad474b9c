"""The throughput of a training run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from vidattn.data.batch import Batch
from vidattn.training.trainer import translate_oom

RECENT = 100
"""Steps that the estimate of the time left goes by."""


class Throughput:
    """Measures speed, and the fraction of time spent waiting for data."""

    def __init__(self) -> None:
        self._began, self._waited, self.clips = time.monotonic(), 0.0, 0
        self._lap = (self._began, 0.0)
        self._asked, self._validation = self._began, 0.0
        self._steps: deque[float] = deque(maxlen=RECENT)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time a validation, for the estimate of what is left."""
        began = time.monotonic()
        yield
        self._validation = time.monotonic() - began

    def end_step(self, clips: int) -> None:
        """Count a step of so many clips."""
        self.clips += clips
        self._steps.append(time.monotonic() - self._asked)

    def estimate(self, steps: int, validations: int) -> float:
        """Seconds that so many steps and validations will take, going by the last ones.

        The first step of a run does not count: processes start and files are opened in it.
        """
        recent = list(self._steps)[1:] or list(self._steps)
        return sum(recent) / len(recent) * steps + self._validation * validations

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; the time until each arrives counts as waiting."""
        while True:
            asked = self._asked = time.monotonic()
            with translate_oom():
                batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            yield batch

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._began, 1e-9)

    @property
    def waiting(self) -> float:
        """Fraction of the time, 0 to 1."""
        return min(1.0, self._waited / self.seconds)

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, and the fraction of them spent waiting."""
        now = time.monotonic()
        began, waited = self._lap
        self._lap = (now, self._waited)
        seconds = max(now - began, 1e-9)
        return seconds, min(1.0, (self._waited - waited) / seconds)

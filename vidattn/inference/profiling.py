"""Time and memory that a run took."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Sums seconds by name, from a monotonic clock."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of a `with` block to `name`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time spent waiting for them counts as `name`."""
        iterator = iter(items)
        while True:
            with self(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def report(self) -> dict[str, float]:
        """Seconds by name, `total_s` since the beginning, and `peak_rss_mb` of this process."""
        seconds = {name: round(value, 3) for name, value in sorted(self._seconds.items())}
        return seconds | {
            "total_s": round(time.perf_counter() - self._begin, 3),
            "peak_rss_mb": peak_rss_mb(),
        }


def peak_rss_mb() -> float:
    """Peak memory of this process, in units of 1e6 bytes."""
    import resource  # Linux and macOS only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)

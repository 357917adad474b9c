"""Work that runs ahead of whoever waits for it, by a bounded lead, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 0.5
"""How long an early end waits for the item in hand before it interrupts it."""


def prefetch(
    items: Iterable[T], is_main: int, interrupt: Callable[[], None]
) -> Generator[T, None, None]:
    """The same items, up to `is_main` of them made before they are asked for.

    Errors come where their item would have. When whoever iterates stops early, at a `close` or an
    exception of their own, the thread has ended before they go on: should the item in hand take
    longer than a moment, `interrupt` is called, which must make it fail soon.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    waiting: deque[Future[Any]] = deque()
    try:
        for _ in range(max(is_main, 1)):
            waiting.append(pool.submit(next, iterator, end))
        while (item := waiting[0].result()) is not end:
            waiting.popleft()
            waiting.append(pool.submit(next, iterator, end))
            yield item
    finally:
        running = [future for future in waiting if not future.cancel()]
        if wait(running, PATIENCE_SECONDS).not_done:
            interrupt()
        pool.shutdown()
        if isinstance(iterator, Generator):
            iterator.close()

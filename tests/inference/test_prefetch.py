"""A thread that works ahead stays within its lead, passes errors on and ends with its consumer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vidattn.inference.prefetch import prefetch


def nothing() -> None:
    pass


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")}


def test_items_come_in_order_and_the_lead_is_kept() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(40):
            made += 1
            yield number

    seen = []
    for number in prefetch(items(), 3, nothing):
        seen.append(number)
        assert made <= number + 1 + 3
    assert seen == list(range(40))
    assert not threads()


def test_items_are_made_while_nobody_asks() -> None:
    ready = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        yield 1
        ready.set()
        yield 2

    coming = prefetch(items(), 2, nothing)
    assert next(coming) == 0
    assert ready.wait(5)
    assert list(coming) == [1, 2]


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("one")

    coming = prefetch(items(), 5, nothing)
    assert next(coming) == 0
    with pytest.raises(ValueError, match="one"):
        next(coming)
    assert not threads()


def test_stopping_early_ends_the_thread_and_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    coming = prefetch(items(), 4, nothing)
    assert next(coming) == 0
    coming.close()
    assert closed.is_set()
    assert not threads()


def test_an_item_that_takes_for_ever_is_interrupted() -> None:
    freed = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        freed.wait(60)
        raise OSError("interrupted")

    coming = prefetch(items(), 1, freed.set)
    assert next(coming) == 0
    begin = time.monotonic()
    coming.close()
    assert time.monotonic() - begin < 10
    assert not threads()

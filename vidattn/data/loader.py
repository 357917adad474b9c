"""Examples made ahead of time by other processes, which may die.

An example depends on its number alone. So what a dead process took with it is made again by others,
and nobody can tell afterwards.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from vidattn.errors import DataError, VidattnError

T = TypeVar("T")
DEATHS = 3
"""So many processes may die of one example."""
SILENCE = 300.0
"""Seconds without any example after which the processes that make them count as dead."""


def load_in_order(
    source: Dataset[T],
    numbers: range,
    workers: int,
    ahead: int | None = None,
    timeout: float = SILENCE,
) -> Iterator[T]:
    """The examples of these numbers, made by `workers` processes ahead of time, or by this one.

    ahead: how many each of them is ahead by, two unless told. When one dies, or when none of them
    is heard of for `timeout` seconds, those that were under way are made again, one at a time by a
    single process, which tells who is deadly. Raises DataError when three processes have died of
    the same one.
    """
    if not workers:
        yield from (source[number] for number in numbers)
        return
    deaths, honest = 0, _PlainErrors(source)
    while numbers:
        if deaths:
            due = numbers[: workers * (ahead or 2)]
            made, processes = _started(honest, due, 1, 1)
        else:
            due = numbers
            made, processes = _started(honest, due, min(workers, len(due)), ahead)
        for _ in due:
            silent = threading.Event()
            try:
                with _ended_after(timeout, processes, silent):
                    example = next(made)
            except (RuntimeError, OSError, EOFError) as error:
                if not _is_death(error):
                    raise
                deaths += 1
                _end(processes)
                if deaths == DEATHS:
                    said = f"not heard of for {timeout:g} s" if silent.is_set() else str(error)
                    raise _given_up(numbers[0], said) from error
                break
            if isinstance(example, VidattnError):
                raise example
            deaths, numbers = 0, numbers[1:]
            yield example
        del made  # what is left of the processes goes before others start


class _PlainErrors(Dataset[T | VidattnError]):
    """Hands errors over as they are: else they arrive with a traceback for a message."""

    def __init__(self, source: Dataset[T]) -> None:
        self.source = source

    def __getitem__(self, number: int) -> T | VidattnError:
        try:
            return self.source[number]
        except VidattnError as error:
            return error


def _started(
    source: Dataset[T], numbers: range, workers: int, ahead: int | None
) -> tuple[Iterator[T], set[BaseProcess]]:
    """The examples as they come, and the processes that make them."""
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=ahead,
        generator=torch.Generator(),  # else starting it draws from the generator of the run
    )
    with _forkable_pictures(), _deaths_unannounced():
        before = set(multiprocessing.active_children())
        made = iter(loader)
        return made, set(multiprocessing.active_children()) - before


@contextmanager
def _ended_after(
    seconds: float, processes: Iterable[BaseProcess], silent: threading.Event
) -> Iterator[None]:
    """End the processes, which is then noticed as a death, if what is done within takes longer.

    A timeout of torch's own would have it look for deaths no sooner than that.
    """

    def end() -> None:
        silent.set()
        _end(processes)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(processes: Iterable[BaseProcess]) -> None:
    """By the one signal that also those hear that stand still."""
    for process in processes:
        process.kill()


@contextmanager
def _forkable_pictures() -> Iterator[None]:
    """Let OpenCV end its threads: a forked process would wait for them for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _deaths_unannounced() -> Iterator[None]:
    """Keep torch from raising, wherever this process may be, in the moment that a worker dies.

    It is noticed all the same, when the example that it was to make is due.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _is_death(error: Exception) -> bool:
    """Whether a worker has died: torch says so, or something it was to hand over is gone."""
    text = str(error)
    if text.startswith("Caught "):  # what a worker, alive and well, has raised
        return False
    if isinstance(error, RuntimeError):
        return "DataLoader worker" in text
    return isinstance(error, ConnectionError | FileNotFoundError | EOFError)


def _given_up(number: int, said: str) -> DataError:
    return DataError(
        f"number {number} of what is read ahead: {DEATHS} times a process has died of it; the "
        f"last: {said}",
        hint="mostly memory runs out: fewer processes need less (eval --workers N, train --set "
        "data.workers=N); 0 reads in the process itself",
    )

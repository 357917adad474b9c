"""Samples prefetched by worker processes, which may die.

A sample depends on its number alone: another process makes again, unnoticed, those that a dead one
was making.
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
MAX_DEATHS = 3
"""Processes that may die of one sample."""
SILENCE = 300.0
"""Seconds without any sample after which the processes that make them count as dead."""


def load_in_order(
    source: Dataset[T],
    numbers: range,
    workers: int,
    prefetch: int | None = None,
    timeout: float = SILENCE,
) -> Iterator[T]:
    """The samples of these numbers, made ahead of time by `workers` processes, or by this one.

    prefetch: samples that each is ahead, two by default. When one dies, or none delivers for
    `timeout` seconds, the samples in progress are made again, one at a time by a single process,
    which shows the deadly one. Raises DataError when three processes have died of the same one.
    """
    if not workers:
        yield from (source[number] for number in numbers)
        return
    deaths, plain = 0, _ErrorsAsValues(source)
    while numbers:
        due = numbers[: workers * (prefetch or 2)] if deaths else numbers
        count = 1 if deaths else min(workers, len(due))
        samples, processes = _start_workers(plain, due, count, 1 if deaths else prefetch)
        for _ in due:
            silent = threading.Event()
            try:
                with _kill_after(timeout, processes, silent):
                    sample = next(samples)
            except (RuntimeError, OSError, EOFError) as error:
                if not _is_death(error):
                    raise
                deaths += 1
                _kill(processes)
                if deaths == MAX_DEATHS:
                    reason = f"not heard of for {timeout:g} s" if silent.is_set() else str(error)
                    raise DataError(
                        f"sample {numbers[0]}: {MAX_DEATHS} worker processes have died of it; "
                        f"the last: {reason}",
                        hint="mostly memory runs out: fewer processes need less (eval --workers N, "
                        "train --set data.workers=N); 0 reads in the process itself",
                    ) from error
                break
            if isinstance(sample, VidattnError):
                raise sample
            deaths, numbers = 0, numbers[1:]
            yield sample
        del samples  # ends its processes before others start


class _ErrorsAsValues(Dataset[T | VidattnError]):
    """Returns our errors instead of raising them; torch would add a traceback to their message."""

    def __init__(self, source: Dataset[T]) -> None:
        self.source = source

    def __getitem__(self, number: int) -> T | VidattnError:
        try:
            return self.source[number]
        except VidattnError as error:
            return error


def _start_workers(
    source: Dataset[T], numbers: range, workers: int, prefetch: int | None
) -> tuple[Iterator[T], set[BaseProcess]]:
    """The samples in order, and the processes that make them."""
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=prefetch,
        generator=torch.Generator(),  # else starting it draws from the generator of the run
    )
    with _fork_safe_opencv(), _ignore_deaths():
        before = set(multiprocessing.active_children())
        samples = iter(loader)
        return samples, set(multiprocessing.active_children()) - before


@contextmanager
def _kill_after(
    seconds: float, processes: Iterable[BaseProcess], silent: threading.Event
) -> Iterator[None]:
    """Kill the processes, which then counts as a death, when the block takes longer.

    A timeout of torch's own would delay its checks for deaths as long.
    """

    def kill() -> None:
        silent.set()
        _kill(processes)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill(processes: Iterable[BaseProcess]) -> None:
    """SIGKILL also ends stopped processes."""
    for process in processes:
        process.kill()


@contextmanager
def _fork_safe_opencv() -> Iterator[None]:
    """End the threads of OpenCV, for which a forked process would wait for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _ignore_deaths() -> Iterator[None]:
    """Keep torch from raising anywhere in this process in the moment that a worker dies.

    The death is noticed when the sample of the worker is due.
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
    """Whether a worker has died: torch reports it, or something it shared is gone."""
    text = str(error)
    if text.startswith("Caught "):  # an error that a living worker has raised
        return False
    if isinstance(error, RuntimeError):
        return "DataLoader worker" in text
    return isinstance(error, ConnectionError | FileNotFoundError | EOFError)

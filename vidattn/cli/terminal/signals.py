"""Signals that end a command. Loads quickly, before all other modules."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from vidattn.errors import StopWork
from vidattn.io.signals import STOPPING


class StopRequested(StopWork):
    """A signal asks the process to end; the exit code is 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.reader_gone = number == signal.SIGPIPE
        """Whether standard output is closed."""


def stop_on_signals() -> None:
    """Turn signals into `StopRequested`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        listen(end_at_once)
        raise StopRequested(number)

    listen(stop)


def listen(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    """Handle all STOPPING signals, but those that the process ignores, as under nohup."""
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _without_terminal(handler) if callable(handler) else handler)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process as the signal does by default, without temporary files."""
    signal.signal(number, signal.SIG_DFL)
    if (files := sys.modules.get("vidattn.io.files")) is not None:
        files.discard_parts()
    os.kill(os.getpid(), number)


def _without_terminal(
    handler: Callable[[int, FrameType | None], Any],
) -> Callable[[int, FrameType | None], None]:
    """The handler, after which a terminal that is gone takes whatever is printed."""
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def handle(number: int, frame: FrameType | None) -> None:
        if terminals and number == getattr(signal, "SIGHUP", None):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in terminals:
                os.dup2(nowhere, terminal)
        handler(number, frame)

    return handle


class StopFlag:
    """Remembers a signal, for work that stops at the next safe point."""

    def __init__(self) -> None:
        self.number = 0
        """Number of the signal; 0 for none."""

    def listen(self) -> None:
        """Remember signals from now on; a second one ends the process at once.

        Under torchrun, which repeats a Ctrl-C that the process already has, the second is ignored.
        May be called repeatedly; after a signal it does nothing.
        """
        if self.number:
            return

        def remember(number: int, frame: FrameType | None) -> None:
            self.number = number
            listen(signal.SIG_IGN if "TORCHELASTIC_RUN_ID" in os.environ else end_at_once)

        listen(remember)

    def __call__(self) -> int:
        return self.number

"""Signals that end a command. Loads quickly, before all other modules."""

from __future__ import annotations

import os
import signal
from types import FrameType

from vidattn.errors import StopWork


class StopRequested(StopWork):
    """A signal asks the process to end; the exit code is 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.reader_gone = number == signal.SIGPIPE
        """Whether standard output is closed."""


def stop_on_signals() -> None:
    """Turn SIGINT and SIGTERM into `StopRequested`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise StopRequested(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


class StopFlag:
    """Remembers a signal, for work that stops at the next safe point."""

    def __init__(self) -> None:
        self.number = 0
        """Number of the signal; 0 for none."""

    def listen(self) -> None:
        """Remember SIGINT and SIGTERM from now on; a second one ends the process at once.

        Under torchrun, which repeats a Ctrl-C that the process already has, the second is ignored.
        May be called repeatedly; after a signal it does nothing.
        """
        if self.number:
            return
        then = signal.SIG_IGN if "TORCHELASTIC_RUN_ID" in os.environ else signal.SIG_DFL

        def remember(number: int, frame: FrameType | None) -> None:
            self.number = number
            signal.signal(signal.SIGINT, then)
            signal.signal(signal.SIGTERM, then)

        signal.signal(signal.SIGINT, remember)
        signal.signal(signal.SIGTERM, remember)

    def __call__(self) -> int:
        return self.number

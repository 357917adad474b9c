"""Signals that ask a command to end. Loaded before anything that takes time to load."""

from __future__ import annotations

import os
import signal
from types import FrameType

from vidattn.errors import StopWork


class StopRequested(StopWork):
    """A signal asked the process to end. Exit code: 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.reader_gone = number == signal.SIGPIPE
        """Whether nobody reads standard output any more."""


def stop_on_signals() -> None:
    """Turn SIGINT and SIGTERM into `StopRequested`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise StopRequested(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


class StopFlag:
    """Remembers the signal that asks to stop, for work that must come to a point where it can."""

    def __init__(self) -> None:
        self.number = 0
        """Of the signal; 0 for none."""

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM are remembered; a second one ends the process at once.

        torchrun hands on a Ctrl-C that the process has got already: there a second one is nothing.
        May be called again and again; once a signal has come, nothing changes any more.
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

"""Signals that ask a command to end. Loaded before anything that takes time to load."""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(BaseException):
    """A signal asked the process to end. Exit code: 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """Turn SIGINT and SIGTERM into `Stopped`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

"""What reaches a person: results on stdout, everything else on stderr, one place for both."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console as RichConsole
from rich.text import Text

from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import OutputError, VidattnError
from vidattn.output.text import round_ticks

SILENCE = 2.0
"""Seconds that pass at least between two lines of progress."""


def printable(text: str) -> str:
    """`text` with everything escaped that could steer a terminal or break a line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Plain(RichConsole):
    """Lets a reader that has gone be noticed, instead of ending the process with code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Console:
    """The two streams of a command, and how much it talks."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.err = _Plain(file=sys.stderr, highlight=False, soft_wrap=True)
        self.out = _Plain(file=sys.stdout, highlight=False, soft_wrap=True)

    @staticmethod
    def lively(console: RichConsole) -> bool:
        """Whether a stream is a terminal that can do more than print lines."""
        return console.is_terminal and not console.is_dumb_terminal

    def emit(self, line: str | Text = "") -> None:
        """One line of results. A reader that has gone (`| head`) ends the process quietly."""
        text = line if isinstance(line, Text) else Text(line)
        try:
            self.out.print(text)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget(sys.stdout)
            raise StopRequested(signal.SIGPIPE) from None
        except OSError as error:
            _forget(sys.stdout)
            raise OutputError(f"standard output: {error.strerror}") from None

    def lines(self, lines: Iterable[str | Text]) -> None:
        """Several lines of results."""
        for line in lines:
            self.emit(line)

    def note(self, message: str) -> None:
        """Something worth knowing, on stderr, unless quiet."""
        if not self.quiet:
            self._say(("note: ", "bold"), message)

    def warn(self, message: str) -> None:
        """Something that went wrong without stopping the work."""
        self._say(("warning: ", "bold yellow"), message)

    def fail(self, error: VidattnError) -> None:
        """An error and its hint."""
        self._say(("error: ", "bold red"), error.message)
        if error.hint:
            self._say(("hint: ", "bold"), error.hint)

    def passed_on(self, text: str) -> None:
        """What another process has said on stderr."""
        try:
            self.err.file.write(text)
            self.err.file.flush()
        except OSError:
            _forget(sys.stderr)

    def _say(self, tag: tuple[str, str], message: str) -> None:
        """A line on stderr; when nobody can hear it, the work goes on."""
        try:
            self.err.print(Text.assemble(tag, printable(message)))
        except OSError:
            _forget(sys.stderr)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[ProgressBar]:
        """A bar with the time left on a terminal, else a line for every tenth, on stderr."""
        if self.quiet:
            yield ProgressBar(total)
        elif self.err.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self.err,
                transient=True,
            )
            with bar:
                task = bar.add_task(printable(title), total=total)
                yield ProgressBar(total, advance=lambda: bar.advance(task))
        else:
            yield PlainProgress(total, printable(title), self.err)


class ProgressBar:
    """Counts finished pieces of work."""

    def __init__(self, total: int, advance: object = None) -> None:
        self.total = total
        self.done = 0
        self._advance = advance

    def step(self) -> None:
        """One piece more is done."""
        self.done += 1
        if callable(self._advance):
            self._advance()


class PlainProgress(ProgressBar):
    """Prints a line whenever another tenth is done, with the time left; quick work stays silent."""

    def __init__(self, total: int, title: str, err: RichConsole) -> None:
        super().__init__(total)
        self._title, self._err = title, err
        self._begin = self._last = time.monotonic()

    def step(self) -> None:
        """One piece more is done."""
        tenth = self.done * 10 // self.total
        super().step()
        now = time.monotonic()
        if self.done * 10 // self.total > tenth and now - self._last >= SILENCE:
            self._last = now
            left = (now - self._begin) / self.done * (self.total - self.done)
            self._err.print(
                Text(f"  {self._title}: {self.done}/{self.total}, {format_clock(left)} left")
            )


def format_clock(seconds: float, *, decimals: int = 0) -> str:
    """Seconds as HH:MM:SS, with a fraction if asked for."""
    units = round_ticks(seconds, decimals)
    whole, fraction = divmod(units, 10**decimals)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{fraction:0{decimals}d}" if decimals else text


def _forget(stream: TextIO) -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush is silent."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return

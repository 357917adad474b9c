"""Terminal output: results on stdout, everything else on stderr."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console as RichConsole
from rich.text import Text

from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import OutputError, VidattnError
from vidattn.output.text import format_clock

PROGRESS_INTERVAL = 2.0
"""Minimum seconds between two lines of progress."""


def printable(text: str) -> str:
    """`text` with control characters and line breaks escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _PipeConsole(RichConsole):
    """Raises BrokenPipeError for a closed pipe, instead of exiting with code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _LastingStream:
    """A stream whose terminal may be closed: what is written from then on is discarded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            _discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _discard(self._stream)


class Console:
    """The output streams of a command. quiet: print results, warnings and errors only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        lasting = cast("TextIO", _LastingStream(sys.stderr))
        self.err = RichConsole(file=lasting, highlight=False, soft_wrap=True)
        self.out = _PipeConsole(file=sys.stdout, highlight=False, soft_wrap=True)

    @staticmethod
    def supports_live(console: RichConsole) -> bool:
        """Whether a stream is a terminal that can erase lines."""
        return console.is_terminal and not console.is_dumb_terminal

    def emit(self, line: str | Text = "") -> None:
        """Print one line of results. A closed pipe (`| head`) ends the process quietly, a closed
        terminal as its signal does."""
        text = line if isinstance(line, Text) else Text(line)
        try:
            self.out.print(text)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard(sys.stdout)
            raise StopRequested(signal.SIGPIPE) from None
        except OSError as error:
            closed = error.errno == errno.EIO and _is_terminal(sys.stdout)
            _discard(sys.stdout)
            if closed:
                raise StopRequested(signal.SIGHUP) from None
            raise OutputError(f"standard output: {error.strerror}") from None

    def lines(self, lines: Iterable[str | Text]) -> None:
        """Print lines of results."""
        for line in lines:
            self.emit(line)

    def note(self, message: str) -> None:
        """Print a note on stderr, unless quiet."""
        if not self.quiet:
            self._say(("note: ", "bold"), message)

    def warn(self, message: str) -> None:
        """Print a warning on stderr: a problem that does not stop the work."""
        self._say(("warning: ", "bold yellow"), message)

    def fail(self, error: VidattnError, *, hint: bool = True) -> None:
        """Print an error, and its hint unless that was given before, on stderr; a list in the
        message has a line per entry."""
        self._say(("error: ", "bold red"), *error.message.split("\n  "))
        if error.hint and hint:
            self._say(("hint: ", "bold"), error.hint)

    def _say(self, tag: tuple[str, str], *lines: str) -> None:
        """Print lines on stderr, indented from the second on; if it is closed, the work goes on."""
        self.err.print(Text.assemble(tag, "\n  ".join(map(printable, lines))))

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[ProgressBar]:
        """A progress bar on a terminal, elsewhere a line per 10 %, on stderr."""
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
    """Counts finished steps."""

    def __init__(self, total: int, advance: object = None) -> None:
        self.total = total
        self.done = 0
        self._advance = advance

    def step(self) -> None:
        """Count one step."""
        self.done += 1
        if callable(self._advance):
            self._advance()


class PlainProgress(ProgressBar):
    """Prints a line with the time left per 10 % of progress; quick work prints nothing."""

    def __init__(self, total: int, title: str, err: RichConsole) -> None:
        super().__init__(total)
        self._title, self._err = title, err
        self._begin = self._last = time.monotonic()

    def step(self) -> None:
        """Count one step."""
        tenth = self.done * 10 // self.total
        super().step()
        now = time.monotonic()
        if self.done * 10 // self.total > tenth and now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            left = (now - self._begin) / self.done * (self.total - self.done)
            self._err.print(
                Text(f"  {self._title}: {self.done}/{self.total}, {format_clock(left)} left")
            )


def _is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal, also one that is closed, or another device."""
    try:
        return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _discard(stream: TextIO) -> None:
    """Discard buffered output, so that the last flush of the interpreter does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return

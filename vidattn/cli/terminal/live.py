"""A timeline while it is being made: what a terminal shows, and erases when the result is there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.text import Text

from vidattn.cli.terminal.console import Console, format_clock, printable
from vidattn.cli.terminal.progress import Step
from vidattn.cli.terminal.tracks import TerminalStyle, doubtful, row, tracks
from vidattn.inference.batch.events import BatchEvent
from vidattn.inference.events import Scored, Started
from vidattn.output.palette import label_colors
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.types import Window

PAUSE = 0.2
"""Seconds between two pictures."""
TRACKS = 6
CLOSED = 3
"""Segments that are shown beside the one under way."""


@contextmanager
def watching(
    desk: Console, started: Started, labels: Sequence[str], threshold: float
) -> Iterator[Step]:
    """Show how far the work is: what was found so far on a terminal, else a line now and then."""
    if desk.quiet or not desk.lively(desk.err):
        with desk.progress(started.source, len(started.windows)) as track:
            yield lambda _: track.step()
        return
    look = TerminalStyle.of(desk.err)
    with Live(
        console=desk.err,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as screen:
        yield _Showing(screen, _Found(started, labels, threshold), look).step


class _Found:
    """Segments so far: stretches of windows with one strongest label, before any smoothing."""

    def __init__(self, started: Started, labels: Sequence[str], threshold: float) -> None:
        self.started, self.done = started, 0
        self.segments: list[Segment] = []
        self._labels, self._threshold = labels, threshold
        self._count = 0

    def add(self, event: Scored) -> None:
        """The next window."""
        self.done += 1
        if event.scores is None:
            return
        best = int(np.argmax(event.scores))
        score = float(event.scores[best])
        label = best if score >= self._threshold else None
        last = self.segments[-1] if self.segments else None
        if last is not None and last.window.start < event.window.start < last.window.stop:
            last = replace(last, window=Window(last.window.start, event.window.start))
        if last is not None and last.label_id == label and event.window.start <= last.window.stop:
            self._count += 1
            mean = last.score + (score - last.score) / self._count
            whole = Window(last.window.start, event.window.stop)
            self.segments[-1] = replace(last, window=whole, score=mean)
            return
        if last is not None:
            self.segments[-1] = last
        name = BACKGROUND if label is None else self._labels[label]
        self._count = 1
        self.segments.append(Segment(event.window, name, score, label))


class _Showing:
    """Draws what was found, a few times a second."""

    def __init__(self, screen: Live, found: _Found, look: TerminalStyle) -> None:
        self._screen, self._found, self._look = screen, found, look
        self._begin = self._last = time.monotonic()

    def step(self, event: BatchEvent) -> None:
        """One step more is done."""
        assert isinstance(event, Scored)
        self._found.add(event)
        now = time.monotonic()
        if now - self._last >= PAUSE:
            self._last = now
            self._screen.update(picture(self._found, now - self._begin, self._look), refresh=True)


def picture(found: _Found, seconds: float, look: TerminalStyle) -> Group:
    """The tracks so far, the last segments, and how far and how fast the work is."""
    started = found.started
    windows = started.windows
    whole = Window(windows[0].start, max(window.stop for window in windows))
    title = f"  {printable(started.source)}"
    lines = [look.label(title, look.width - doubtful(title), "bold")]
    lines += tracks(found.segments, whole, look, TRACKS)
    hues = label_colors(found.segments)
    recent = found.segments[-CLOSED - 1 :]
    names = [printable(segment.label) for segment in recent]
    room = max(map(cell_len, names), default=0)
    room = min(room, max(look.width - 46 - doubtful(*names), 10))
    for number, segment in enumerate(recent, 1):
        closed = number < len(recent)
        lines.append(row(segment, room, 0, hues[segment.label_id], look, closed=closed))
    lines.append(_pace(found, whole, seconds, look))
    return Group(*lines)


def _pace(found: _Found, whole: Window, seconds: float, look: TerminalStyle) -> Text:
    """How many windows, how fast, how long still."""
    total = len(found.started.windows)
    share = found.done / total
    words = [f"{found.done}/{total} windows"]
    if found.segments and seconds > 0:
        seen = found.segments[-1].window.stop - whole.start
        words.append(f"{seen / seconds:.3g}x real time")
    if share > 0:
        words.append(f"{format_clock(seconds / share * (1 - share))} left")
    line = Text("  " + "  ".join(words), "dim")
    line.truncate(look.width, overflow="crop")
    return line

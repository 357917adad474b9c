"""Live view of a segmentation: a terminal shows the timeline so far, and erases it at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePath

import numpy as np
from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.text import Text

from vidattn.cli.terminal.console import Console, printable
from vidattn.cli.terminal.progress import Step
from vidattn.cli.terminal.timeline import TerminalStyle, draw_tracks, segment_row, slack
from vidattn.inference.batch.events import BatchEvent
from vidattn.inference.events import Scored, Started
from vidattn.output.text import format_clock
from vidattn.timeline.palette import LabelColors, colors_of
from vidattn.timeline.segments import BACKGROUND, Segment
from vidattn.types import Window

PAUSE = 0.2
"""Seconds between two updates."""
TRACKS = 6
FINISHED = 3
"""Number of finished segments to show before the current one."""


@contextmanager
def watch_windows(
    console: Console, started: Started, position: str, labels: Sequence[str], threshold: float
) -> Iterator[Step]:
    """Show the timeline so far on a terminal, elsewhere a line of progress now and then.

    position: how far the run is, where it has more inputs than this.
    """
    if console.quiet or not console.supports_live(console.err):
        title = f"{position}: {started.source}" if position else started.source
        with console.progress(title, len(started.windows)) as bar:
            yield lambda _: bar.step()
        return
    style = TerminalStyle.of(console.err)
    with Live(
        console=console.err,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as screen:
        partial = _PartialTimeline(started, labels, threshold)
        yield _LiveView(screen, partial, style, position).step


class _PartialTimeline:
    """Segments so far: runs of windows with the same best label, without smoothing."""

    def __init__(self, started: Started, labels: Sequence[str], threshold: float) -> None:
        self.started, self.done = started, 0
        self.segments: list[Segment] = []
        self._labels, self._threshold = labels, threshold
        self._count = 0
        self._seconds = np.zeros(len(labels))

    @property
    def colors(self) -> LabelColors:
        """The colors of the labels so far; in the end, those of the timeline."""
        return colors_of(self._labels, self._seconds)

    def add(self, event: Scored) -> None:
        self.done += 1
        if event.scores is None:
            return
        best = int(np.argmax(event.scores))
        self._seconds[best] += event.window.duration
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


class _LiveView:
    """Draws a partial timeline a few times per second."""

    def __init__(
        self, screen: Live, partial: _PartialTimeline, style: TerminalStyle, position: str
    ) -> None:
        self._screen, self._partial, self._style = screen, partial, style
        self._position = position
        self._begin = self._last = time.monotonic()

    def step(self, event: BatchEvent) -> None:
        assert isinstance(event, Scored)
        self._partial.add(event)
        now = time.monotonic()
        if now - self._last >= PAUSE:
            self._last = now
            seconds, style = now - self._begin, self._style
            drawn = draw_progress(self._partial, seconds, style, self._position)
            self._screen.update(drawn, refresh=True)


def draw_progress(
    partial: _PartialTimeline, seconds: float, style: TerminalStyle, position: str = ""
) -> Group:
    """The tracks so far, the last segments, progress and speed, and the position in the run."""
    started = partial.started
    windows = started.windows
    whole = Window(windows[0].start, max(window.stop for window in windows))
    title = f"  {printable(PurePath(started.source).name or started.source)}"
    lines = [style.label(title, style.width - slack(title), "bold")]
    hues = partial.colors
    lines += draw_tracks(partial.segments, hues, whole, style, TRACKS)
    recent = partial.segments[-FINISHED - 1 :]
    names = [printable(segment.label) for segment in recent]
    width = max(map(cell_len, names), default=0)
    width = min(width, max(style.width - 46 - slack(*names), 10))
    for number, segment in enumerate(recent, 1):
        finished = number < len(recent)
        lines.append(
            segment_row(segment, width, 0, hues[segment.label_id], style, finished=finished)
        )
    lines.append(_speed_line(partial, whole, seconds, style))
    lines += [style.label(f"  {position}", style.width, "dim")] * bool(position)
    return Group(*lines)


def _speed_line(
    partial: _PartialTimeline, whole: Window, seconds: float, style: TerminalStyle
) -> Text:
    """Windows done, speed, and time left."""
    total = len(partial.started.windows)
    share = partial.done / total
    words = [f"{partial.done}/{total} windows"]
    if partial.segments and seconds > 0:
        covered = partial.segments[-1].window.stop - whole.start
        words.append(f"{covered / seconds:.3g}x real time")
    if share > 0:
        words.append(f"{format_clock(seconds / share * (1 - share))} left")
    line = Text("  " + "  ".join(words), "dim")
    line.truncate(style.width, overflow="crop")
    return line

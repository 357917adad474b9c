"""What `vidattn train` shows of a run: a bar on a terminal, lines elsewhere, curves on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from vidattn.cli.console import SILENCE, Desk, clock_time
from vidattn.errors import UsageError
from vidattn.reports import Epoch, Event, Note, Saved, Step

MINUTE = 60.0


class Follower:
    """Tells of the events of a run on a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._last, self._tenth = time.monotonic(), 0
        self._bar: Any = None
        self._told: set[str] = set()
        self._again = 0

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        if self._again:
            self._desk.note(f"{self._again} of these happened again; all of them are in log.jsonl")

    def tell(self, event: Event) -> None:
        """Say what happened, or move the bar."""
        if isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Epoch):
            scores = "  ".join(f"{name} {value:.4g}" for name, value in event.scores.items())
            line = f"epoch {event.epoch}/{event.epochs}  {scores}  loss {event.loss:.4f}"
            self._aside(lambda: self._desk.emit(line))
        elif isinstance(event, Note) and event.text in self._told:
            self._again += 1  # a broken video comes up in every epoch
        elif isinstance(event, Note):
            self._told.add(event.text)
            self._aside(lambda: self._desk.note(event.text))
        elif isinstance(event, Saved):
            self._aside(lambda: self._desk.note(f"saved {event.path}"))

    def _step(self, event: Step) -> None:
        if self._desk.quiet:
            return
        if self._desk.err.is_terminal:
            self._move(event)
            return
        now, tenth = time.monotonic(), event.step * 10 // event.steps
        since = now - self._last
        if (tenth > self._tenth and since >= SILENCE) or since >= MINUTE:
            self._last, self._tenth = now, tenth
            self._desk.note(f"step {event.step}/{event.steps}  {_figures(event)}")

    def _move(self, event: Step) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._desk.err, transient=True)
            self._bar.add_task("", total=event.steps)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=event.step, description=_figures(event))

    def _aside(self, speak: Callable[[], None]) -> None:
        """Speak while the bar is out of the way."""
        if self._bar:
            self._bar.stop()
        speak()
        if self._bar:
            self._bar.start()


def _figures(event: Step) -> str:
    return (
        f"loss {event.loss:.4f}  lr {event.lr:.2e}  {event.clips_per_second:.3g} clips/s, "
        f"{100 * event.waiting:.0f} % waiting for data  {clock_time(event.seconds_left)} left"
    )


class Board:
    """Curves for TensorBoard in a folder. Raises UsageError where that is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "--tensorboard: the package tensorboard is not installed",
                hint="pip install 'vidattn[tensorboard]'",
            ) from None
        self._writer: Any = SummaryWriter(str(folder))

    def tell(self, event: Event) -> None:
        """Draw what has a number."""
        if isinstance(event, Step):
            self._writer.add_scalar("train/loss", event.loss, event.step)
            self._writer.add_scalar("train/lr", event.lr, event.step)
            self._writer.add_scalar("train/clips_per_second", event.clips_per_second, event.step)
        elif isinstance(event, Epoch):
            for name, value in event.scores.items():
                self._writer.add_scalar(f"held_back/{name}", value, event.step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

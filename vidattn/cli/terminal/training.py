"""What `vidattn train` shows of a run: a bar on a terminal, lines elsewhere, curves on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vidattn.cli.terminal.console import SILENCE, Console, format_clock
from vidattn.errors import UsageError
from vidattn.io.text import count_noun
from vidattn.training.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    IncompleteValidation,
    Note,
    StepDone,
    UnreadableVideo,
)

MINUTE = 60.0


class TrainingDisplay(AbstractContextManager["TrainingDisplay", None]):
    """Tells of the events of a run on a desk."""

    def __init__(self, desk: Console) -> None:
        self._desk = desk
        self._last, self._tenth = time.monotonic(), 0
        self._bar: Any = None

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, event: Event) -> None:
        """Say what happened, or move the bar."""
        if isinstance(event, StepDone):
            self._step(event)
        elif isinstance(event, EpochDone):
            scores = [f"{name} {value:.4g}" for name, value in event.scores.items()]
            words = [f"epoch {event.epoch}/{event.epochs}", *scores, f"loss {event.loss:.4f}"]
            self._aside(lambda: self._desk.emit("  ".join(words)))
        elif isinstance(event, Note):
            self._aside(lambda: self._desk.note(event.text))
        elif isinstance(event, UnreadableVideo):
            self._aside(lambda: self._desk.warn(event.text))
        elif isinstance(event, IncompleteValidation):
            self._aside(lambda: self._desk.warn(_missing(event)))
        elif isinstance(event, CheckpointSaved):
            self._aside(lambda: self._desk.note(f"saved {event.path}"))

    def _step(self, event: StepDone) -> None:
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

    def _move(self, event: StepDone) -> None:
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


def _figures(event: StepDone) -> str:
    return (
        f"loss {event.loss:.4f}  lr {event.lr:.2e}  {event.clips_per_second:.3g} clips/s, "
        f"{100 * event.waiting:.0f} % waiting for data  {format_clock(event.seconds_left)} left"
    )


def _missing(event: IncompleteValidation) -> str:
    """How many videos could not be read, and where their names are."""
    fates = [(event.replaced, "replaced by others"), (event.not_counted, "not counted")]
    parts = [f"{count_noun(count, 'video')} {fate}" for count, fate in fates if count]
    return f"{' and '.join(parts)}: what could not be read is named in {event.log}"


class TensorBoardWriter:
    """Curves for TensorBoard in a folder. Raises UsageError where that is not installed.

    Nothing is written before there is something to draw. Of a run that goes on, what was drawn
    after its last checkpoint is drawn again, and TensorBoard told to forget it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "--tensorboard: the package tensorboard is not installed",
                hint="pip install 'vidattn[tensorboard]'",
            ) from None
        self._open: Callable[[int], Any] = lambda first: SummaryWriter(
            str(folder), purge_step=first
        )
        self._writer: Any = None

    def tell(self, event: Event) -> None:
        """Draw what has a number."""
        if isinstance(event, StepDone):
            self._draw("train/loss", event.loss, event.step)
            self._draw("train/lr", event.lr, event.step)
            self._draw("train/clips_per_second", event.clips_per_second, event.step)
        elif isinstance(event, EpochDone):
            for name, value in event.scores.items():
                self._draw(f"held_back/{name}", value, event.step, first=event.step + 1)
            if self._writer is not None:
                self._writer.flush()

    def _draw(self, name: str, value: float, step: int, first: int | None = None) -> None:
        """first: from which step on what was drawn before is obsolete; this one if None."""
        if self._writer is None:
            self._writer = self._open(step if first is None else first)
        self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

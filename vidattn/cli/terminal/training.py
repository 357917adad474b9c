"""Output of `vidattn train`: a progress bar on a terminal, lines elsewhere, TensorBoard curves."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vidattn.cli.terminal.console import PROGRESS_INTERVAL, Console
from vidattn.errors import UsageError
from vidattn.io.text import count_noun
from vidattn.output.text import format_clock
from vidattn.training.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    IncompleteValidation,
    StepDone,
    TrainingNote,
    UnreadableVideo,
    Verdict,
)

MINUTE = 60.0


class TrainingDisplay(AbstractContextManager["TrainingDisplay", None]):
    """Prints the events of a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last, self._tenth = time.monotonic(), 0
        self._bar: Any = None

    def close(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, event: Event) -> None:
        """Print an event, or advance the bar."""
        if isinstance(event, StepDone):
            self._show_step(event)
        elif isinstance(event, EpochDone):
            scores = [_describe_score(*score) for score in event.scores.items()]
            words = [f"epoch {event.epoch}/{event.epochs}", *scores, f"loss {event.loss:.4f}"]
            self._print(lambda: self._console.emit("  ".join(words)))
        elif isinstance(event, Verdict):
            self._print(lambda: self._console.emit(event.text))
        elif isinstance(event, TrainingNote):
            tell = self._console.warn if event.warning else self._console.note
            self._print(lambda: tell(event.text))
        elif isinstance(event, UnreadableVideo):
            self._print(lambda: self._console.warn(event.text))
        elif isinstance(event, IncompleteValidation):
            self._print(lambda: self._console.warn(_describe_unreadable(event)))
        elif isinstance(event, CheckpointSaved):
            self._print(lambda: self._console.note(f"saved {event.path}"))

    def _show_step(self, event: StepDone) -> None:
        if self._console.quiet:
            return
        if self._console.err.is_terminal:
            self._advance(event)
            return
        now, tenth = time.monotonic(), event.step * 10 // event.steps
        since = now - self._last
        if (tenth > self._tenth and since >= PROGRESS_INTERVAL) or since >= MINUTE:
            self._last, self._tenth = now, tenth
            self._console.note(f"step {event.step}/{event.steps}  {_describe_step(event)}")

    def _advance(self, event: StepDone) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console.err, transient=True)
            self._bar.add_task("", total=event.steps)
            self._bar.start()
        self._bar.update(
            self._bar.task_ids[0], completed=event.step, description=_describe_step(event)
        )

    def _print(self, message: Callable[[], None]) -> None:
        """Print while the bar is hidden."""
        if self._bar:
            self._bar.stop()
        message()
        if self._bar:
            self._bar.start()


def _describe_score(name: str, value: float) -> str:
    if name == "nll":
        return f"validation loss {value:.4g}"
    return f"{'mAP' if name == 'map' else name} {100 * value:.1f} %"


def _describe_step(event: StepDone) -> str:
    return (
        f"loss {event.loss:.4f}  lr {event.lr:.2e}  {event.clips_per_second:.3g} clips/s, "
        f"{100 * event.waiting:.1f} % waiting for data  {format_clock(event.seconds_left)} left"
    )


def _describe_unreadable(event: IncompleteValidation) -> str:
    """The number of unreadable videos, and the place of their names."""
    fates = [(event.replaced, "replaced by others"), (event.not_counted, "not counted")]
    parts = [f"{count_noun(count, 'video')} {fate}" for count, fate in fates if count]
    return f"{' and '.join(parts)}: unreadable videos are listed in {event.log}"


class TensorBoardWriter:
    """Writes curves for TensorBoard to a folder. Raises UsageError if it is not installed.

    Nothing is written before the first value. In a resumed run, TensorBoard discards the values
    after the last checkpoint.
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
        """Write the values of an event."""
        if isinstance(event, StepDone):
            self._write("train/loss", event.loss, event.step)
            self._write("train/lr", event.lr, event.step)
            self._write("train/clips_per_second", event.clips_per_second, event.step)
        elif isinstance(event, EpochDone):
            for name, value in event.scores.items():
                self._write(f"validation/{name}", value, event.step, first=event.step + 1)
            if self._writer is not None:
                self._writer.flush()

    def _write(self, name: str, value: float, step: int, first: int | None = None) -> None:
        """first: step from which earlier values are obsolete; None for `step`."""
        if self._writer is None:
            self._writer = self._open(step if first is None else first)
        self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write buffered values."""
        if self._writer is not None:
            self._writer.close()

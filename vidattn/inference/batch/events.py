"""Events of a batch run: the outcome of each input, and the progress of the running one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vidattn.errors import MemoryLimitError, OutputError, StopWork, VidattnError, VideoError
from vidattn.inference.events import Event
from vidattn.timeline import Timeline


@dataclass(frozen=True)
class InputStarted:
    """The run turns to an input. One that another process holds comes up again at the end."""

    path: str


@dataclass(frozen=True)
class ProgressStep:
    """One more of `total` frames is done, outside of scoring."""

    title: str
    total: int


@dataclass(frozen=True)
class Note:
    """A sentence for the user."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Written:
    """The timeline of an input is known and its files are on disk; excerpts and annotated videos
    follow. After a stop it holds the windows scored until then."""

    path: str
    timeline: Timeline
    files: tuple[Path, ...]

    @property
    def before(self) -> bool:
        """Whether the scores are those of an earlier run."""
        return not self.timeline.run


@dataclass(frozen=True)
class Done:
    """An input is finished. `timeline.unreadable` has the spans that could not be decoded."""

    path: str
    timeline: Timeline


@dataclass(frozen=True)
class Skipped:
    """An input has a complete result already."""

    path: str
    timeline: Timeline


@dataclass(frozen=True)
class Failed:
    """An input has no result. known: it failed before and was not tried again."""

    path: str
    error: VidattnError
    known: bool = False

    @property
    def code(self) -> str:
        """The reason code."""
        return reason_code(self.error)


class NoteTaker(Protocol):
    """A taker of sentences for the user, such as a console."""

    def note(self, message: str) -> None:
        """Take one sentence."""

    def warn(self, message: str) -> None:
        """Take one that nobody may overlook."""


BatchEvent = InputStarted | Event | ProgressStep | Note | Written | Done | Skipped | Failed
"""The events of `stream` (Started, Scored, Finished) are those of the running input."""

BatchEvents = Generator[BatchEvent, None, None]

STOPS = StopWork, KeyboardInterrupt, GeneratorExit
"""Ways to stop: a signal handler that raises, Ctrl-C, and a caller that closes the generator."""


def reason_code(error: VidattnError) -> str:
    """The reason code of an input that failed."""
    if isinstance(error, MemoryLimitError):
        return "E_MEMORY"
    if isinstance(error, OutputError):
        return "E_OUTPUT"
    return error.code if isinstance(error, VideoError) else "E_INPUT"


def stop_run(run: BatchEvents, stop: BaseException) -> BatchEvents:
    """The last events of a run that is told to stop."""
    try:
        yield run.throw(stop)
        yield from run
    except (StopIteration, *STOPS):
        return


def observe(run: BatchEvents, see: Callable[[BatchEvent], object]) -> BatchEvents:
    """The events of a run, each shown to `see` first; a stop goes to the run itself."""
    try:
        for event in run:
            see(event)
            yield event
    except GeneratorExit:
        raise
    except STOPS as stop:
        for event in stop_run(run, stop):
            see(event)
            yield event
        raise
    finally:
        run.close()

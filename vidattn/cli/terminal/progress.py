"""Progress of any work that yields events, and the printout of a batch run."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import DataError, ExitCode, MemoryLimitError, VidattnError
from vidattn.inference.batch.events import (
    BatchEvent,
    BatchEvents,
    Done,
    Failed,
    InputStarted,
    Note,
    ProgressStep,
    Skipped,
    Written,
    reason_code,
)
from vidattn.inference.batch.failures import FailureList
from vidattn.inference.batch.index import RunIndex
from vidattn.inference.batch.inputs import file_size, renamed
from vidattn.inference.batch.table import JobTables
from vidattn.inference.events import Event, Finished, Scored, Started
from vidattn.io.text import count_noun
from vidattn.output.text import format_clock

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.timeline import Timeline


MOST_SPANS = 20
"""Unread spans of a video that are printed."""
Step = Callable[[BatchEvent], None]
"""Advances a display."""
Watch = Callable[[Started, str], AbstractContextManager[Step]]
"""Makes the display of the windows of a video; takes the position in the run, too."""
POSITION_INTERVAL = 10.0
"""Minimum seconds between two lines with the position in a run."""


class RunPosition:
    """How many inputs of a batch run are done, and the time left, by the sizes of their files."""

    def __init__(
        self, paths: Sequence[str], clock: Callable[[], float] = time.monotonic, each: int = 1
    ) -> None:
        """each: results of an input."""
        self._left = Counter(dict.fromkeys(paths, each))
        self._sizes = {path: max(file_size(path), 0) + 1 for path in paths}
        self._total, self._clock, self._last = len(paths), clock, clock()
        self._first, self._rest = (0, 0.0), (0, 0.0)
        """Bytes and seconds of the first input, in which much is loaded, and of all others."""

    def start(self) -> None:
        """Begin with an input."""
        if len(self._sizes) == self._total:
            self._last = self._clock()

    def finish(self, path: str, *, skipped: bool = False) -> None:
        """Count an input; a skipped one says nothing about the speed."""
        self._left[path] -= 1
        if self._left[path] > 0:
            return
        now, size = self._clock(), self._sizes.pop(path, 0)
        if not skipped and not self._first[0]:
            self._first = size, now - self._last
        elif not skipped:
            self._rest = self._rest[0] + size, self._rest[1] + now - self._last
        self._last = now

    def __str__(self) -> str:
        """ "12 of 459 inputs, 01:23:00 left"; empty for a single input."""
        if self._total < 2:
            return ""
        words = f"{self._total - len(self._sizes)} of {self._total} inputs"
        done, seconds = self._rest if self._rest[0] else self._first
        if not done or not self._sizes:
            return words
        left = seconds / done * sum(self._sizes.values())
        return f"{words}, {format_clock(left)} left"


class ProgressFollower:
    """Shows how far work is that yields events, with one display at a time."""

    def __init__(
        self, console: Console, watch: Watch | None = None, position: Callable[[], str] = lambda: ""
    ) -> None:
        """position: says how far a run is that has more inputs than this."""
        self._console, self._watch = console, watch or self._count_windows
        self._position = position
        self._stack = ExitStack()
        self._step: Step | None = None
        self._title = ""

    def show(self, event: BatchEvent) -> None:
        """Open, advance or close the display."""
        if isinstance(event, Started):
            self._open(event.source, self._watch(event, self._position()))
        elif isinstance(event, ProgressStep) and event.title != self._title:
            self._open(event.title, self._count(event.title, event.total))
        elif not isinstance(event, Scored | ProgressStep | Note):
            self.close()
        if self._step and isinstance(event, Scored | ProgressStep):
            self._step(event)

    def close(self) -> None:
        """Remove the display."""
        self._step, self._title = None, ""
        self._stack.close()

    def _open(self, title: str, display: AbstractContextManager[Step]) -> None:
        self.close()
        self._step, self._title = self._stack.enter_context(display), title

    def _count_windows(self, started: Started, _: str) -> AbstractContextManager[Step]:
        return self._count(started.source, len(started.windows))

    @contextmanager
    def _count(self, title: str, total: int) -> Iterator[Step]:
        position = self._position()
        with self._console.progress(f"{position}: {title}" if position else title, total) as bar:
            yield lambda _: bar.step()


def follow(console: Console, events: Iterator[Event]) -> Timeline:
    """Show the progress of `stream` on one video; returns the timeline."""
    with closing(ProgressFollower(console)) as follower:
        for event in events:
            follower.show(event)
            if isinstance(event, Finished):
                return event.timeline
    raise AssertionError("a stream ends with Finished")


class BatchPrinter:
    """Prints the events of a batch run: results on stdout, everything else on stderr.

    show: prints a timeline for people. as_json: prints documents instead. resume: whether the
    command resumes a run.
    """

    def __init__(
        self,
        console: Console,
        job: BatchJob,
        show: Callable[[Timeline], None],
        *,
        as_json: bool,
        resume: bool = False,
    ) -> None:
        self.console, self.job, self._resume = console, job, resume
        self._show, self.as_json = show, as_json
        self._follower = ProgressFollower(console)
        self._path = ""
        self._counts: Counter[str] = Counter()
        self._starved = False
        self._has_windows = False
        self._position, self._printed = (
            RunPosition(() if job.sources else job.paths, each=max(len(job.areas), 1)),
            time.monotonic(),
        )
        self._index, self._tables = RunIndex(job), JobTables(job)
        self._silent = False
        """Whether nobody reads standard output any more."""
        for note in job.notes:
            console.note(note)
        for warning in self._tables.warnings:
            console.warn(warning)

    def print(
        self, events: BatchEvents, stop: Callable[[], int] = int, watch: Watch | None = None
    ) -> int:
        """Print all events; returns the exit code.

        A stop is handed to `events`, which saves the windows scored so far, and raised again. stop:
        the number of a signal that has ended `events`, or 0.
        """
        self._has_windows = watch is not None
        self._follower = ProgressFollower(self.console, watch, lambda: str(self._position))
        self._note_renamed()
        with closing(self._follower), closing(events):
            try:
                event = next(events, None)
                while event is not None:
                    try:
                        self._handle(event)
                    except StopRequested as stopped:
                        files = self.job.output.formats or self.job.output.has_videos
                        if not (stopped.reader_gone and files):
                            event = events.throw(stopped)
                            continue
                        self._silent = True
                        self.console.note("standard output is closed; files are still written")
                        event = next(events, None)
                    else:
                        event = next(events, None)
            except StopRequested as stopped:
                self._follower.close()
                self._warn_of_stop(stopped)
                self._write_tables()
                raise
        if number := stop():
            self.console.warn(f"stopped; {self.done} of {self._total} are done")
            raise StopRequested(number)
        code = self.summarize()
        if self._silent and code == ExitCode.DONE:
            raise StopRequested(signal.SIGPIPE)
        return code

    @property
    def _results(self) -> int:
        """Results of the run; of one that watches folders, those so far."""
        seen = self.done + self._counts["failed"]
        return seen if self.job.sources else self.job.results

    @property
    def _total(self) -> str:
        """ "4 inputs"; with several areas, "16 results"."""
        return f"{self._results} {'results' if self.job.areas else 'inputs'}"

    @property
    def done(self) -> int:
        """Inputs with a result."""
        return self._counts["whole"] + self._counts["partial"]

    def summarize(self) -> int:
        """Print the numbers of results and failures; returns the exit code."""
        self._write_tables()
        total, whole = self._results, self._counts["whole"]
        if (index := self._index.write()) is not None:
            self.console.note(f"wrote {index}, with links to all reports")
        self._fail_left_out(list(self._tables.left_out.values()))
        for gap in self._tables.find_gaps():
            self.console.warn(gap)
        if whole == total:
            return ExitCode.INCOMPLETE if self._tables.left_out else ExitCode.DONE
        if total > 1:
            self.console.warn(
                f"{whole} of {self._total} complete, {self._counts['partial']} in part, "
                f"{total - self.done} failed"
            )
        if self._counts["failed"] and (listed := FailureList(self.job.folder).path).exists():
            self.console.note(f"failures are listed in {listed}")
        if self.done:
            return ExitCode.INCOMPLETE
        return ExitCode.OUT_OF_MEMORY if self._starved else ExitCode.FAILED

    def _fail_left_out(self, errors: list[DataError]) -> None:
        hints = set[str | None]()
        for error in errors[:MOST_SPANS]:
            self.console.fail(error, hint=error.hint not in hints)
            hints.add(error.hint)
        if errors and (package := self.job.output.package) is not None:
            fate = "" if package.exists() else ", which is not written"
            self.console.warn(f"{count_noun(len(errors), 'result')} left out of {package}{fate}")

    def _write_tables(self) -> None:
        for table in self._tables.write():
            self.console.note(f"wrote {table}, of all results")

    def _warn_of_stop(self, stop: StopRequested) -> None:
        total = self._results
        left = total - self.done - self._counts["failed"] - 1
        if not stop.reader_gone:
            self.console.warn(f"stopped during {self._path}; {self.done} of {self._total} are done")
            again = " with --skip-existing" if self.job.several else " with --resume"
            again *= not (self._resume or self.job.skip_existing)
            if (self.job.several or self._has_windows) and self.job.output.formats:
                self.console.note(f"the same command{again} continues")
        elif left:
            self.console.warn(
                f"standard output is closed; {left} inputs after {self._path} are not done"
            )

    def _note_renamed(self) -> None:
        """Explain names of results that are not those of the inputs."""
        if names := renamed({path: self.job.names[path] for path in self.job.paths}):
            path, name = next(iter(names.items()))
            some = (
                "an input shares its name"
                if len(names) == 1
                else f"{len(names)} inputs share names"
            )
            place = self.job.output.place(name, "*")
            self.console.note(f"{some} with others: results of {path} are {place}")

    def _finish(self, path: str, *, skipped: bool = False) -> None:
        """Count an input, and say now and then how far the run is."""
        self._position.finish(path, skipped=skipped)
        now = time.monotonic()
        if (words := str(self._position)) and now - self._printed >= POSITION_INTERVAL:
            self._printed = now
            self.console.note(words)

    def _handle(self, event: BatchEvent) -> None:
        if isinstance(event, Started):
            for text in (*event.facts.warnings, *event.notes):
                self.console.note(f"{event.source}: {text}")
        self._follower.show(event)
        self._tables.take(event)
        match event:
            case InputStarted(path):
                self._path = path
                self._position.start()
            case Note(text, warning):
                (self.console.warn if warning else self.console.note)(text)
            case Written():
                self._print_result(event)
            case Done(path, timeline):
                for window, code in timeline.from_file_start().unreadable[:MOST_SPANS]:
                    span = f"{window.start:.2f} to {window.stop:.2f} s"
                    self.console.warn(f"{path}: {span} not seen ({code})")
                if (more := len(timeline.unreadable) - MOST_SPANS) > 0:
                    spans = count_noun(more, "more span")
                    self.console.warn(f"{path}: {spans} not seen; -f json lists all")
                self._counts["partial" if timeline.unreadable else "whole"] += 1
                self._index.add(path, timeline)
                self._finish(path)
            case Skipped(path, timeline):
                self._print_skipped(event)
                self._index.add(path, timeline)
                self._finish(path, skipped=True)
            case Failed(path, error):
                self._print_failure(event)
                self._index.fail(path, error)
                self._finish(path, skipped=event.known)

    def _print_result(self, event: Written) -> None:
        before = self._resume and event.before
        try:
            if self.as_json:
                self._emit_json(event.timeline)
            elif not (self._silent or (before and self.job.several)):
                self._show(event.timeline)
        finally:
            if event.files:
                done = f"{event.path}: done before; " * before
                self.console.note(f"{done}wrote {', '.join(map(str, event.files))}")

    def _emit_json(self, timeline: Timeline) -> None:
        if self._silent:
            return
        indent = None if self.job.several else 2
        self.console.emit(timeline.to_json(indent=indent, run=bool(timeline.run)))

    def _print_skipped(self, event: Skipped) -> None:
        self.console.note(f"{event.path}: done before")
        if self.as_json:
            self._emit_json(event.timeline)
        if reasons := dict.fromkeys(code for _, code in event.timeline.unreadable):
            self.console.warn(f"{event.path}: not all of it was seen ({', '.join(reasons)})")
        self._counts["partial" if reasons else "whole"] += 1

    def _print_failure(self, event: Failed) -> None:
        self._counts["failed"] += 1
        if event.known:
            self.console.warn(
                f"{event.path}: has failed before ({event.code}); --retry-failed tries again"
            )
            return
        self._starved |= isinstance(event.error, MemoryLimitError)
        self.console.fail(event.error)
        if self.as_json and self.job.several and not self._silent:
            self.console.emit(failure_json(event.path, event.error))


def failure_json(path: str, error: VidattnError) -> str:
    """A failed input in place of its result, schema vidattn/failure/1."""
    record = {
        "path": path,
        "code": reason_code(error),
        "message": error.message,
        "hint": error.hint,
    }
    return json.dumps({"schema": "vidattn/failure/1", "input": {"path": path}, "error": record})

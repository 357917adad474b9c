"""A batch run: each input on its own, none lost, none done twice, an event for each outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

from vidattn.errors import (
    TRANSIENT,
    InputError,
    MemoryLimitError,
    OutputError,
    OutputPathError,
    StopWork,
    UsageError,
    VidattnError,
    VideoError,
)
from vidattn.inference.batch.events import (
    STOPS,
    BatchEvent,
    BatchEvents,
    Done,
    Failed,
    InputStarted,
    Note,
    Skipped,
    Written,
    reason_code,
)
from vidattn.inference.batch.failures import FailureList, FailureRecord, describe_failure
from vidattn.inference.batch.inputs import name_result
from vidattn.inference.batch.job import BatchJob
from vidattn.inference.batch.joining import is_same_recording
from vidattn.inference.batch.output_files import find_stale, write_files
from vidattn.inference.batch.results import Result, RunKey, find_result, require_own
from vidattn.io.files import exists, remove_partial_files, require_regular, writing
from vidattn.io.locks import locked
from vidattn.timeline import Timeline
from vidattn.timeline.explanation import Explanation
from vidattn.video import Opening
from vidattn.video.boxes import warn_of_whole

STARVED = 3
"""Inputs in a row without enough memory that end the run."""
OF_INPUT = OSError, IndexError, OverflowError
"""Errors that an input causes where nothing has foreseen them: they end its work alone."""
Deliver = Callable[[Timeline], None]


class Task(ABC):
    """The work on one input of a batch run."""

    key: RunKey | None = None
    """Task, model and settings; None where no result can be skipped: every input is done, whatever
    other processes do."""
    opening: Opening
    boxes: str = ""
    """The file of boxes that the model follows, if it does."""

    @abstractmethod
    def run(self, path: str, deliver: Deliver) -> Iterator[BatchEvent]:
        """Hand the timeline of a path to `deliver`, or the windows so far when one of STOPS comes.

        Raises InputError, MemoryLimitError.
        """

    def prefetch(self, path: str) -> None:
        """Begin to open a path that comes soon."""
        return

    def explain(self, timeline: Timeline) -> Sequence[Explanation]:
        """Explanations for the report."""
        return ()


class BatchRunner:
    """One run of a task over the inputs of a job."""

    def __init__(self, job: BatchJob, task: Task) -> None:
        self.job, self.task, self.key = job, task, task.key
        self._next = dict(pairwise(job.paths))
        self._shared = bool(task.key and job.output.formats)
        self._listed = self._shared and bool(job.output.folder or job.skip_existing)
        """Whether there is a list of failures."""
        self._failures = FailureList(job.folder)
        self._failed_before: dict[str, FailureRecord] = {}
        self._stamps: dict[str, tuple[int, int] | None] = {}
        """Results before the run, of inputs that other runs may work on meanwhile."""
        self._done: set[str] = set()
        self._starved = 0
        """Inputs in a row without enough memory."""

    def run(self) -> BatchEvents:
        """Do all inputs: InputStarted, events of the work, then Done, Skipped or Failed for each.

        A failed input does not stop the others. Several processes with one output folder share the
        inputs; the last one waits for the others and does the inputs of those that were killed.
        On Ctrl-C, the windows scored so far are written and yielded before KeyboardInterrupt goes
        on; closing the generator writes them, too.

        Raises OutputError, and MemoryLimitError when memory is short for the only input or for
        several in a row.
        """
        self.job.output.require_writable()
        if self._listed:
            self._failed_before = self._failures.read()
        if self._shared and self.job.several and not self.job.skip_existing:
            self._stamps = {path: self._stamp(path) for path in self.job.paths}
        waiting: list[str] = []
        turns = chain(((p, False) for p in self.job.paths), ((p, True) for p in waiting))
        try:
            for path, wait in turns:
                yield InputStarted(path)
                try:
                    if not (yield from self._do(path, wait=wait)) and not self.job.sources:
                        waiting.append(path)
                except (OutputPathError, UsageError) as error:
                    if not self.job.several:
                        raise
                    yield self._fail(path, error)
        except STOPS:
            self._sort_failures()
            raise
        self._sort_failures()

    def _sort_failures(self) -> None:
        if self._listed:
            self._failures.sort(set(map(self._name, self._done)))

    def _name(self, path: str) -> str:
        return name_result(path, self.job.area)

    def _do(self, path: str, *, wait: bool) -> Generator[BatchEvent, None, bool]:
        """Do an input; False when another process holds it. wait: until it is free."""
        if not self._shared:
            yield from self._contain(path, self._make(path))
            return True
        lock = self.job.place(path, "lock")
        # Another process works on the input, or was killed.
        begun = exists(lock) or exists(self.job.place(path, "log"))
        result = self._result(path) if self.job.skip_existing and not begun else None
        if result is not None and not result.damaged(self.job.files(path)):
            yield from self._contain(path, self._skip(path, result))
            return True
        with _hold_lock(lock, wait=wait) as mine:
            if not mine and not self.job.several:
                raise OutputError(
                    f"{self.job.place(path, 'json')}: another run is writing it",
                    hint="wait for that run, or choose another folder with -o",
                )
            if mine:
                yield from self._contain(path, self._do_alone(path, begun))
        return mine

    def _contain(self, path: str, work: BatchEvents) -> BatchEvents:
        """The events of the work on an input, and Failed where it raises an error of its own."""
        try:
            yield from work
        except (MemoryLimitError, MemoryError) as error:
            yield self._fail_starved(path, error)
        except InputError as error:
            self._starved = 0
            yield self._fail(path, error)
        except OF_INPUT as error:
            self._starved = 0
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            yield self._fail(path, VideoError(f"{path}: {reason.lower()}", code="E_SYSTEM"))

    def _do_alone(self, path: str, begun: bool) -> BatchEvents:
        """Do an input that no other process works on now."""
        files = self.job.files(path)
        if begun:
            for file in files.values():
                remove_partial_files(file)
        if self._may_skip(path) and (result := self._result(path)):
            self.job.place(path, "log").unlink(missing_ok=True)
            damaged = result.damaged(files)
            if written := self._write(result.timeline, damaged):
                names = ", ".join(map(str, written))
                yield Note(f"{path}: made again from its scores: {names}")
            yield from self._skip(path, result)
        elif self._listed and (record := self._known_failure(path)):
            yield Failed(path, VideoError(record.message, code=record.code), known=True)
            if record.code != "E_MEMORY":
                self._starved = 0
        else:
            yield from self._make(path)

    def _make(self, path: str) -> BatchEvents:
        """Do an input, whatever is on disk."""
        written: list[Written] = []
        notes: list[Note] = []

        def deliver(given: Timeline) -> None:
            if area := self.job.area:
                given = replace(given, settings=replace(given.settings, roi=area))
            timeline = self.job.add_start_time(given)
            new = [text for text in timeline.warnings if text not in given.warnings]
            notes[:] = [Note(f"{path}: {text}", warning=True) for text in new]
            if self.key:
                timeline = self.key.sign(timeline, path)
            written.append(Written(path, timeline, self._write(timeline, self.job.files(path))))

        if self._shared and "json" in self.job.output.formats:
            require_own(self.job.place(path, "json"), path)
        for file in self.job.files(path).values():
            require_regular(file)
        if (coming := self._next.get(path)) and self._looks_undone(coming):
            self.task.prefetch(coming)
        for text in warn_of_whole(self.task.boxes, path):
            yield Note(f"{path}: {text}", warning=True)
        try:
            yield from self.task.run(path, deliver)
        except (StopWork, KeyboardInterrupt):
            yield from written
            raise
        yield from notes
        yield from written
        timeline = written[-1].timeline
        if self._shared and (stale := find_stale(timeline, self.job.output, self.job.names[path])):
            names = ", ".join(map(str, stale))
            yield Note(f"{path}: of an earlier run with other settings: {names}", warning=True)
        yield from self._videos(path, timeline, missing=False)
        self._finish(path)
        yield Done(path, timeline)

    def _skip(self, path: str, result: Result) -> BatchEvents:
        """Leave out an input with a result, but for videos that are missing."""
        yield from self._videos(path, result.timeline, missing=True)
        self._finish(path)
        yield Skipped(path, result.timeline)

    def _finish(self, path: str) -> None:
        self._done.add(path)
        self._starved = 0

    def _write(self, timeline: Timeline, files: Mapping[str, Path]) -> tuple[Path, ...]:
        explanations = self.task.explain(timeline) if "html" in files else ()
        return write_files(timeline, files, explanations, self.task.opening)

    def _videos(self, path: str, timeline: Timeline, *, missing: bool) -> BatchEvents:
        if not self.job.output.has_videos:
            return
        from vidattn.inference.batch.videos import write_missing_videos, write_videos

        write = write_missing_videos if missing else write_videos
        yield from write(self.job.output, timeline, self.job.names[path], self.task.opening)

    def _fail(self, path: str, error: VidattnError) -> Failed:
        if self._listed and self.key:
            last = self._failed_before.get(self._name(path))
            record = list_failure(self.job, path, error, self.key.digest, last)
            if isinstance(error, VideoError) and not record.may_pass:
                self.job.place(path, "log").unlink(missing_ok=True)
        return Failed(path, error)

    def _fail_starved(self, path: str, error: MemoryLimitError | MemoryError) -> Failed:
        """One video may be too large where others are not; several in a row are the fault of model
        or settings. Raises MemoryLimitError then."""
        if isinstance(error, MemoryLimitError):
            error = MemoryLimitError(f"{path}: {error.message}", hint=error.hint)
        else:
            hint = "ask for fewer --frames, or a smaller model"
            error = MemoryLimitError(f"{path}: out of memory", hint=hint)
        self._starved += 1
        if not self.job.several or self._starved == STARVED:
            raise error
        return self._fail(path, error)

    def _known_failure(self, path: str) -> FailureRecord | None:
        """A failure that is not tried again: one of another process during this run, or an old one
        that is permanent."""
        last = self._failures.read().get(self._name(path))
        assert self.key is not None
        now = describe_failure(path, self.key.digest, roi=self.job.area)
        if last is None or not last.is_same_input(now):
            return None
        if last != self._failed_before.get(last.name):
            return last
        again = self.job.retry_failed or last.may_pass
        return last if self.job.skip_existing and not again else None

    def _looks_undone(self, path: str) -> bool:
        """Whether this process will probably have to do an input."""
        if not self._shared:
            return True
        begun = exists(self.job.place(path, "lock")) or self._name(path) in self._failed_before
        return not (begun or (self.job.skip_existing and exists(self.job.place(path, "json"))))

    def _may_skip(self, path: str) -> bool:
        """Whether a result counts: any with --skip-existing, else one newer than this run."""
        if self.job.skip_existing:
            return True
        return path in self._stamps and self._stamp(path) != self._stamps[path]

    def _result(self, path: str) -> Result | None:
        """A complete result; files made of its scores may be missing or damaged."""
        files = self.job.files(path)
        if self.key is None or "json" not in files or not self._has_embeddings(path, self.key):
            return None
        result = find_result(files["json"], path, self.key)
        files_of = self.job.joined.get(path)
        if result is not None and files_of is not None:
            same = is_same_recording(result.timeline.input.parts, files_of)
            result = result if same else None
        if result is not None:
            timed = self.job.add_start_time(result.timeline)
            changed = timed.settings.start_time != result.timeline.settings.start_time
            result = replace(result, timeline=timed, altered=result.altered or changed)
        again = self.job.retry_failed and result and not TRANSIENT.isdisjoint(result.reasons)
        return None if again else result

    def _has_embeddings(self, path: str, key: RunKey) -> bool:
        """Whether embeddings that were asked for are on disk and whole."""
        if "embeddings" not in key.asked:
            return True
        from vidattn.data.embeddings import load_embeddings

        try:
            load_embeddings(self.job.place(path, "npz"))
        except InputError:
            return False
        return True

    def _stamp(self, path: str) -> tuple[int, int] | None:
        try:
            status = self.job.place(path, "json").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


@contextmanager
def _hold_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """As `locked`. Raises OutputError."""
    with ExitStack() as stack:
        with writing(path):
            mine = stack.enter_context(locked(path, timeout=-1 if wait else 0))
        yield mine


def list_failure(
    job: BatchJob, path: str, error: VidattnError, digest: str, last: FailureRecord | None = None
) -> FailureRecord:
    """Add an input to the list of failures. last: its record before this run."""
    record = describe_failure(path, digest, reason_code(error), error.message, job.area)
    attempt = last.attempt + 1 if last is not None and last.is_same_input(record) else 1
    record = replace(record, attempt=attempt)
    FailureList(job.folder).add(record)
    return record

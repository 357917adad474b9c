"""Tables of all videos of a batch run, or of saved timelines (`--table FILE`, `-f budget`)."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any
from weakref import finalize

from vidattn.errors import InputError, UsageError
from vidattn.inference.batch.events import (
    BatchEvent,
    BatchEvents,
    Done,
    Failed,
    ProgressStep,
    Skipped,
    observe,
)
from vidattn.inference.batch.groups import parse_groups
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import is_file, open_output, read_file, reading, replacing_file, writing
from vidattn.io.locks import locked
from vidattn.output.rows import (
    BUDGET_COLUMNS,
    budget_rows,
    csv_lines,
    failed_row,
    table_columns,
    table_rows,
)
from vidattn.output.tables import escape_cell
from vidattn.timeline.budget import Observation

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.inference.batch.outputs import OutputFiles

INTERVAL = 10.0
"""Least seconds between two writes of a table while a run goes."""
SHARE = 20
"""Writing takes at most one part in this many of the time."""
SCORES = b'\n  "scores": '
"""Begins the scores in a saved document, which rows of segments do not need."""


def load_document(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """A saved timeline as plain values: that of a segmentation without its scores, which is fast.

    Raises InputError for a file that is none.
    """
    with reading(path, InputError):
        data = read_file(path, regular=True)
    head, _, _ = data.partition(SCORES)
    try:
        document = json.loads(head.rstrip().rstrip(b",") + b"}")
        if document["schema"] == "vidattn/timeline/1" and document["task"] == "segment":
            return dict(document)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # of other software, changed by hand, or none: checked value for value
    return load_timeline(path).to_dict()


class RunFile(ABC):
    """A file about many videos. It is whole whenever it exists: a longer one replaces it while a
    run goes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._written, self._cost = time.monotonic(), 0.0

    @abstractmethod
    def __contains__(self, path: str) -> bool:
        """Whether an input has been taken."""

    @abstractmethod
    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """Take the document of an input.

        Raises InputError if it is none, and UsageError if it is of another table.
        """

    @abstractmethod
    def fail(self, path: str, code: str) -> None:
        """Take a failure."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to write the file while a run goes."""
        return time.monotonic() - self._written > max(INTERVAL, SHARE * self._cost)

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""

    def write(self, order: Iterable[str]) -> Path | None:
        """Write what is known of all inputs, in an order; None without any. Raises OutputError."""
        if self.is_empty:
            return None
        begun = time.monotonic()
        with replacing_file(self.place) as part:
            self._write(part, order)
        self._written = time.monotonic()
        self._cost = self._written - begun
        return self.place

    @abstractmethod
    def _write(self, part: Path, order: Iterable[str]) -> None:
        """Write the whole file."""


class RunTable(RunFile):
    """The rows of many videos, spooled to disk, so that any number of them fits in memory."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._is_parquet = place.suffix.lower() == ".parquet"
        self._text = str if self._is_parquet else escape_cell
        self._spool: IO[bytes] = TemporaryFile()  # noqa: SIM115 - lives as long as the table
        finalize(self, self._spool.close)
        self._chunks: dict[str, tuple[int, int]] = {}
        """Where the rows of each input are in the spool: offset and length."""
        self._failed: dict[str, str] = {}
        self._columns: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._chunks or path in self._failed

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`."""
        with reading_values(path):
            columns = table_columns(document, self._text)
            data = csv_lines(table_rows(document, self._text))
        if columns != (self._columns or columns):
            raise UsageError(
                f"{path}: has other columns than the table {self.place}",
                hint="segments, classified videos and other labels each need a table of their own",
            )
        self._columns = columns
        self._chunks[path] = self._spool.seek(0, os.SEEK_END), len(data)
        self._spool.write(data)
        self._failed.pop(path, None)

    def fail(self, path: str, code: str) -> None:
        """Take a failure; a table of videos has a row for it."""
        self._failed[path] = code

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._columns

    def _write(self, part: Path, order: Iterable[str]) -> None:
        if self._is_parquet:
            self._write_parquet(part, order)
        else:
            with _create(part) as file:
                self._write_csv(file, order)

    def _write_csv(self, file: IO[bytes], order: Iterable[str]) -> None:
        file.write(csv_lines([self._columns]))
        for path in order:
            if path in self._chunks:
                offset, length = self._chunks[path]
                self._spool.seek(offset)
                file.write(self._spool.read(length))
            elif path in self._failed and "reasons" in self._columns:
                row = failed_row(path, self._failed[path], len(self._columns), self._text)
                file.write(csv_lines([row]))

    def _write_parquet(self, part: Path, order: Iterable[str]) -> None:
        """By way of CSV, a few megabytes at a time."""
        import pyarrow
        from pyarrow import csv, parquet

        types = {name: pyarrow.type_for_alias(kind) for name, kind in self._columns.items()}
        with TemporaryFile() as file:
            self._write_csv(file, order)
            file.seek(0)
            reader = csv.open_csv(
                file,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=types),
            )
            with parquet.ParquetWriter(part, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)


class RunBudget(RunFile):
    """The time budgets of all videos together, of groups of them, and of each."""

    def __init__(self, place: Path, group_by: str | None = None) -> None:
        super().__init__(place)
        self._group = None if group_by is None else parse_groups(group_by)
        self._observations: dict[str, Observation] = {}
        self._sources: dict[str, tuple[str, str]] = {}
        """The path of each video, and the area of its picture."""

    def __contains__(self, path: str) -> bool:
        return path in self._observations

    def fail(self, path: str, code: str) -> None:
        """A failure is no time."""

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`."""
        with reading_values(path):
            if document["task"] != "segment":
                raise UsageError(
                    f"{path}: is a classification; time budgets are of segments",
                    hint="use vidattn segment",
                )
            roi = document["settings"].get("roi")
            self._sources[path] = str(document["input"]["path"]), roi or ""
            self._observations[path] = Observation.of_document(document)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._observations

    def _write(self, part: Path, order: Iterable[str]) -> None:
        videos = {path: self._observations[path] for path in order if path in self}
        labels = sorted({label for one in videos.values() for label in one.durations})
        scopes = [("all", "", list(videos.values()))]
        if self._group is not None:
            groups: dict[str, list[Observation]] = {}
            for path, one in videos.items():
                groups.setdefault(self._group(*self._sources[path]), []).append(one)
            scopes += [("group", name, groups[name]) for name in sorted(groups)]
        scopes += [("video", _name(*self._sources[path]), [one]) for path, one in videos.items()]
        head = [*BUDGET_COLUMNS, *(escape_cell(f"to_{label}") for label in labels)]
        with _create(part) as file:
            file.write(csv_lines([head]))
            file.write(csv_lines(budget_rows(scopes, labels)))


@contextmanager
def reading_values(path: str) -> Iterator[None]:
    """Turn errors that wrong values of a document lead to into an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: not a timeline in JSON: {error}") from None


def _create(part: Path) -> IO[bytes]:
    return os.fdopen(open_output(part, os.O_WRONLY | os.O_EXCL), "wb")


class JobTables:
    """The tables of a batch run, as far as they are wanted."""

    def __init__(self, job: BatchJob) -> None:
        self._job, self._files = job, run_files(job.output)
        self._seen: dict[str, None] = {}
        """Results by name, in the order of their arrival."""
        self._takes_saved = job.skip_existing or len(job.paths) < len(job.names)
        """Whether results that are on disk belong into the tables: those of other shards, and of an
        earlier run that this one continues."""

    def take(self, event: BatchEvent) -> None:
        """Take the outcome of an input. Raises UsageError, OutputError."""
        match event:
            case Done(path, timeline) | Skipped(path, timeline) if self._files:
                document = timeline.to_dict(scores=timeline.task == "classify")
                area = (timeline.settings.roi or "") if self._job.areas else ""
                self._seen[_name(path, area)] = None
                for file in self._files:
                    file.add(_name(path, area), document)
                if any(file.is_due for file in self._files):
                    self.write()
            case Failed(path):
                for file in self._files:
                    file.fail(path, event.code)

    def write(self) -> list[Path]:
        """Write the results so far, in the order of the inputs; returns the paths.

        Raises OutputError.
        """
        written = []
        for file in self._files:
            place = file.place
            with writing(place), locked(place.with_name(f".{place.name}.lock")):
                if self._takes_saved:
                    self._add_saved(file)
                written.append(file.write(self._order()))
        return [place for place in written if place is not None]

    def _order(self) -> list[str]:
        """All results by name, those of watched folders last; inputs that failed have the names of
        their paths."""
        areas = dict.fromkeys((*self._job.areas, ""))
        named = [_name(path, area) for path in self._job.names for area in areas]
        return list(dict.fromkeys((*named, *self._seen)))

    def _add_saved(self, file: RunFile) -> None:
        for area in self._job.areas or ("",):
            job = self._job.of_area(area)
            for path in job.names:
                saved, name = job.place(path, "json"), _name(path, area)
                if not (name in file or path in file) and is_file(saved):
                    with suppress(InputError):  # no result, or a damaged one
                        file.add(name, load_document(saved))


def _name(path: str, area: str) -> str:
    """The name of a result: of an input, or of one of several areas of its picture."""
    return f"{path}: {area}" if area else path


def run_files(output: OutputFiles) -> list[RunFile]:
    """The tables that are wanted. Raises UsageError for a wrong way to group."""
    files: list[RunFile] = [] if output.table is None else [RunTable(output.table)]
    return files + ([] if output.budget is None else [RunBudget(output.budget, output.group_by)])


def keep_tables(events: BatchEvents, job: BatchJob) -> BatchEvents:
    """The events of a batch run, whose tables are written meanwhile and at the end. A stop that is
    thrown in reaches the run, which delivers what it has."""
    tables = JobTables(job)
    try:
        yield from observe(events, tables.take)
    finally:
        tables.write()


def tabulate(paths: Sequence[str], output: OutputFiles) -> Iterator[Failed | ProgressStep]:
    """Write tables of saved timelines: a progress step for each, and Failed for what is none.

    Raises UsageError for timelines that need tables of their own, InputError where there are none
    at all, and OutputError.
    """
    files = run_files(output)
    names = ", ".join(str(file.place) for file in files)
    for path in paths:
        try:
            document = load_document(path)
            for file in files:
                file.add(path, document)
        except InputError as error:
            yield Failed(path, error)
        yield ProgressStep(names, len(paths))
    if not [file.write(paths) for file in files if not file.is_empty]:
        raise InputError(f"{names}: not written, as no timeline could be read")

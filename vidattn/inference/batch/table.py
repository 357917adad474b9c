"""Tables of all videos of a batch run, or of saved timelines (`--table FILE`), and other files
about all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.errors import DataError, InputError
from vidattn.inference.batch.events import (
    BatchEvent,
    BatchEvents,
    Done,
    Failed,
    Note,
    ProgressStep,
    Skipped,
    observe,
)
from vidattn.inference.batch.inputs import name_result
from vidattn.inference.batch.run_files import (
    RunActogram,
    RunBudget,
    RunFile,
    RunPackage,
    RunTable,
    load_document,
)
from vidattn.io.files import is_file, writing
from vidattn.io.locks import locked

if TYPE_CHECKING:
    from vidattn.inference.batch.job import BatchJob
    from vidattn.inference.batch.output_files import OutputFiles


class JobTables:
    """The tables of a batch run, as far as they are wanted."""

    def __init__(self, job: BatchJob) -> None:
        self._job, self._files = job, run_files(job.output)
        self._seen: dict[str, None] = {}
        """Results by name, in the order of their arrival."""
        self.warnings = [text for file in self._files for text in file.foresee(job.paths)]
        """What can be told before the work begins."""
        self.left_out: dict[str, DataError] = {}
        """Results that lack what a file needs."""
        self._takes_saved = job.skip_existing or len(job.paths) < len(job.names)
        """Whether results that are on disk belong into the tables: those of other shards, and of an
        earlier run that this one continues."""

    def find_gaps(self) -> list[str]:
        """What the files lack, after the work."""
        return [text for file in self._files for text in file.find_gaps()]

    def take(self, event: BatchEvent) -> None:
        """Take the outcome of an input. Raises UsageError, OutputError."""
        match event:
            case Done(path, timeline) | Skipped(path, timeline) if self._files:
                document = timeline.to_dict(scores=timeline.task == "classify")
                area = (timeline.settings.roi or "") if self._job.areas else ""
                self._seen[name_result(path, area)] = None
                for file in self._files:
                    self._add(file, name_result(path, area), document)
                if any(file.is_due for file in self._files):
                    self.write()
            case Failed(path):
                for file in self._files:
                    file.fail(path, event.code)

    def _add(self, file: RunFile, name: str, document: Mapping[str, Any]) -> None:
        try:
            file.add(name, document)
        except DataError as error:
            self.left_out[name] = error

    def write(self) -> list[Path]:
        """Write the results so far, in the order of the inputs; returns the paths.

        Raises OutputError.
        """
        written = []
        for file in self._files:
            place = file.place
            if file.is_empty and not self._takes_saved:
                continue  # without a lock, which makes its folder
            with writing(place), locked(file.lock):
                if self._takes_saved:
                    self._add_saved(file)
                written.append(file.write(self._order()))
        return [place for place in written if place is not None]

    def _order(self) -> list[str]:
        """All results by name, those of watched folders last; inputs that failed have the names of
        their paths."""
        areas = dict.fromkeys((*self._job.areas, ""))
        named = [name_result(path, area) for path in self._job.names for area in areas]
        return list(dict.fromkeys((*named, *self._seen)))

    def _add_saved(self, file: RunFile) -> None:
        for area in self._job.areas or ("",):
            job = self._job.of_area(area)
            for path in job.names:
                saved, name = job.place(path, "json"), name_result(path, area)
                known = name in file or path in file or name in self.left_out
                if not known and is_file(saved):
                    with suppress(InputError):  # no result, or a damaged one
                        self._add(file, name, load_document(saved))


def run_files(output: OutputFiles) -> list[RunFile]:
    """The files about all results that are wanted.

    Raises UsageError for a wrong way to group, and DataError for a wrong table of deployments.
    """
    files: list[RunFile] = []
    if output.table is not None:
        files.append(RunTable(output.table))
    if output.budget is not None:
        files.append(RunBudget(output.budget, output.group_by))
        files.append(RunActogram(output.budget.with_name("actogram.csv")))
    if output.package is not None and output.deployments is not None:
        files.append(RunPackage(output.package, output.deployments, output.taxa))
    return files


def keep_tables(events: BatchEvents, job: BatchJob) -> BatchEvents:
    """The events of a batch run, whose tables are written meanwhile and at the end. A stop that is
    thrown in reaches the run, which delivers what it has."""
    tables = JobTables(job)
    yield from (Note(text, warning=True) for text in tables.warnings)
    try:
        yield from observe(events, tables.take)
        lacks = [*(error.message for error in tables.left_out.values()), *tables.find_gaps()]
        yield from (Note(text, warning=True) for text in lacks)
    finally:
        tables.write()


def tabulate(paths: Sequence[str], output: OutputFiles) -> Iterator[Failed | ProgressStep | Note]:
    """Write tables of saved timelines: a progress step for each, Failed for what is none, and a
    note on what a table lacks.

    Raises UsageError for timelines that need tables of their own, InputError where there are none
    at all, and OutputError.
    """
    files = run_files(output)
    names = ", ".join(map(str, output.tables))
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
    yield from (Note(text, warning=True) for file in files for text in file.find_gaps())

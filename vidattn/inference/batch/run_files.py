"""Files about all results of a batch run, which are whole whenever they exist."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from weakref import finalize

from vidattn.data.labeled_dataset import name_first
from vidattn.errors import InputError, UsageError
from vidattn.inference.batch.groups import NONE, parse_groups
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import open_output, read_file, reading, replacing_file, write_atomically
from vidattn.io.text import count_noun
from vidattn.output.camtrap import (
    MEDIA,
    OBSERVATIONS,
    CamtrapPackage,
    csv_rows,
    read_deployments,
    read_taxa,
)
from vidattn.output.tables import (
    ACTOGRAM_COLUMNS,
    BUDGET_COLUMNS,
    actogram_rows,
    budget_rows,
    csv_lines,
    escape_cell,
    failed_row,
    table_columns,
    table_rows,
)
from vidattn.timeline.budget import Actogram, BudgetSum, Observation, day_parts

INTERVAL = 10.0
"""Least seconds between two writes of a file while a run goes."""
SHARE = 20
"""Writing takes at most one part in this many of the time."""
SCORES = b'\n  "scores": '
"""Begins the scores in a saved document, which rows of segments do not need."""


class Spool:
    """Bytes by name in a temporary file, so that those of any number of results fit in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}
        """Offset and length."""

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __setitem__(self, name: str, data: bytes) -> None:
        self._places[name] = self._file.seek(0, os.SEEK_END), len(data)
        self._file.write(data)

    def __getitem__(self, name: str) -> bytes:
        offset, length = self._places[name]
        self._file.seek(offset)
        return self._file.read(length)


class RunFile(ABC):
    """A file about many videos. It is whole whenever it exists: a longer one replaces it while a
    run goes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._rows = Spool()
        """What the file needs of each input."""
        self._written, self._cost = time.monotonic(), 0.0

    def __contains__(self, path: str) -> bool:
        """Whether an input has been taken."""
        return path in self._rows

    @abstractmethod
    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """Take the document of an input.

        Raises InputError if it is none, DataError if it lacks something, and UsageError if it is of
        another file.
        """

    def foresee(self, paths: Sequence[str]) -> list[str]:
        """Sentences on what the file will lack, told before the inputs are worked on."""
        return []

    def find_gaps(self) -> list[str]:
        """Sentences on what the file lacks, told after the work."""
        return []

    def fail(self, path: str, code: str) -> None:
        """Take a failure, which most files have no place for."""
        return

    @property
    def lock(self) -> Path:
        """What a process holds that adds results of others to the file."""
        return self.place.with_name(f".{self.place.name}.lock")

    @property
    def is_due(self) -> bool:
        """Whether it is time to write the file while a run goes."""
        return time.monotonic() - self._written > max(INTERVAL, SHARE * self._cost)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not len(self._rows)

    def write(self, order: Iterable[str]) -> Path | None:
        """Write what is known of all inputs, in an order; None without any. Raises OutputError."""
        if self.is_empty:
            return None
        begun = time.monotonic()
        self._write(order)
        self._written = time.monotonic()
        self._cost = self._written - begun
        return self.place

    @abstractmethod
    def _write(self, order: Iterable[str]) -> None:
        """Write the whole file, or several."""


def create_part(part: Path) -> IO[bytes]:
    """A new file to write. Raises OSError."""
    return os.fdopen(open_output(part, os.O_WRONLY | os.O_EXCL), "wb")


@contextmanager
def reading_values(path: str) -> Iterator[None]:
    """Turn errors that wrong values of a document lead to into an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: not a timeline in JSON: {error}") from None


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


class RunTable(RunFile):
    """The rows of many videos, spooled to disk, so that any number of them fits in memory."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._is_parquet = place.suffix.lower() == ".parquet"
        self._text = str if self._is_parquet else escape_cell
        self._failed: dict[str, str] = {}
        self._columns: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return super().__contains__(path) or path in self._failed

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
        self._rows[path] = data
        self._failed.pop(path, None)

    def fail(self, path: str, code: str) -> None:
        """Take a failure; a table of videos has a row for it."""
        self._failed[path] = code

    def _write(self, order: Iterable[str]) -> None:
        with replacing_file(self.place) as part:
            if self._is_parquet:
                self._write_parquet(part, order)
            else:
                with create_part(part) as file:
                    self._write_csv(file, order)

    def _write_csv(self, file: IO[bytes], order: Iterable[str]) -> None:
        file.write(csv_lines([self._columns]))
        for path in order:
            if path in self._rows:
                file.write(self._rows[path])
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


class RunPackage(RunFile):
    """Collects results, each segment of which is an observation, and writes the package."""

    def __init__(self, place: Path, deployments: Path, taxa: Path | None = None) -> None:
        """place: its datapackage.json. Raises DataError for a wrong table."""
        super().__init__(place)
        meanings = None if taxa is None else read_taxa(taxa)
        self._package = CamtrapPackage(read_deployments(deployments), meanings)
        self._media = Spool()
        self._used: dict[str, tuple[str, str]] = {}
        """The deployment of each result, and its media file."""
        self._species: dict[str, None] = {}

    def foresee(self, paths: Sequence[str]) -> list[str]:
        """As of `RunFile`: videos of no deployment."""
        lost = [path for path in paths if self._package.find_deployment(path) is None]
        if not lost:
            return []
        count = count_noun(len(lost), "video")
        return [f"{self.place}: will lack {count} of no deployment: {name_first(lost)}"]

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`. Raises DataError as `CamtrapPackage.observe`."""
        with reading_values(path):
            media, observations = self._package.observe(document)
            self._media[media["mediaID"]] = csv_rows(MEDIA, [media])
            self._rows[path] = csv_rows(OBSERVATIONS, observations)
            self._used[path] = media["deploymentID"], media["mediaID"]
            names = (row.get("scientificName") for row in observations)
            self._species |= dict.fromkeys(name for name in names if name)

    @property
    def lock(self) -> Path:
        """Outside of its folder, which is not made for nothing."""
        return self.place.parent.with_name(f".{self.place.parent.name}.lock")

    def _write(self, order: Iterable[str]) -> None:
        paths = [path for path in order if path in self]
        files = dict.fromkeys(self._used[path][1] for path in paths)
        used = dict.fromkeys(self._used[path][0] for path in paths)
        folder = self.place.parent
        write_atomically(folder / "deployments.csv", self._package.deployments(used))
        for name, columns, spool, rows in (
            ("media", MEDIA, self._media, files),
            ("observations", OBSERVATIONS, self._rows, paths),
        ):
            with replacing_file(folder / f"{name}.csv") as part, create_part(part) as file:
                _copy(file, columns, spool, rows)
        document = self._package.describe(self.place, used, self._species)
        write_atomically(self.place, document)


def _copy(file: IO[bytes], columns: Iterable[str], spool: Spool, names: Iterable[str]) -> None:
    file.write((",".join(columns) + "\n").encode())
    for name in names:
        file.write(spool[name])


class RunBudget(RunFile):
    """The time budgets of all videos together, of groups of them, and of each."""

    def __init__(self, place: Path, group_by: str | None = None) -> None:
        super().__init__(place)
        self._group = None if group_by is None else parse_groups(group_by)
        self._labels: set[str] = set()
        self._scopes: dict[str, tuple[str, str]] = {}
        """The name of each video with the area of its picture, and its group."""

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`."""
        with reading_values(path):
            require_segments(path, document)
            roi, source = document["settings"].get("roi") or "", str(document["input"]["path"])
            seen = Observation.of_document(document)
            self._rows[path] = seen.to_bytes()
            self._labels |= seen.durations.keys()
            group = self._group(source, roi) if self._group else ""
            self._scopes[path] = f"{source}: {roi}" if roi else source, group

    def find_gaps(self) -> list[str]:
        """As of `RunFile`: videos of no group."""
        lost = [name for name, group in self._scopes.values() if group == NONE]
        count = count_noun(len(lost), "video")
        return [f"{self.place}: {count} of no group: {name_first(lost)}"] * bool(lost)

    def _write(self, order: Iterable[str]) -> None:
        paths, labels = [path for path in order if path in self], sorted(self._labels)
        head = [*BUDGET_COLUMNS, *(escape_cell(f"to_{label}") for label in labels)]
        with replacing_file(self.place) as part, create_part(part) as file:
            file.write(csv_lines([head]))
            for scope, name, budget in self._budgets(paths):
                file.write(csv_lines(budget_rows(scope, name, budget, labels)))

    def _budgets(self, paths: list[str]) -> Iterator[tuple[str, str, BudgetSum]]:
        """All scopes; each video is in memory for a moment only."""
        whole, groups = BudgetSum(), dict[str, BudgetSum]()
        for path in paths:
            seen = self._load(path)
            whole.add(seen)
            if self._group is not None:
                groups.setdefault(self._scopes[path][1], BudgetSum()).add(seen)
        yield "all", "", whole
        yield from (("group", name, groups[name]) for name in sorted(groups))
        for path in paths:
            yield "video", self._scopes[path][0], BudgetSum([self._load(path)])

    def _load(self, path: str) -> Observation:
        return Observation.from_bytes(self._rows[path])


class RunActogram(RunFile):
    """Labels by day and time of day, of all videos that say when they were recorded."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._timed = False

    def add(self, path: str, document: Mapping[str, Any]) -> None:
        """As of `RunFile`."""
        with reading_values(path):
            require_segments(path, document)
            parts = day_parts(document)
            self._rows[path] = b"" if parts is None else parts.to_bytes()  # without a start time
            self._timed |= parts is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._timed

    def _write(self, order: Iterable[str]) -> None:
        whole = Actogram()
        for path in order:
            if data := self._rows[path] if path in self else b"":
                whole.add(Actogram.from_bytes(data))
        with replacing_file(self.place) as part, create_part(part) as file:
            file.write(csv_lines([ACTOGRAM_COLUMNS]))
            file.write(csv_lines(actogram_rows(whole)))


def require_segments(path: str, document: Mapping[str, Any]) -> None:
    """Raise UsageError for a classification, which has no times."""
    if document["task"] != "segment":
        raise UsageError(
            f"{path}: is a classification; time budgets are of segments", hint="use vidattn segment"
        )

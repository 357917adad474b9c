"""Time budgets and actograms of all videos of a batch run (`-f budget`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidattn.errors import UsageError
from vidattn.inference.batch.groups import parse_groups
from vidattn.inference.batch.run_files import RunFile, create_part, reading_values
from vidattn.io.files import replacing_file
from vidattn.output.rows import (
    ACTOGRAM_COLUMNS,
    BUDGET_COLUMNS,
    actogram_rows,
    budget_rows,
    csv_lines,
)
from vidattn.output.tables import escape_cell
from vidattn.timeline.actogram import Actogram, day_parts
from vidattn.timeline.budget import BudgetSum, Observation


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
            f"{path}: is a classification; time budgets are of segments",
            hint="use vidattn segment",
        )

"""When the videos of a run were recorded: as given, as their files state, or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath

from vidattn.errors import InputError, UsageError
from vidattn.io.csv_table import PATHS, read_columns, take_values
from vidattn.io.files import exists
from vidattn.io.search import VideoNames
from vidattn.timeline import Timeline
from vidattn.timeline.wall_clock import parse_time, with_start_time

OWN = "file"
COLUMNS = {"path": PATHS, "start": ("start", "start_time", "datetime")}
HINT = "an ISO time such as 2024-05-01T06:30:00+02:00, file, or a csv of path,start"


@dataclass(frozen=True)
class StartTimes:
    """Where start times come from: one of the three."""

    time: str | None = None
    """Of the only video."""
    own: bool = False
    """Whether files state their creation time."""
    table: Mapping[str, str] = field(default_factory=dict)
    """By the names of videos."""

    @classmethod
    def parse(cls, text: str) -> StartTimes:
        """Of an ISO time, "file", or the path of a table. Raises UsageError for what is none of
        them, InputError for a table that is missing or wrong."""
        if text == OWN:
            return cls(own=True)
        try:
            return cls(time=parse_time(text).isoformat())
        except ValueError:
            if not exists(text) and not PurePath(text).suffix:
                raise UsageError(f"--start-time {text}: no time and no file", hint=HINT) from None
        return cls(table=_read_table(Path(text)))

    @cached_property
    def _names(self) -> VideoNames:
        return VideoNames(self.table)

    def find(self, path: str) -> str | None:
        """The time that is known for a video, but for what its file says. Raises DataError as
        `VideoNames` does."""
        name = self._names.find(path)
        return self.time if name is None else self.table[name]

    def apply(self, timeline: Timeline) -> Timeline:
        """The timeline with its start time, or with a warning that nothing says when it was."""
        known = timeline.input.created if self.own else self.find(timeline.source)
        if known is not None:
            return with_start_time(timeline, known)
        missing = "its file states no creation time" if self.own else "no row says when it began"
        warnings = dict.fromkeys((*timeline.warnings, missing))
        return replace(timeline, warnings=tuple(warnings))


def _read_table(path: Path) -> dict[str, str]:
    rows = []
    for line, row in read_columns(path, COLUMNS, ("path", "start"), InputError, HINT):
        try:
            rows.append((line, row["path"], parse_time(row["start"]).isoformat()))
        except ValueError as error:
            raise InputError(f"{path}: line {line}: {error}", hint=HINT) from None
    return take_values(path, rows, InputError)

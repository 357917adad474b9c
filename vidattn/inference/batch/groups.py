"""Groups of results: by folder or area, a pattern in paths, or a column of a list."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePath

from vidattn.errors import DataError, UsageError
from vidattn.io.csv_table import PATHS, read_columns, take_values
from vidattn.io.files import is_file
from vidattn.io.search import VideoNames

NONE = "none"
"""The group of videos that belong to no other."""


Grouping = Callable[[str, str], str]
"""From the path of a video and the name of an area in it, or "", to their group."""


def parse_groups(how: str) -> Grouping:
    """From "folder", "roi", a regular expression, or "LIST.csv:COLUMN" to a grouping.

    A pattern gives its first group, or all that it matches. A list names videos as of `VideoNames`,
    whose errors the grouping raises. Raises UsageError for a bad pattern, DataError for a bad list.
    """
    if how == "folder":
        return lambda path, _: str(PurePath(path).parent)
    if how == "roi":
        return lambda _, roi: roi or NONE
    place, _, column = how.rpartition(":")
    if place and is_file(place):
        groups = _read_column(Path(place), column)
        names = VideoNames(groups)
        return lambda path, _: groups.get(names.find(path) or "", NONE)
    if place.lower().endswith(".csv"):
        raise DataError(f"--group-by {how}: no such file: {place}")
    try:
        pattern = re.compile(how)
    except re.error as error:
        raise UsageError(
            f"--group-by {how!r}: neither folder, roi, LIST.csv:COLUMN nor a pattern: {error}"
        ) from None
    return lambda path, _: _match(pattern, path) or NONE


def _match(pattern: re.Pattern[str], path: str) -> str | None:
    found = pattern.search(path)
    return None if found is None else found[1] if pattern.groups else found[0]


def _read_column(place: Path, column: str) -> dict[str, str]:
    columns = {"path": PATHS, "group": (column.strip(),)}
    rows = read_columns(place, columns, ("path", "group"), DataError)
    groups = ((line, row["path"], row["group"] or NONE) for line, row in rows if row["path"])
    return take_values(place, groups, DataError)

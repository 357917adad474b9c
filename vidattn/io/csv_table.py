"""Small tables whose columns are found by their header, separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from vidattn.errors import VidattnError
from vidattn.io.files import read_file, reading

T = TypeVar("T")

PATHS = ("path", "file", "filename", "filepath", "file_path", "video", "video_path", "clip")
"""Headers of the column with the path or the name of a video."""
Rows = list[tuple[int, dict[str, str]]]
"""The line and the fields of each row."""
MARKS = ",;\t"
"""What separates the columns."""
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
MOST_SHOWN = 200
"""Characters of a header in an error."""


def read_columns(
    path: Path,
    aliases: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    kind: type[VidattnError],
    hint: str | None = None,
    numbers: Sequence[str] = (),
) -> Rows:
    """Read a file as `parse_columns` does; all errors are of one kind."""
    with reading(path, kind, hint=hint):
        data = read_file(path)
    try:
        return parse_columns(data, aliases, needed, numbers)
    except ValueError as error:
        raise kind(f"{path}: {error}", hint=hint) from None


def parse_columns(
    data: bytes,
    aliases: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    numbers: Sequence[str] = (),
) -> Rows:
    """The rows of a table by the purpose of their columns; fields that are missing are "".

    aliases: the headers of each purpose, in any case, the first counts before others. needed: a
    purpose that must have a column, or several such as "frame or second" of which one must.
    numbers: the purposes that are numbers.
    The separator is the comma, semicolon or tab of which the header has most. Raises ValueError.
    """
    text = decode_text(data)
    head = next((line for line in text.splitlines() if line.strip()), "")
    try:
        mark = max(MARKS, key=lambda mark: len(next(csv.reader([head], delimiter=mark), ())))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise ValueError(f"is no table: {error}") from None
    names = [name.strip() for name in lines[0][1]] if lines else []
    known = [name.casefold() for name in names]
    columns = {}
    for purpose, headers in aliases.items():
        if found := [header for header in headers if header.casefold() in known]:
            columns[purpose] = known.index(found[0].casefold())
    missing = [each for each in needed if not columns.keys() & {*each.split(" or ")}]
    if missing:
        words = (" or ".join(aliases[one][0] for one in each.split(" or ")) for each in missing)
        has = f"it has {', '.join(names)[:MOST_SHOWN]}" if names else "it is empty"
        raise ValueError(f"no column {', '.join(words)}; {has}")
    rows = (
        (line, {p: cells[k].strip() if k < len(cells) else "" for p, k in columns.items()})
        for line, cells in lines[1:]
    )
    return [(line, use_points(row, mark, numbers)) for line, row in rows]


def use_points(row: dict[str, str], mark: str, numbers: Iterable[str]) -> dict[str, str]:
    """The fields of a row, with a point for the decimal comma of each of `numbers`, which
    spreadsheets of many countries write where `mark`, which separates the columns, is no comma."""
    own = {name: row[name] for name in numbers if name in row and mark != ","}
    found = {name: text for name, text in own.items() if DECIMAL_COMMA.fullmatch(text.strip())}
    return row | {name: text.replace(",", ".") for name, text in found.items()}


def decode_text(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark. Raises ValueError for what
    is no text."""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if wide else "utf-8-sig", "replace")
    if "\0" in text:
        raise ValueError("is no table but binary data")
    return text


def take_values(
    path: Path, rows: Iterable[tuple[int, str, T]], kind: type[VidattnError]
) -> dict[str, T]:
    """The value of each name. rows: their lines, names and values. Raises `kind` where rows with
    the same name differ."""
    found: dict[str, tuple[int, T]] = {}
    for line, name, value in rows:
        first, other = found.setdefault(name, (line, value))
        if other != value:
            message = f"{path}: lines {first} and {line} differ, and both are of {name!r}"
            raise kind(message, hint="remove one of the lines")
    return {name: value for name, (_, value) in found.items()}

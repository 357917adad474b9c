"""Text tables to rows: csv, tsv, JSON Lines and lists separated by spaces, as people write them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidattn.errors import DataError
from vidattn.io.files import reading

DELIMITERS = "\t,;|"
SAMPLE = 200
"""Lines that are looked at to find the separator."""
NAMED_PROBLEMS = 20
ROWS_ARE = "rows are path,label[,start,end][,split]; quote a field that holds the separator"

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "filepath", "file_path", "video", "video_path", "clip"),
    "label": (
        *("label", "class", "class_name", "label_name"),
        *("category", "action", "label_id", "task_id"),
    ),
    "start": ("start", "start_time", "time_start", "start_seconds", "begin"),
    "end": ("end", "end_time", "time_end", "end_seconds", "stop"),
    "split": ("split", "subset"),
    "group": ("group", "subject"),
    "youtube_id": ("youtube_id", "video_id"),
}
"""What columns are for, and what their headers may say, in any case."""

Fields = dict[str, str]


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, and its fields by purpose (see COLUMNS)."""

    line: int
    fields: Fields


class RowErrors:
    """Collects what is wrong with the rows of a file, to be reported once."""

    def __init__(self, path: Path, unit: str = "line", hint: str = ROWS_ARE) -> None:
        self._path, self._unit, self._hint = path, unit, hint
        self._found: list[str] = []

    def add(self, line: int, what: str) -> None:
        """Note one bad row."""
        self._found.append(f"{self._unit} {line}: {what}")

    def raise_if_any(self) -> None:
        """Raises DataError that lists the bad rows."""
        if not self._found:
            return
        count = len(self._found)
        more = [f"and {count - NAMED_PROBLEMS} more"] if count > NAMED_PROBLEMS else []
        rows = "1 bad row" if count == 1 else f"{count} bad rows"
        raise DataError(
            "\n  ".join([f"{self._path}: {rows}", *self._found[:NAMED_PROBLEMS], *more]),
            hint=self._hint,
        )


def read_rows(path: Path) -> list[Row]:
    """The rows of a table by the purpose of their columns.

    The header is optional; without one the columns are path, label[, start, end][, split]. A byte
    order mark, any line ends, quotes and blank lines are understood. Raises DataError that names
    every malformed row.
    """
    text = _text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_rows(path, text)
    return _with_columns(path, _records(path, text))


def read_json(path: Path) -> object:
    """What a JSON file holds. Raises DataError when it cannot be read or is no JSON."""
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # endless digits, endless depth
        raise DataError(f"{path}: is not JSON that can be read: {error}") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of every line that is not blank. Raises DataError when unreadable."""
    lines = enumerate(_text(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def entries(path: Path, what: str) -> list[Mapping[str, object]]:
    """The objects of a JSON list. Raises DataError when it is none; what: of what, in words."""
    plain = read_json(path)
    if not isinstance(plain, list) or not all(isinstance(entry, Mapping) for entry in plain):
        raise DataError(f"{path}: is not a JSON list of {what}")
    if not plain:
        raise DataError(f"{path}: the list is empty")
    return plain


def _text(path: Path) -> str:
    with reading(path, DataError):
        data = path.read_bytes()
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 text", hint="save the list as UTF-8"
        ) from None


def _records(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Line number and fields of each record that is not blank."""
    try:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
        if delimiter == " ":
            lines = enumerate(text.splitlines(), 1)
            return [(number, _spaced(line)) for number, line in lines if line.strip()]
    except csv.Error as error:
        raise DataError(f"{path}: is no list: {error}") from None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    records = []
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                records.append((reader.line_num, [field.strip() for field in fields]))
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from None
    return records


def _delimiter(text: str) -> str:
    """The separator that most lines have the same number of; a space when there is none."""
    lines = [line for line in text.splitlines()[:SAMPLE] if line.strip()]
    best, votes = " ", len(lines) / 2
    for delimiter in DELIMITERS:
        counts = Counter(_count(line, delimiter) for line in lines)
        counts.pop(1, None)
        agreeing = max(counts.values(), default=0)
        if agreeing > votes:
            best, votes = delimiter, agreeing
    return best


def _count(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), []))


def _spaced(line: str) -> list[str]:
    """`path label`: the last word is the label, unless quotes say otherwise."""
    if line.lstrip().startswith('"'):
        return [field for field in next(csv.reader([line.strip()], delimiter=" ")) if field]
    return [part.strip() for part in line.strip().rsplit(None, 1)]


def purposes(header: Sequence[str]) -> dict[str, int] | None:
    """Purpose -> column, when a row is a header: it names a label and a path or a video id."""
    names = [name.strip().casefold() for name in header]
    found = {}
    for purpose, aliases in COLUMNS.items():
        column = next((names.index(alias) for alias in aliases if alias in names), None)
        if column is not None:
            found[purpose] = column
    return found if found.keys() & {"path", "youtube_id"} and len(found) > 1 else None


def first_columns(path: Path) -> dict[str, int] | None:
    """The columns of a table by purpose when its first line is a header, else None."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return None
    records = _records(path, _text(path))
    return purposes(records[0][1]) if records else None


def _with_columns(path: Path, records: list[tuple[int, list[str]]]) -> list[Row]:
    if not records:
        raise DataError(f"{path}: the list is empty")
    first = records[0][1]
    columns = purposes(first)
    problems = RowErrors(path)
    if columns is not None:
        records = records[1:]
    else:
        columns = _unnamed(len(first), path, first)
    rows = []
    for line, fields in records:
        while len(fields) > len(first) and not fields[-1]:
            fields.pop()
        if len(fields) != len(first):
            problems.add(line, f"{len(fields)} fields where the first line has {len(first)}")
            continue
        rows.append(Row(line, {purpose: fields[i] for purpose, i in columns.items()}))
    problems.raise_if_any()
    return rows


def _unnamed(count: int, path: Path, first: Sequence[str]) -> dict[str, int]:
    """Columns of a list without a header, by their number."""
    orders = {
        2: ("path", "label"),
        3: ("path", "label", "split"),
        4: ("path", "label", "start", "end"),
        5: ("path", "label", "start", "end", "split"),
    }
    if count not in orders:
        raise DataError(
            f"{path}: cannot tell what its {count} columns are; the first line is {first}",
            hint="begin the list with a header such as path,label,start,end,split",
        )
    return {purpose: i for i, purpose in enumerate(orders[count])}


def _json_rows(path: Path, text: str) -> list[Row]:
    problems = RowErrors(path)
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            plain = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(number, f"is not JSON: {getattr(error, 'msg', error)}")
            continue
        if isinstance(plain, Mapping):
            rows.append(Row(number, _json_fields(plain)))
        else:
            problems.add(number, "is not a JSON object")
    problems.raise_if_any()
    if not rows:
        raise DataError(f"{path}: the list is empty")
    return rows


def _json_fields(plain: Mapping[str, object]) -> Fields:
    keys = list(plain)
    columns = purposes(keys) or {}
    values = {purpose: plain[keys[column]] for purpose, column in columns.items()}
    return {purpose: "" if v is None else str(v) for purpose, v in values.items()}

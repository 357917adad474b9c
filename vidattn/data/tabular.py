"""Rows of text tables: csv, tsv, JSON Lines, and lists separated by spaces."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TypeVar

from vidattn.errors import DataError
from vidattn.io.csv_table import PATHS, use_points
from vidattn.io.files import read_file, reading
from vidattn.io.search import is_video
from vidattn.io.text import parse_seconds

In = TypeVar("In")
Out = TypeVar("Out")

DELIMITERS = "\t,;|"
MAX_GUESSED = 200
"""Lines from which the separator is guessed."""
MAX_PROBLEMS = 20
"""Bad rows that an error names."""
ROW_HINT = "rows are path,label[,start,end][,split]; quote a field that holds the separator"

REFUSED_HINT = (
    "spans are columns start and end in seconds, or start_ms and end_ms; splits are a column split "
    "of train, val and test; remove the column to ignore it"
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": PATHS,
    "label": (
        *("label", "class", "class_name", "label_name"),
        *("category", "action", "label_id", "task_id"),
    ),
    "start": ("start", "start_time", "time_start", "start_seconds", "begin"),
    "end": ("end", "end_time", "time_end", "end_seconds", "stop"),
    "start_ms": ("start_ms", "start_msec", "start_time_ms", "begin_ms"),
    "end_ms": ("end_ms", "end_msec", "end_time_ms", "stop_ms"),
    "split": ("split", "subset", "partition", "set"),
    "group": ("group", "subject"),
    "roi": ("roi",),
    "youtube_id": ("youtube_id", "video_id"),
    "guess": ("guess",),
}
"""Purpose of a column -> its possible headers, in any case."""
TIMES = "start", "end", "start_ms", "end_ms"
TIMELINE_COLUMNS = (
    "unsure",
    *("start_frame", "end_frame", "score", "confidence"),
    *("start_hms", "end_hms", "duration_seconds"),
    *("wall_start", "wall_end"),
)
"""What timelines in tables have beside times and labels."""
EDGE, PLACE = (
    "start|begin|first|from|onset|end|stop|last|to|offset",
    "frames?|idx|index|tc|timecode",
)
SPANS = re.compile(
    rf"({EDGE})_({PLACE}|ms|msec|milliseconds|s|sec|seconds)|({PLACE})_({EDGE})|from|to|onset|offset"
    r"|t_?(start|end|0|1)|segment|interval|span|timestamps?"
)
FOLDS = re.compile(r"(cv_|test_)?folds?|phase")
"""Headers that mean the part of a video, or its split, in a way that is not read."""
UNNAMED = {
    2: ("path", "label"),
    3: ("path", "label", "split"),
    4: ("path", "label", "start", "end"),
    5: ("path", "label", "start", "end", "split"),
}
"""Columns of a table without header, by their number."""


@dataclass(frozen=True)
class Row:
    """One row of a table: its line in the file, and its fields by purpose (see COLUMNS)."""

    line: int
    fields: dict[str, str]


def parse_rows(
    path: Path,
    rows: Iterable[tuple[int, In]],
    parse: Callable[[In], Out],
    *,
    unit: str = "line",
    hint: str = ROW_HINT,
) -> list[Out]:
    """Parse numbered rows of a file.

    `parse` raises ValueError for a bad row; one DataError then lists them all.
    """
    parsed, problems = [], []
    for number, row in rows:
        try:
            parsed.append(parse(row))
        except ValueError as error:
            problems.append(f"{unit} {number}: {error}")
    if problems:
        count = len(problems)
        lines = [f"{path}: {'1 bad row' if count == 1 else f'{count} bad rows'}"]
        lines += problems[:MAX_PROBLEMS]
        lines += [f"and {count - MAX_PROBLEMS} more"] * (count > MAX_PROBLEMS)
        raise DataError("\n  ".join(lines), hint=hint)
    return parsed


def number_rows(rows: Iterable[Row]) -> Iterable[tuple[int, dict[str, str]]]:
    """Line and fields of each row, for `parse_rows`."""
    return ((row.line, row.fields) for row in rows)


def read_rows(path: Path, group_by: str = "") -> list[Row]:
    """The rows of a table by the purpose of their columns.

    The header is optional; without one the columns are path, label[, start, end][, split]. A byte
    order mark, any line ends, quotes and blank lines are understood. group_by: the header of the
    column of groups, if there is such a column. Raises DataError that names every malformed row.
    """
    text = _read_text(path)
    if _is_json_lines(path):
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        fields = parse_rows(path, lines, partial(_parse_json, group_by=group_by))
        rows = [Row(number, f) for (number, _), f in zip(lines, fields, strict=True)]
    else:
        records = _split_records(path, text)
        rows = _name_columns(path, records, group_by, _find_delimiter(path, text))
    if not rows and not text.strip():
        raise DataError(f"{path}: the list is empty")
    return _drop_unlabeled(path, rows)


def _drop_unlabeled(path: Path, rows: list[Row]) -> list[Row]:
    """The rows of `vidattn suggest` that have got a label; all rows of other lists.

    Raises DataError where none has one.
    """
    kept = [row for row in rows if "guess" not in row.fields or row.fields.get("label")]
    if rows and not kept:
        raise DataError(f"{path}: no row has a label yet", hint="fill in the column label")
    return kept


def note_columns(path: Path, group_by: str = "") -> tuple[str, ...]:
    """A sentence on the columns of a table that are not read, if any. Raises DataError."""
    names = _read_names(path)
    known = {alias for aliases in COLUMNS.values() for alias in aliases}
    known.add(group_by.strip().casefold())
    found = _find_columns(names)
    if {"start", "end"} <= found.keys() or {"start_ms", "end_ms"} <= found.keys():
        known.update(TIMELINE_COLUMNS)
    others = [name for name in names if name.strip().casefold() not in known]
    if not others or not found:
        return ()
    return (f"{path}: columns that are not read: {', '.join(others)}",)


def name_group(path: Path) -> str:
    """The header of the column of groups. Raises DataError."""
    names = {name.strip().casefold() for name in _read_names(path)}
    return next((alias for alias in COLUMNS["group"] if alias in names), "group")


def _read_names(path: Path) -> list[str]:
    """The first line of a table, or the keys of its first object."""
    first = next((line for line in _read_text(path).splitlines() if line.strip()), "")
    if _is_json_lines(path):
        return list(json.loads(first))
    return next((fields for _, fields in _split_records(path, first)), [])


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises DataError."""
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # endless digits, endless depth
        raise DataError(f"{path}: is not JSON that can be read: {error}") from None


def read_entries(path: Path, what: str) -> list[tuple[int, Mapping[str, object]]]:
    """The objects of a JSON list, numbered from 1. `what` they are, for errors: DataError."""
    plain = read_json(path)
    if not isinstance(plain, list) or not all(isinstance(entry, Mapping) for entry in plain):
        raise DataError(f"{path}: is not a JSON list of {what}")
    if not plain:
        raise DataError(f"{path}: the list is empty")
    return list(enumerate(plain, 1))


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of every line that is not blank. Raises DataError."""
    lines = enumerate(_read_text(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_header(path: Path) -> dict[str, int]:
    """The columns of a table by purpose; empty when its first line is no header."""
    records = [] if _is_json_lines(path) else _split_records(path, _read_text(path))
    try:
        return _find_columns(records[0][1]) if records else {}
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint=REFUSED_HINT) from None


def _is_json_lines(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _read_text(path: Path) -> str:
    with reading(path, DataError):
        data = read_file(path)
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{path}: line {line} is not UTF-8 text"
        raise DataError(message, hint="save the list as UTF-8") from None


def _find_delimiter(path: Path, text: str) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else _guess_delimiter(text)


def _split_records(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Line number and fields of each record that is not blank."""
    try:
        delimiter = _find_delimiter(path, text)
        if delimiter == " ":
            rows = enumerate(map(_split_words, text.splitlines()), 1)
            return [(number, words) for number, words in rows if words]
    except csv.Error as error:
        raise DataError(f"{path}: is no list: {error}") from None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        records = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from None
    return [(line, fields) for line, fields in records if any(fields)]


def _guess_delimiter(text: str) -> str:
    """The separator with the same count in most lines; a space when there is none.

    Also a space where the names of videos hold the separator: `lecture, part 1.mp4 0`.
    """
    lines = [line for line in text.splitlines()[:MAX_GUESSED] if _split_words(line)]
    if lines and all(is_video(PurePath(_split_words(line)[0]).name) for line in lines):
        return " "
    best, votes = " ", len(lines) / 2
    for delimiter in DELIMITERS:
        rows = (csv.reader([line], delimiter=delimiter, skipinitialspace=True) for line in lines)
        counts = Counter(len(next(row, [])) for row in rows)
        counts.pop(1, None)
        agreeing = max(counts.values(), default=0)
        if agreeing > votes:
            best, votes = delimiter, agreeing
    return best


def _split_words(line: str) -> list[str]:
    """`path label`: the last word is the label, unless quotes say otherwise."""
    if line.lstrip().startswith('"'):
        return [field for field in next(csv.reader([line.strip()], delimiter=" ")) if field]
    return [part.strip() for part in line.strip().rsplit(None, 1)]


def _find_columns(header: Sequence[str], group_by: str = "") -> dict[str, int]:
    """Purpose -> column; empty unless the row names a path or a video id, and one more purpose.

    group_by: the header of the column of groups, if it is there. Raises ValueError for a column of
    SPANS or FOLDS, unless others say the same.
    """
    names = [name.strip().casefold() for name in header]
    found = {
        purpose: next(names.index(alias) for alias in aliases if alias in names)
        for purpose, aliases in COLUMNS.items()
        if not set(aliases).isdisjoint(names)
    }
    if not found.keys() & {"path", "youtube_id"} or len(found) < 2:
        return {}
    if group_by.strip().casefold() in names:
        found["group"] = found["group_by"] = names.index(group_by.strip().casefold())
    known = {header[column] for column in found.values()}
    timed = found.keys() >= {"start", "end"} or found.keys() >= {"start_ms", "end_ms"}
    for name in header:
        kind = SPANS if SPANS.fullmatch(_plain(name)) else FOLDS
        said = timed if kind is SPANS else "split" in found
        if name not in known and not said and kind.fullmatch(_plain(name)):
            raise ValueError(f"the column {name!r} has no meaning here, and may not be dropped")
    return found


def _plain(name: str) -> str:
    """A header in lower case with underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")


def _in_seconds(fields: dict[str, str]) -> dict[str, str]:
    """The fields with milliseconds, and times such as 1:30.5, in seconds. Raises ValueError."""
    for purpose in ("start", "end"):
        if text := fields.pop(f"{purpose}_ms", ""):
            if not re.fullmatch(r"\d{1,15}(\.\d*)?", text):
                raise ValueError(f"{purpose} is {text!r}, not a number of milliseconds")
            fields[purpose] = repr(float(text) / 1000)
        elif ":" in fields.get(purpose, ""):
            fields[purpose] = repr(parse_seconds(fields[purpose]))
    return fields


def _name_columns(
    path: Path, records: list[tuple[int, list[str]]], group_by: str, mark: str
) -> list[Row]:
    """mark: what separates the fields."""
    if not records:
        raise DataError(f"{path}: the list is empty")
    first = records[0][1]
    try:
        columns = _find_columns(first, group_by)
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint=REFUSED_HINT) from None
    if columns:
        records = records[1:]
    elif len(first) in UNNAMED:
        columns = {purpose: i for i, purpose in enumerate(UNNAMED[len(first)])}
    else:
        raise DataError(
            f"{path}: cannot tell what its {len(first)} columns are; the first line is {first}",
            hint="begin the list with a header such as path,label,start,end,split",
        )

    def parse(record: tuple[int, list[str]]) -> Row:
        line, fields = record
        while len(fields) > len(first) and not fields[-1]:
            fields.pop()
        if len(fields) != len(first):
            raise ValueError(f"{len(fields)} fields where the first line has {len(first)}")
        named = {purpose: fields[i] for purpose, i in columns.items()}
        return Row(line, _in_seconds(use_points(named, mark, TIMES)))

    return parse_rows(path, ((record[0], record) for record in records), parse)


def _parse_json(line: str, group_by: str = "") -> dict[str, str]:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {getattr(error, 'msg', error)}") from None
    if not isinstance(plain, Mapping):
        raise ValueError("is not a JSON object")
    keys = list(plain)
    values = {purpose: plain[keys[i]] for purpose, i in _find_columns(keys, group_by).items()}
    return _in_seconds({purpose: "" if v is None else str(v) for purpose, v in values.items()})

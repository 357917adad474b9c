"""Layout: a list of videos and their labels, `path,label[,start,end][,split]`.

Comma, tab, semicolon, bar or space between the fields, or one JSON object a line; with or without a
header. Relative paths begin at the folder of the list, or at --data-root. Labels are class names,
or class numbers that count from 0, whose names may stand in labels.txt beside the list, one a line.
A list without a split column has a fifth held back: of every class by the hash of the file paths,
or of the files when rows are spans of them, or of the groups when a column `group` says what
belongs together (the same person, the same film). What annotators saved (see `annotated`) is read
as such a list, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidattn.config.labels import normalize_label
from vidattn.data.annotations.elan_labelstudio import is_annotated, located, read_annotated
from vidattn.data.labeled_dataset import (
    VALIDATION_SHARE,
    LabeledDataset,
    ListedVideo,
    Split,
    number_labels,
    parse_split,
    require_existing,
    split_validation,
)
from vidattn.data.tabular import Row, RowErrors, read_rows
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder, reading
from vidattn.io.text import count_noun
from vidattn.timeline.segments import BACKGROUND
from vidattn.types import Window

SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".list", ".jsonl", ".ndjson"})
"""What the name of a list ends in."""

MAX_CLASSES = 1_000_000
"""No set has so many; a slip in a list must not exhaust memory."""
NAME_FILES = ("labels.txt", "classes.txt")


def open_table(
    path: Path,
    split: Split,
    *,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    max_missing: float = 0.0,
    name: str = "",
) -> LabeledDataset:
    """One half of a set that is a single list.

    root: where relative paths begin, by default the folder of the list. names: the classes in their
    order, when known beforehand. Raises DataError that names every bad row of the file.
    """
    near = root or (path if is_folder(path) else path.parent)
    said: tuple[str, ...] = ()
    if is_annotated(path):
        rows, said = _by_hand(path, near)
    else:
        rows = read_rows(path)
    labels, numbers = classes_of({path: rows}, names)
    examples = examples_of(path, rows, near, numbers)
    halves, notes = _halves_of(path, rows, examples)
    chosen = [example for example, half in zip(examples, halves, strict=True) if half == split]
    if not chosen:
        alone = len({example.key for example in examples}) == 1
        raise DataError(
            f"{path}: no row belongs to {split}",
            hint="all rows are of one file or group, which stays together; add a column split of "
            "train and val"
            if alone
            else None,
        )
    there = require_existing(chosen, str(path), max_missing)
    return LabeledDataset(
        name or path.stem,
        near,
        split,
        labels,
        there.items,
        (*said, *notes, *there.notes),
        there.missing,
    )


def _by_hand(path: Path, near: Path) -> tuple[list[Row], tuple[str, ...]]:
    """The spans that annotators labeled as rows of a list, background left out; and notes.

    Where all are of one film each is a group of its own: there is nothing else to hold back.
    """
    films, notes = read_annotated(path)
    alone = len({film.film for film in films}) == 1
    rows: list[Row] = []
    for film in films:
        where = str(located(film.film, near).absolute())
        for window, label in film.spans:
            if normalize_label(label) == BACKGROUND:
                continue
            span = {"start": repr(window.start), "end": repr(window.stop)}
            group = {"group": f"{film.film} {window.start}"} if alone else {}
            rows.append(Row(len(rows) + 1, {"path": where, "label": label, **span, **group}))
    if not rows:
        raise DataError(f"{path}: labels no span of any film")
    if alone:
        notes = (*notes, f"{path}: all spans are of one film, so scores on it will flatter")
    return rows, notes


def open_lists(
    lists: Mapping[Split, Path],
    split: Split,
    *,
    root: Path,
    names: Sequence[str] | None = None,
    max_missing: float = 0.0,
    name: str = "",
) -> LabeledDataset:
    """One half of a set that has a list for each; both are read, so that the classes agree.

    Arguments and errors as `open_table`.
    """
    if split not in lists:
        raise DataError(f"{root}: there is no list {split}.csv in it")
    tables = {path: read_rows(path) for path in lists.values()}
    labels, numbers = classes_of(tables, names)
    path = lists[split]
    there = require_existing(examples_of(path, tables[path], root, numbers), str(path), max_missing)
    notes = [f"{path.name} serves for validation"] * (path.stem.casefold().startswith("test"))
    return LabeledDataset(
        name or root.name, root, split, labels, there.items, (*notes, *there.notes), there.missing
    )


def split_lists(folder: Path) -> dict[Split, Path]:
    """The lists train.csv, val.csv and the like that lie directly in a folder.

    Raises DataError when it is not a folder that can be read.
    """
    found: dict[Split, Path] = {}
    rank = {name: i for i, name in enumerate(("val", "valid", "validate", "validation"))}
    with reading(folder, DataError):
        entries = list(folder.iterdir())
    files = (p for p in entries if p.suffix.lower() in SUFFIXES and is_file(p))
    for path in sorted(files, key=lambda p: (rank.get(p.stem.casefold(), len(rank)), p.name)):
        half = parse_split(path.stem)
        if half is not None:
            found.setdefault(half, path)
    return found


def classes_of(
    tables: Mapping[Path, Sequence[Row]], names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes of lists in their order, and what each may be called in a row: text -> number.

    names: the classes when known beforehand. Class numbers without names are called "class 0" ...
    """
    used = {row.fields.get("label", "") for rows in tables.values() for row in rows}
    used.discard("")
    if used and all(label.isdecimal() for label in used):
        top = max(map(_number, used))
        if top >= MAX_CLASSES:
            raise DataError(
                f"{next(iter(tables))}: a class number is above {MAX_CLASSES - 1:,}",
                hint="class numbers count from 0; a label of digits that is a name needs names",
            )
        known = names or _names_beside(next(iter(tables))) or [f"class {i}" for i in range(top + 1)]
        return tuple(known), {label: int(label) for label in used if int(label) < len(known)}
    labels = tuple(names) if names is not None else tuple(sorted(used))
    exact = {label: number for number, label in enumerate(labels)}
    if used <= exact.keys():
        return labels, exact
    by_key = number_labels(labels)
    return labels, {
        label: by_key[normalize_label(label)] for label in used if normalize_label(label) in by_key
    }


def _number(label: str) -> int:
    """A class number; what is longer than any is too large in any case."""
    return int(label) if len(label) <= len(str(MAX_CLASSES)) else MAX_CLASSES


def _names_beside(path: Path) -> list[str] | None:
    for name in NAME_FILES:
        file = path.with_name(name)
        if is_file(file) and file != path:
            lines = file.read_text("utf-8-sig").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return None


def examples_of(
    path: Path, rows: Sequence[Row], root: Path, numbers: Mapping[str, int]
) -> list[ListedVideo]:
    """The rows of a list as examples. Raises DataError that names every bad row."""
    problems = RowErrors(path)
    examples = []
    for row in rows:
        try:
            examples.append(_example(row, root, numbers))
        except ValueError as error:
            problems.add(row.line, str(error))
    problems.raise_if_any()
    return examples


def _example(row: Row, root: Path, numbers: Mapping[str, int]) -> ListedVideo:
    """One row; raises ValueError that says what is wrong with it."""
    fields = row.fields
    name, label = fields.get("path", ""), fields.get("label", "")
    if not name:
        raise ValueError("no path")
    if not label:
        raise ValueError("no label")
    if label not in numbers:
        raise ValueError(f"the label {label!r} is no class of this set")
    window = _window(fields.get("start", ""), fields.get("end", ""))
    return ListedVideo(root / name, numbers[label], window, fields.get("group") or name)


def _window(start: str, end: str) -> Window | None:
    if not start and not end:
        return None
    try:
        first, last = float(start or "0"), float(end)
    except ValueError:
        raise ValueError(f"start and end are seconds, got {start!r} and {end!r}") from None
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first < last):
        raise ValueError(f"start {start} and end {end}: expected 0 <= start < end")
    return Window(first, last)


def _halves_of(
    path: Path, rows: Sequence[Row], examples: Sequence[ListedVideo]
) -> tuple[list[Split | None], tuple[str, ...]]:
    """Which half each example is in, and how that was decided."""
    if any(row.fields.get("split") for row in rows):
        problems = RowErrors(path)
        found = [_stated(row, problems) for row in rows]
        problems.raise_if_any()
        return found, ()
    # Spans of one film look alike: all of them go to the same half.
    cut = any(example.window is not None for example in examples)
    named = any(row.fields.get("group") for row in rows)
    grouped = cut or named
    back = split_validation(
        [e.key for e in examples], None if grouped else [e.label for e in examples]
    )
    halves: list[Split | None] = ["val" if b else "train" for b in back]
    how = "groups" if named else "files" if cut else "file paths of every class"
    note = (
        f"{path}: no column split: {VALIDATION_SHARE:.0%} is for validation, by a hash of the "
        f"{how}: {count_noun(back.count(False), 'video')} to train, {back.count(True)} to validate"
    )
    absent = {e.label for e in examples} - {
        e.label for e, b in zip(examples, back, strict=True) if b
    }
    lacking = count_noun(len(absent), "class")
    notes = [f"{path}: nothing to validate of {lacking}"] if absent else []
    return halves, (note, *notes)


def _stated(row: Row, problems: RowErrors) -> Split | None:
    text = row.fields.get("split", "")
    half = parse_split(text)
    if half is None:
        problems.add(row.line, f"the split {text!r} is none of train, val and test")
    return half

"""Layout: a list of videos and their labels, `path,label[,start,end][,split]`.

Comma, tab, semicolon, bar or space between the fields, or one JSON object a line; with or without a
header. Relative paths begin at the folder of the list, or at --data-root. Labels are class names,
or class numbers that count from 0, whose names may stand in labels.txt beside the list, one a line.
Without a split column a fifth of every class is for validation: by a hash of the file paths, or in
whole files when rows are spans of them, or in whole groups when a column `group` keeps rows
together (the same person, the same recording). Spans may overlap: their labels hold at once.
Hand-labeled spans (ELAN, BORIS, Label Studio) are read alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vidattn.config.labels import normalize_label, split_labels
from vidattn.data.annotations.annotation import GroundTruth, locate_video, read_text
from vidattn.data.annotations.ground_truth import find_format
from vidattn.data.labeled_dataset import (
    GROUPS_HINT,
    VALIDATION_SHARE,
    LabeledDataset,
    ListedVideo,
    Split,
    group_names,
    number_labels,
    parse_split,
    select_existing,
    split_groups,
    split_validation,
)
from vidattn.data.tabular import (
    ROW_HINT,
    Row,
    name_group,
    note_columns,
    number_rows,
    parse_rows,
    read_rows,
)
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder, reading
from vidattn.io.text import count_noun
from vidattn.timeline.segments import BACKGROUND
from vidattn.types import Window

SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".list", ".jsonl", ".ndjson"})
"""Suffixes of lists."""

MAX_CLASSES = 1_000_000
"""A slip in a list must not exhaust memory; no dataset has so many classes."""
Span = tuple[float, float]
"""Start and stop in seconds of the file."""
LabeledSpan = tuple[float, float, int]
"""A span and the number of a class."""
LABEL_FILES = ("labels.txt", "classes.txt")
RANKS = {name: i for i, name in enumerate(("val", "valid", "validate", "validation"))}
"""Stems of validation lists, the preferred first."""


def open_table(
    path: Path,
    split: Split,
    *,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    max_missing: float = 0.0,
    group_by: str = "",
) -> LabeledDataset:
    """One split of a dataset that is a single list, or hand-labeled spans.

    root: start of relative paths, by default the folder of the list. names: the classes in their
    order, when known beforehand. group_by: the column or pattern of groups, see `open_dataset`.
    Raises DataError that names every bad row of the file.
    """
    root = root or (path if is_folder(path) else path.parent)
    notes: tuple[str, ...] = ()
    annotation = find_format(path)
    if annotation is not None and annotation.trainable:
        rows, notes = _list_spans(path, annotation.read(path, None), root)
    else:
        rows, notes = read_rows(path, group_by), note_columns(path, group_by)
        _require_rows(path, rows)
    if group_by:
        rows = _name_groups(path, rows, group_by)
    labels, numbers = read_classes({path: rows}, names)
    videos = join_overlaps(list_videos(path, rows, root, numbers, group_by))
    splits, split_notes = _assign_splits(path, rows, videos)
    chosen = [video for video, its in zip(videos, splits, strict=True) if its == split]
    if not chosen:
        alone = len({video.key for video in videos}) == 1
        hint = "all rows are of one file or group, which stays together; add a column split of "
        raise DataError(
            f"{path}: no row belongs to {split}", hint=hint + "train and val" if alone else None
        )
    found = LabeledDataset(
        path.stem, root, split, labels, notes=(*notes, *split_notes), listed=path
    )
    return select_existing(found, chosen, str(path), max_missing)


def _require_rows(path: Path, rows: Sequence[Row]) -> None:
    if not rows:
        raise DataError(f"{path}: has no rows below its header")


def _name_groups(path: Path, rows: Sequence[Row], group_by: str) -> list[Row]:
    """The rows with their groups: those of the column, or by a pattern in their paths."""
    if any(row.fields.get("split") for row in rows):
        raise DataError(f"{path}: --group-by: its rows state their splits")
    if any("group_by" in row.fields for row in rows):
        return list(rows)  # the column is there
    names = group_names([row.fields.get("path", "") for row in rows], group_by, str(path))
    return [
        Row(row.line, {**row.fields, "group": name}) for row, name in zip(rows, names, strict=True)
    ]


def _list_spans(path: Path, truth: GroundTruth, root: Path) -> tuple[list[Row], tuple[str, ...]]:
    """Labeled spans as rows of a list, background left out; and notes.

    Spans of a single video are a group each: otherwise none could be for validation.
    """
    alone = len({video.name for video in truth.videos}) == 1
    rows: list[Row] = []
    each = [(video, *one) for video in truth.videos for one in video.spans_by_area()]
    for video, roi, spans in each:
        where = str(locate_video(video.name, root).absolute())
        for window, label in spans:
            if normalize_label(label) != BACKGROUND:
                span = {"start": repr(window.start), "end": repr(window.stop), "roi": roi}
                group = {"group": f"{video.name} {window.start}"} if alone else {}
                fields = {"path": where, "label": label, "split": video.split, **span, **group}
                rows.append(Row(len(rows) + 1, fields))
    if not rows:
        raise DataError(f"{path}: labels no span of any video")
    warning = f"{path}: all spans are of one video, so scores on it will flatter"
    return rows, (*truth.notes, *[warning] * alone)


def open_lists(
    lists: Mapping[Split, Path],
    split: Split,
    *,
    root: Path,
    names: Sequence[str] | None = None,
    max_missing: float = 0.0,
    name: str = "",
) -> LabeledDataset:
    """One split of a dataset with a list for each; all are read, so that their classes agree.

    Arguments and errors as `open_table`.
    """
    if split not in lists:
        raise DataError(f"{root}: there is no list {split}.csv in it")
    tables = {path: read_rows(path) for path in lists.values()}
    labels, numbers = read_classes(tables, names)
    path = lists[split]
    _require_rows(path, tables[path])
    videos = list_videos(path, tables[path], root, numbers)
    if not name:  # published lists have one label a video
        videos = join_overlaps(videos)
    is_test = path.stem.casefold().startswith("test")
    notes = (f"{path.name} serves for validation",) * is_test + note_columns(path)
    found = LabeledDataset(name or root.name, root, split, labels, notes=notes, listed=path)
    return select_existing(found, videos, str(path), max_missing)


def find_lists(folder: Path) -> dict[Split, Path]:
    """The lists train.csv, val.csv and the like directly in a folder.

    Raises DataError when it is not a folder that can be read.
    """
    found: dict[Split, Path] = {}
    with reading(folder, DataError):
        entries = list(folder.iterdir())
    files = (p for p in entries if p.suffix.lower() in SUFFIXES and is_file(p))
    for path in sorted(files, key=lambda p: (RANKS.get(p.stem.casefold(), len(RANKS)), p.name)):
        split = parse_split(path.stem)
        if split is not None:
            found.setdefault(split, path)
    return found


def read_classes(
    tables: Mapping[Path, Sequence[Row]], names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes of lists in their order, and the number of each label text.

    names: the classes when known beforehand. Class numbers without names are called "class 0" ...
    """
    texts = {row.fields.get("label", "") for rows in tables.values() for row in rows}
    used = {label for text in texts for label in split_labels(text)}
    first = next(iter(tables))
    if used and all(label.isdecimal() for label in used):
        # A text longer than the largest number is too large in any case.
        if any(len(n) > len(str(MAX_CLASSES)) or int(n) >= MAX_CLASSES for n in used):
            raise DataError(
                f"{first}: a class number is above {MAX_CLASSES - 1:,}",
                hint="class numbers count from 0; a label of digits that is a name needs names",
            )
        count = max(map(int, used)) + 1
        known = names or _read_labels_beside(first) or [f"class {i}" for i in range(count)]
        return tuple(known), {label: int(label) for label in used if int(label) < len(known)}
    labels = tuple(names) if names is not None else tuple(sorted(used))
    exact = {label: number for number, label in enumerate(labels)}
    if used <= exact.keys():
        return labels, exact
    by_key = number_labels(labels)
    keys = {label: normalize_label(label) for label in used}
    return labels, {label: by_key[key] for label, key in keys.items() if key in by_key}


def _read_labels_beside(path: Path) -> list[str] | None:
    for name in LABEL_FILES:
        file = path.with_name(name)
        if is_file(file) and file != path:
            lines = read_text(file).splitlines()
            return [line.strip() for line in lines if line.strip()]
    return None


def list_videos(
    path: Path, rows: Sequence[Row], root: Path, numbers: Mapping[str, int], group_by: str = ""
) -> list[ListedVideo]:
    """The videos in the rows of a list. group_by: the header of its column of groups, if asked for.

    Raises DataError that names every bad row.
    """
    grouped = any(row.fields.get("group") or "group_by" in row.fields for row in rows)
    column, hint = group_by, ROW_HINT
    if grouped and not all(row.fields.get("group") for row in rows):
        column = group_by or name_group(path)
        leave = "leave out --group-by" if group_by else "rename the column to leave grouping out"
        hint = f"fill in {column} in every row, or {leave}"

    def parse(fields: Mapping[str, str]) -> ListedVideo:
        name, label = fields.get("path", ""), fields.get("label", "")
        if not name or not split_labels(label):
            raise ValueError("no label" if name else "no path")
        if unknown := [text for text in split_labels(label) if text not in numbers]:
            raise ValueError(f"the label {unknown[0]!r} is no class of this dataset")
        first, *more = dict.fromkeys(numbers[text] for text in split_labels(label))
        several = (first, *more) if more else ()
        window = _parse_window(fields.get("start", ""), fields.get("end", ""))
        group, roi = fields.get("group", ""), fields.get("roi", "")
        if grouped and not group:
            raise ValueError(f"no {column}")
        return ListedVideo(root / name, first, window, group or name, several, group, roi)

    return parse_rows(path, number_rows(rows), parse, hint=hint)


def join_overlaps(videos: Sequence[ListedVideo]) -> list[ListedVideo]:
    """The videos, each with the labels of others of its file and area that hold for a part of it.

    Two labels of the same span, or of a whole file, hold at once.
    """
    rows: defaultdict[tuple[Path, str], dict[Span, dict[int, None]]] = defaultdict(dict)
    for video in videos:
        own = rows[video.path, video.roi].setdefault(_span(video), {})
        own.update(dict.fromkeys(video.labels or (video.label,)))
    found = {place: _find_overlaps(spans) for place, spans in rows.items()}
    return [replace(v, also=_other_labels(v, found[v.path, v.roi][_span(v)])) for v in videos]


def _span(video: ListedVideo) -> Span:
    window = video.window
    return (window.start, window.stop) if window else (0.0, math.inf)


def _other_labels(video: ListedVideo, found: Sequence[LabeledSpan]) -> tuple[LabeledSpan, ...]:
    own = video.labels or (video.label,)
    return tuple(span for span in found if span[2] not in own)


def _find_overlaps(spans: Mapping[Span, Collection[int]]) -> Mapping[Span, list[LabeledSpan]]:
    """For each span of a file, its labels and those of others that overlap it."""
    order = sorted(spans)
    rows = {span: [(*span, label) for label in spans[span]] for span in order}
    found = {span: list(rows[span]) for span in order}
    for place, one in enumerate(order):
        for other in islice(order, place + 1, None):
            if other[0] >= one[1]:
                break
            found[one] += rows[other]
            found[other] += rows[one]
    return found


def _parse_window(start: str, end: str) -> Window | None:
    if not start and not end:
        return None
    try:
        first, last = float(start or "0"), float(end)
    except ValueError:
        raise ValueError(f"start and end are seconds, got {start!r} and {end!r}") from None
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first < last):
        raise ValueError(f"start {start} and end {end}: expected 0 <= start < end")
    return Window(first, last)


def _assign_splits(
    path: Path, rows: Sequence[Row], videos: Sequence[ListedVideo]
) -> tuple[list[Split], tuple[str, ...]]:
    """The split of each video, and notes on how it was decided."""
    if any(row.fields.get("split") for row in rows):
        return parse_rows(path, number_rows(rows), _read_split), ()
    # Spans of one video look alike: all of them go to the same split.
    cut = any(video.window is not None for video in videos)
    named = any(row.fields.get("group") for row in rows)
    keys, labels = [video.key for video in videos], [video.label for video in videos]
    together = cut or named
    chosen = split_groups(keys, labels) if together else split_validation(keys, labels)
    how = "in whole groups" if named else "in whole files" if cut else "by a hash of the file paths"
    how += "" if named else f" ({GROUPS_HINT})"
    noun = "sample" if cut else "video"
    note = (
        f"{path}: no column split: about {VALIDATION_SHARE:.0%} of every class is for validation, "
        f"{how}: {count_noun(chosen.count(False), noun)} to train, "
        f"{chosen.count(True)} to validate"
    )
    return ["val" if val else "train" for val in chosen], (note,)


def _read_split(fields: Mapping[str, str]) -> Split:
    text = fields.get("split", "")
    split = parse_split(text)
    if split is None:
        raise ValueError(f"the split {text!r} is none of train, val and test")
    return split

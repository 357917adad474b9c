"""Datasets by name or path: `open_dataset("k400", ...)`, `open_dataset("./my_clips", ...)`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from vidattn.config.serialization import check_value
from vidattn.data.annotations.ground_truth import FORMATS, find_format
from vidattn.data.labeled_dataset import LabeledDataset, Split, group_names, warn_of_similar
from vidattn.data.sets import csv_list, diving48, hmdb51, howto100m, kinetics, ssv2, ucf101
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.named_dataset import MAX_MISSING, SPLIT_NAMES, NamedDataset, Opener
from vidattn.errors import DataError
from vidattn.io.files import exists, is_file, is_folder
from vidattn.io.search import suggest_names

ANNOTATIONS = ", ".join(known.description for known in FORMATS if known.trainable)
LAYOUTS = (
    "a folder for each class (<class>/<video>.mp4, in train/ and val/ or without them), "
    "a list of `path,label[,start,end][,split]` as csv, tsv, jsonl or separated by spaces, "
    f"or spans labeled by hand: {ANNOTATIONS}"
)


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset that goes by a name."""

    title: str
    open: Opener
    layouts: str
    """Expected content of its folder, in words."""
    folder: str = ""
    """Name of its folder; empty: the name of the dataset."""


def _list_folds(name: str, title: str, opener: Opener, layouts: str) -> dict[str, DatasetInfo]:
    """A dataset with three published splits: ucf101, ucf101-2, ucf101-3."""
    return {
        name if fold == 1 else f"{name}-{fold}": DatasetInfo(
            f"{title}, split {fold}", opener, layouts, name
        )
        for fold in (1, 2, 3)
    }


DATASETS: dict[str, DatasetInfo] = {
    "k400": DatasetInfo("Kinetics-400", kinetics.open_kinetics, kinetics.LAYOUTS),
    "k600": DatasetInfo("Kinetics-600", kinetics.open_kinetics, kinetics.LAYOUTS),
    "k700": DatasetInfo("Kinetics-700", kinetics.open_kinetics, kinetics.LAYOUTS),
    "ssv2": DatasetInfo("Something-Something V2", ssv2.open_ssv2, ssv2.LAYOUTS),
    "diving48": DatasetInfo("Diving-48", diving48.open_diving48, diving48.LAYOUTS),
    "howto100m": DatasetInfo("HowTo100M", howto100m.open_howto100m, howto100m.LAYOUTS),
    **_list_folds("ucf101", "UCF101", ucf101.open_ucf101, ucf101.LAYOUTS),
    **_list_folds("hmdb51", "HMDB51", hmdb51.open_hmdb51, hmdb51.LAYOUTS),
}
"""Every named dataset; a new one is a file that opens it and a row here."""


def normalize_name(dataset: str) -> str:
    """One text for one dataset: ./clips/ is clips, unless a known dataset is called so."""
    name = os.path.normpath(dataset)
    is_folder = name != dataset.rstrip("/")
    return f"./{name}" if is_folder and (name in DATASETS or name == "motion") else name


def open_dataset(
    name_or_path: str,
    data_root: Path | None = None,
    split: Split = "train",
    *,
    max_missing: float | None = None,
    group_by: str = "",
) -> LabeledDataset:
    """Open one split of a dataset; no video is read.

    name_or_path: a name in DATASETS, a folder, a list or an annotation. data_root: the folder of a
    named dataset (or the one above it), or the start of relative paths in a list; by default
    $VIDATTN_DATA/<name>, then ./data/<name>. max_missing: the share of listed videos that may be
    missing; by default 0.1 for named datasets, whose copies always lack some, and 0 otherwise.
    group_by: where a dataset has no splits, a column of its list, or a pattern in file paths, that
    names the group of each video; a group is never split.

    Raises DataError when the name is unknown, nothing is found, or what is found is malformed.
    """
    data_root = data_root and Path(check_value(str, data_root, "data_root"))
    known = DATASETS.get(name_or_path)
    if known is not None:
        if group_by:
            raise DataError(f"--group-by: {name_or_path} has published splits")
        allowed = MAX_MISSING if max_missing is None else max_missing
        root = _find_root(name_or_path, known, data_root)
        return known.open(NamedDataset(name_or_path, root, split, allowed))
    path = _find_path(name_or_path, data_root)
    return warn_of_similar(_open_path(path, data_root, split, max_missing or 0.0, group_by))


def _open_path(
    path: Path, data_root: Path | None, split: Split, allowed: float, group_by: str
) -> LabeledDataset:
    annotation = find_format(path)
    is_list = is_file(path) and path.suffix.lower() in csv_list.SUFFIXES
    if is_list or (annotation is not None and annotation.trainable):
        return csv_list.open_table(
            path, split, root=data_root, max_missing=allowed, group_by=group_by
        )
    if not is_folder(path):
        hint = f"lists end in {', '.join(sorted(csv_list.SUFFIXES))}; annotations are {ANNOTATIONS}"
        raise DataError(f"{path}: is neither a folder nor a list", hint=hint)
    lists = csv_list.find_lists(path)
    if lists and group_by:
        raise DataError(f"{path}: --group-by: the lists in it state the splits")
    if lists:
        return csv_list.open_lists(lists, split, root=data_root or path, max_missing=allowed)
    return open_folder(path, split, group_by=group_by)


def _find_path(name: str, data_root: Path | None) -> Path:
    places = [Path(os.path.expanduser(name))]  # noqa: PTH111 - pathlib raises for unknown users
    places += [data_root / name] if data_root is not None else []
    found = next((place for place in places if exists(place)), None)
    if found is not None:
        return found
    if len(Path(name).parts) > 1 or Path(name).suffix or name.startswith("."):
        close = suggest_names(name, _looks_like_one)
        raise DataError(f"{name}: no such file or folder", hint=f"{close}a dataset is {LAYOUTS}")
    close = suggest_names(name, _looks_like_one, DATASETS).strip()
    raise DataError(
        f"{name!r} is neither a known dataset nor a folder here; known: motion, "
        + ", ".join(DATASETS),
        hint=close or f"or name {LAYOUTS}",
    )


def _looks_like_one(path: Path) -> bool:
    return is_folder(path) or path.suffix.lower() in csv_list.SUFFIXES


def _find_root(name: str, known: DatasetInfo, data_root: Path | None) -> Path:
    """The folder of a named dataset: the first place that exists."""
    name, home = known.folder or name, os.environ.get("VIDATTN_DATA", "")
    if data_root is not None:
        places = [data_root / name, data_root]
    else:
        places = [Path(home, name)] * bool(home) + [Path("data", name)]
    found = next((place for place in places if is_folder(place)), None)
    if found is not None:
        return found
    more = "" if data_root or home else "; $VIDATTN_DATA is not set"
    raise DataError(
        f"{known.title} was not found; searched: {', '.join(map(str, places))}{more}",
        hint=f"name its folder with --data-root DIR; in it: {known.layouts}",
    )


def open_samples(
    name_or_path: str, data_root: Path | None = None, *, group_by: str = ""
) -> LabeledDataset:
    """All samples of a dataset, those of both splits, each with its group. Arguments and errors as
    of `open_dataset`."""
    opened, errors = list[LabeledDataset](), list[DataError]()
    for split in SPLIT_NAMES:
        try:
            opened.append(open_dataset(name_or_path, data_root, split, group_by=group_by))
        except DataError as error:
            errors.append(error)
    if not opened:
        raise errors[0]
    items = tuple(item for each in opened for item in each.items)
    if group_by and not all(item.group for item in items):
        paths = [Path(os.path.relpath(item.path, opened[0].root)).as_posix() for item in items]
        names = group_names(paths, group_by, str(opened[0].root))
        items = tuple(replace(item, group=one) for item, one in zip(items, names, strict=True))
    notes = dict.fromkeys(note for each in opened for note in each.notes)
    kept = tuple(note for note in notes if " for validation" not in note)  # of splits
    return replace(opened[0], items=items, notes=kept)

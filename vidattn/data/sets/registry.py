"""Data sets by name or path: `open_dataset("k400", ...)`, `open_dataset("./my_clips", ...)`."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from vidattn.data.annotations.elan_labelstudio import FORMS, is_annotated
from vidattn.data.labeled_dataset import LabeledDataset, Split
from vidattn.data.sets import diving48, hmdb51, howto100m, kinetics, ssv2, ucf101
from vidattn.data.sets.csv_list import SUFFIXES as TABLES
from vidattn.data.sets.csv_list import open_lists, open_table, split_lists
from vidattn.data.sets.diving48 import open_diving48
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.hmdb51 import open_hmdb51
from vidattn.data.sets.howto100m import open_howto100m
from vidattn.data.sets.kinetics import open_kinetics
from vidattn.data.sets.lists import MAX_MISSING
from vidattn.data.sets.ssv2 import open_ssv2
from vidattn.data.sets.ucf101 import open_ucf101
from vidattn.errors import DataError
from vidattn.io.files import exists, is_file, is_folder

__all__ = ["KNOWN", "DatasetInfo", "LabeledDataset", "open_dataset"]

LAYOUTS = (
    "a folder for each class (<class>/<video>.mp4, in train/ and val/ or without them), "
    "a list of `path,label[,start,end][,split]` as csv, tsv, jsonl or separated by spaces, "
    "or spans that were labeled by hand: .eaf files of ELAN, a JSON export of Label Studio"
)


class OpenDataset(Protocol):
    """Opens one half of a named set below a folder; see `open_kinetics`."""

    def __call__(
        self, name: str, root: Path, split: Split, max_missing: float
    ) -> LabeledDataset: ...


class OpenFold(Protocol):
    """The same for a set with several published splits."""

    def __call__(
        self, name: str, root: Path, split: Split, max_missing: float, *, fold: int
    ) -> LabeledDataset: ...


@dataclass(frozen=True)
class DatasetInfo:
    """A data set that goes by a name."""

    title: str
    open: OpenDataset
    layouts: str
    """What is looked for in its folder, in words."""
    folder: str = ""
    """What its folder is called; empty: as the set."""


def _folds(name: str, title: str, opener: OpenFold, layouts: str) -> dict[str, DatasetInfo]:
    """A set with three published splits: the first by its name, the others by name and number."""
    return {
        f"{name}-{fold}" if fold > 1 else name: DatasetInfo(
            f"{title}, split {fold}", partial(opener, fold=fold), layouts, name
        )
        for fold in (1, 2, 3)
    }


KNOWN: dict[str, DatasetInfo] = {
    "k400": DatasetInfo("Kinetics-400", open_kinetics, kinetics.LAYOUTS),
    "k600": DatasetInfo("Kinetics-600", open_kinetics, kinetics.LAYOUTS),
    "k700": DatasetInfo("Kinetics-700", open_kinetics, kinetics.LAYOUTS),
    "ssv2": DatasetInfo("Something-Something V2", open_ssv2, ssv2.LAYOUTS),
    "diving48": DatasetInfo("Diving-48", open_diving48, diving48.LAYOUTS),
    "howto100m": DatasetInfo("HowTo100M", open_howto100m, howto100m.LAYOUTS),
    **_folds("ucf101", "UCF101", open_ucf101, ucf101.LAYOUTS),
    **_folds("hmdb51", "HMDB51", open_hmdb51, hmdb51.LAYOUTS),
}
"""Name -> how it is opened."""


def open_dataset(
    name_or_path: str,
    data_root: Path | None = None,
    split: Split = "train",
    *,
    max_missing: float | None = None,
) -> LabeledDataset:
    """Open one half of a data set; no video is read.

    name_or_path: a name in KNOWN, a folder, or a list file. data_root: where the named set lies (or
    lies in a folder of its name), or where the relative paths of a list begin; by default
    $VIDATTN_DATA/<name>, then ./data/<name>. max_missing: the share of listed videos that may be
    missing; by default 0.1 for named sets, whose copies always lack some, and 0 otherwise.

    Raises DataError when the name is unknown, nothing is found, or what is found is malformed.
    """
    known = KNOWN.get(name_or_path)
    if known is not None:
        allowed = MAX_MISSING if max_missing is None else max_missing
        return known.open(name_or_path, _root(name_or_path, known, data_root), split, allowed)
    path = _path(name_or_path, data_root)
    allowed = max_missing or 0.0
    if is_annotated(path):
        return open_table(path, split, root=data_root, max_missing=allowed)
    if is_file(path):
        if path.suffix.lower() not in TABLES:
            raise DataError(
                f"{path}: is neither a folder nor a list",
                hint=f"lists are called {', '.join(sorted(TABLES))}; annotations are {FORMS}",
            )
        return open_table(path, split, root=data_root, max_missing=allowed)
    if not is_folder(path):
        raise DataError(f"{path}: is neither a folder nor a list", hint=f"a data set is {LAYOUTS}")
    lists = split_lists(path)
    if lists:
        return open_lists(lists, split, root=data_root or path, max_missing=allowed)
    return open_folder(path, split)


def _path(name: str, data_root: Path | None) -> Path:
    places = [Path(os.path.expanduser(name))]  # noqa: PTH111 - pathlib raises for unknown users
    if data_root is not None:
        places.append(data_root / name)
    for place in places:
        if exists(place):
            return place
    if len(Path(name).parts) > 1 or Path(name).suffix or name.startswith("."):
        raise DataError(f"{name}: no such file or folder", hint=f"a data set is {LAYOUTS}")
    close = difflib.get_close_matches(name.lower(), KNOWN, n=1)
    raise DataError(
        f"{name!r} is neither a known data set nor a folder here; known: motion, "
        + ", ".join(KNOWN),
        hint=f"did you mean {close[0]}?" if close else f"or name {LAYOUTS}",
    )


def _root(name: str, known: DatasetInfo, data_root: Path | None) -> Path:
    """The folder of a named set: the first place that exists."""
    name = known.folder or name
    if data_root is not None:
        places = [data_root / name, data_root]
    else:
        home = os.environ.get("VIDATTN_DATA", "")
        places = [Path(home, name)] if home else []
        places.append(Path("data", name))
    for place in places:
        if is_folder(place):
            return place
    searched = ", ".join(map(str, places))
    more = "" if data_root or os.environ.get("VIDATTN_DATA") else "; $VIDATTN_DATA is not set"
    raise DataError(
        f"{known.title} was not found; searched: {searched}{more}",
        hint=f"say where it lies with --data-root DIR; in it: {known.layouts}",
    )

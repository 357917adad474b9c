"""Data sets by name or path: `open_set("k400", ...)`, `open_set("./my_clips", ...)`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vidattn.data.folder import open_folder
from vidattn.data.kinetics import open_kinetics
from vidattn.data.labelled import LabelledSet, Split
from vidattn.data.table import SUFFIXES as TABLES
from vidattn.data.table import open_lists, open_table, split_lists
from vidattn.errors import DataError

__all__ = ["KNOWN", "KnownSet", "LabelledSet", "open_set"]

LAYOUTS = (
    "a folder for each class (<class>/<video>.mp4, in train/ and val/ or without them), "
    "or a list of `path,label[,start,end][,split]` as csv, tsv, jsonl or separated by spaces"
)


@dataclass(frozen=True)
class KnownSet:
    """A data set that goes by a name."""

    title: str
    open: Callable[[str, Path, Split, float | None], LabelledSet]
    layouts: str
    """What is looked for in its folder, in words."""


KNOWN: dict[str, KnownSet] = {
    name: KnownSet(
        title,
        open_kinetics,
        "the official annotations {train,val}.csv with <youtube_id>_<start>_<end>.mp4 anywhere "
        "below; or lists {train,val}.csv of `path label`; or train/<class>/ and val/<class>/",
    )
    for name, title in (("k400", "Kinetics-400"), ("k600", "Kinetics-600"))
}
"""Name -> how it is opened."""


def open_set(
    name_or_path: str,
    data_root: Path | None = None,
    split: Split = "train",
    *,
    max_missing: float | None = None,
) -> LabelledSet:
    """Open one half of a data set; no video is read.

    name_or_path: a name in KNOWN, a folder, or a list file. data_root: where the named set lies (or
    lies in a folder of its name), or where the relative paths of a list begin; by default
    $VIDATTN_DATA/<name>, then ./data/<name>. max_missing: the share of listed videos that may be
    missing; by default 0.1 for named sets, whose copies always lack some, and 0 otherwise.

    Raises DataError when the name is unknown, nothing is found, or what is found is malformed.
    """
    known = KNOWN.get(name_or_path)
    if known is not None:
        return known.open(name_or_path, _root(name_or_path, known, data_root), split, max_missing)
    path = _path(name_or_path, data_root)
    allowed = max_missing or 0.0
    if path.is_file():
        if path.suffix.lower() not in TABLES:
            raise DataError(
                f"{path}: is neither a folder nor a list",
                hint=f"lists are called {', '.join(sorted(TABLES))}",
            )
        return open_table(path, split, root=data_root, max_missing=allowed)
    if not path.is_dir():
        raise DataError(f"{path}: is neither a folder nor a list", hint=f"a data set is {LAYOUTS}")
    lists = split_lists(path)
    if lists:
        return open_lists(lists, split, root=data_root or path, max_missing=allowed)
    return open_folder(path, split)


def _path(name: str, data_root: Path | None) -> Path:
    places = [Path(name).expanduser()]
    if data_root is not None:
        places.append(data_root / name)
    for place in places:
        if place.exists():
            return place
    if len(Path(name).parts) > 1 or Path(name).suffix or name.startswith("."):
        raise DataError(f"{name}: no such file or folder", hint=f"a data set is {LAYOUTS}")
    close = difflib.get_close_matches(name.lower(), KNOWN, n=1)
    raise DataError(
        f"{name!r} is neither a known data set nor a folder here; known: motion, "
        + ", ".join(KNOWN),
        hint=f"did you mean {close[0]}?" if close else f"or name {LAYOUTS}",
    )


def _root(name: str, known: KnownSet, data_root: Path | None) -> Path:
    """The folder of a named set: the first place that exists."""
    if data_root is not None:
        places = [data_root / name, data_root]
    else:
        home = os.environ.get("VIDATTN_DATA", "")
        places = [Path(home, name)] if home else []
        places.append(Path("data", name))
    for place in places:
        if place.is_dir():
            return place
    searched = ", ".join(map(str, places))
    more = "" if data_root or os.environ.get("VIDATTN_DATA") else "; $VIDATTN_DATA is not set"
    raise DataError(
        f"{known.title} was not found; searched: {searched}{more}",
        hint=f"say where it lies with --data-root DIR; in it: {known.layouts}",
    )

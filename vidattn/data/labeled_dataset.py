"""A finite set of labeled videos, and what all layouts on disk have in common."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from vidattn.config.labels import normalize_label
from vidattn.errors import DataError
from vidattn.io.files import is_file
from vidattn.io.text import count_noun
from vidattn.types import Item, Window

Split = Literal["train", "val"]

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "test", "testing"),
}
"""What the two halves of a set are called in the wild; the earlier name wins."""

SUFFIXES = frozenset({".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}) | {
    ".3gp", ".ogv", ".ts", ".webm", ".wmv"
}  # fmt: skip
"""The files of a folder that count as videos."""

VALIDATION_SHARE = 0.2
"""The share of a set without splits that serves for validation."""

MAX_NAMED = 5
"""How many of many an error or a note names."""


@dataclass(frozen=True)
class LabeledDataset:
    """Videos and their classes: one half, train or val, of a data set.

    Both halves of a set have the same `labels` in the same order.
    """

    name: str
    root: Path
    split: Split
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """What the user should know (how the set was split, what is missing), one sentence each."""
    missing: tuple[str, ...] = ()
    """Videos that are listed but not there, as many as may be missing."""


@dataclass(frozen=True)
class ListedVideo:
    """One video as a layout lists it, before it is known whether its file exists."""

    path: Path
    label: int
    window: Window | None = None
    key: str = ""
    """Whatever shares a key stays in the same half."""


def parse_split(name: str) -> Split | None:
    """Which half a folder, a file stem or the value of a column names; None when neither."""
    folded = name.strip().casefold()
    for split, names in SPLITS.items():
        if folded in names:
            return "train" if split == "train" else "val"
    return None


def number_labels(labels: Sequence[str]) -> dict[str, int]:
    """Canonical class name to class number."""
    return {normalize_label(label): number for number, label in enumerate(labels)}


def split_validation(keys: Sequence[str], strata: Sequence[Hashable] | None = None) -> list[bool]:
    """Which videos are for validation: of each stratum VALIDATION_SHARE, by lowest hash of key.

    keys: one for each example; equal keys fall on the same side. strata: within each of which the
    share is held back (the classes); None takes all together, for keys that span classes. A stratum
    of one key keeps it for training. Depends on the keys alone, not on their order or the machine.
    """
    grouped: dict[Hashable, dict[str, int]] = defaultdict(dict)
    places = [None] * len(keys) if strata is None else list(strata)
    for key, stratum in zip(keys, places, strict=True):
        grouped[stratum][key] = grouped[stratum].get(key, 0) + 1
    chosen = {stratum: _lowest(counts) for stratum, counts in grouped.items()}
    return [key in chosen[stratum] for key, stratum in zip(keys, places, strict=True)]


def _lowest(counts: dict[str, int]) -> set[str]:
    """Keys in the order of their hashes until they have VALIDATION_SHARE of all, one at least."""
    wanted = round(VALIDATION_SHARE * sum(counts.values()))
    taken: set[str] = set()
    got = 0
    for key in sorted(counts, key=_digest):
        if len(taken) == len(counts) - 1 or (taken and got + counts[key] / 2 > wanted):
            break
        taken.add(key)
        got += counts[key]
    return taken


def _digest(key: str) -> bytes:
    return hashlib.sha256(unicodedata.normalize("NFC", key).encode("utf-8", "replace")).digest()


def find_videos(folder: Path) -> list[Path]:
    """Every video file below a folder, sorted by path; hidden files and folders do not count."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in files if is_video(name)]
    return sorted(found)


def is_video(name: str) -> bool:
    """Whether a file of this name counts as a video."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


class PresentVideos(NamedTuple):
    """What is left of a list once it is known which files exist."""

    items: tuple[Item, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def require_existing(
    examples: Sequence[ListedVideo], where: str, max_missing: float
) -> PresentVideos:
    """The examples whose files exist, as items, and a note on the others.

    max_missing: the share of files that may be missing, in [0, 1]. Raises DataError that counts and
    names them when more are, or when none is left.
    """
    there = {path: is_file(path) for path in {example.path for example in examples}}
    items = tuple(Item(str(e.path), e.label, e.window) for e in examples if there[e.path])
    missing = [str(path) for path in dict.fromkeys(e.path for e in examples) if not there[path]]
    notes = note_missing(missing, len(there), where, max_missing)
    return PresentVideos(items, notes, tuple(missing))


def note_missing(
    missing: Sequence[str], total: int, where: str, max_missing: float
) -> tuple[str, ...]:
    """A sentence on files that are listed but not there, if any.

    Raises DataError when they are more than the share `max_missing`, or all.
    """
    if not missing:
        return ()
    share = len(missing) / total
    text = f"{where}: {len(missing)} of {total} listed videos are missing ({share:.1%}): "
    text += name_first(missing)
    if share > max_missing or len(missing) == total:
        raise DataError(
            text,
            hint="say with --data-root where the videos lie; relative paths are taken from there",
        )
    return (text,)


def name_first(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - MAX_NAMED} more" if len(all_names) > MAX_NAMED else ""
    return ", ".join(all_names[:MAX_NAMED]) + more


def item_span(item: Item) -> tuple[float, float]:
    """What part of its file an item is, in frames or seconds; a set has one or the other."""
    if item.frames is not None:
        return item.frames
    return (item.window.start, item.window.stop) if item.window else (0.0, float("inf"))


def note_overlap(train: LabeledDataset, val: LabeledDataset) -> tuple[str, ...]:
    """A sentence on files that are in both halves with parts that overlap, if any; by their paths.

    The same content under two names is found by `vidattn.data.check.dataset` alone.
    """
    parts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item in val.items:
        parts[item.path].append(item_span(item))
    both = {
        item.path: None
        for item in train.items
        for start, stop in parts.get(item.path, ())
        if start < item_span(item)[1] and item_span(item)[0] < stop
    }
    if not both:
        return ()
    text = f"{count_noun(len(both), 'video')} to train on also validate, which flatters the scores"
    return (f"{train.name}: {text}: {name_first(both)}",)

"""A finite dataset of labeled videos, and the rules that all layouts on disk share."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.config import ClipConfig
from vidattn.config.labels import normalize_label
from vidattn.errors import DataError
from vidattn.io.files import is_file
from vidattn.io.search import is_video, walk_files
from vidattn.io.text import count_noun
from vidattn.types import Item, Window
from vidattn.video.boxes import find_track, load_tracks

Split = Literal["train", "val"]

SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "test", "testing"),
}
"""Names of the two splits in the wild; the earlier name wins."""

VALIDATION_SHARE = 0.2
"""The share of a dataset without splits that serves for validation."""

MOST_WEIGHT = 10.0
"""Of a rare class, relative to the usual, where classes are balanced."""
MAX_BALANCED = 4000
"""Groups up to which a split balances the classes; so many more are alike anyway."""
GROUPS_HINT = "--group-by keeps videos of one recording or subject together"
OTHERS_HINT = "give examples of something else, too, labeled other or background"
LEAST_SHARED = 0.2
"""The share of a span from which on another that overlaps it is more than an inexact boundary."""
MAX_NAMED = 5
"""Items that an error or a note names."""


@dataclass(frozen=True)
class LabeledDataset:
    """Videos and their classes: one split of a dataset.

    Both splits of a dataset have the same `labels` in the same order.
    """

    name: str
    root: Path
    split: Split
    labels: tuple[str, ...]
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the user, such as how the dataset was split, or videos that are missing."""
    missing: tuple[str, ...] = ()
    """Videos that are listed but not there, as many as may be missing."""
    listed: Path | None = None
    """The list or annotation that names the videos, if one does."""
    warnings: tuple[str, ...] = ()
    """Sentences that nobody may overlook."""

    @property
    def where(self) -> Path:
        """What the user named, for messages: its list, or its folder."""
        return self.listed or self.root

    @property
    def noun(self) -> str:
        """What an item is: a video, or a sample where items are spans of files."""
        return "sample" if any(item.window or item.frames for item in self.items) else "video"

    def class_weights(self) -> tuple[float, ...]:
        """Weights by which all classes count the same: 1 in the mean over the samples where none
        exceeds MOST_WEIGHT. Of labels that may hold at once, those of their examples: how many more
        lack a label, from 1 to MOST_WEIGHT."""
        counts = Counter(label for item in self.items for label in item.main_labels)
        each = (max(counts[k], 1) for k in range(len(self.labels)))
        total = len(self.items)
        if self.several:
            found = [max((total - count) / count, 1.0) for count in each]
        else:
            found = [total / len(self.labels) / count for count in each]
        return tuple(round(min(weight, MOST_WEIGHT), 6) for weight in found)

    @property
    def several(self) -> bool:
        """Whether an item has several labels at once, for LEAST_SHARED of it or more."""
        return next(self.items_of_several(), None) is not None

    def items_of_several(self) -> Iterator[Item]:
        """Those that have several labels at once, as of `several`."""
        for item in self.items:
            if item.labels or _labels_beside(item):
                yield item


def _labels_beside(item: Item) -> list[int]:
    """The labels of other spans that hold for LEAST_SHARED of an item or more."""
    return [label for label, share in item.shares().items() if share >= LEAST_SHARED]


@dataclass(frozen=True)
class ListedVideo:
    """One video as a layout lists it, before it is known whether its file exists."""

    path: Path
    label: int
    window: Window | None = None
    key: str = ""
    """Videos with the same key stay in the same split."""
    labels: tuple[int, ...] = ()
    group: str = ""
    """As of `Item`."""
    roi: str = ""
    """As of `Item`."""
    also: tuple[tuple[float, float, int], ...] = ()
    """As of `Item`."""


def parse_split(name: str) -> Split | None:
    """The split that a folder, a file stem or the value of a column names; None for none."""
    folded = name.strip().casefold()
    return next((split for split, names in SPLITS.items() if folded in names), None)


def number_labels(labels: Sequence[str]) -> dict[str, int]:
    """Normalized class name to class number."""
    return {normalize_label(label): number for number, label in enumerate(labels)}


def split_validation(keys: Sequence[str], strata: Sequence[Hashable] | None = None) -> list[bool]:
    """Choose videos for validation: VALIDATION_SHARE of each stratum, by the lowest hash of a key.

    keys: one for each video; equal keys fall on the same side. strata: the groups that give a share
    each (the classes); None takes all together, for keys that span classes. A stratum of one key
    keeps it for training. Depends on the keys alone, not on their order or the machine.
    """
    grouped: dict[Hashable, dict[str, int]] = defaultdict(dict)
    places = [None] * len(keys) if strata is None else list(strata)
    for key, stratum in zip(keys, places, strict=True):
        grouped[stratum][key] = grouped[stratum].get(key, 0) + 1
    chosen = {stratum: _choose_lowest(counts) for stratum, counts in grouped.items()}
    return [key in chosen[stratum] for key, stratum in zip(keys, places, strict=True)]


def split_groups(groups: Sequence[str], labels: Sequence[int]) -> list[bool]:
    """Choose whole groups for validation, so that each class gives VALIDATION_SHARE if it can.

    groups, labels: those of each sample. One group after another, whichever brings the shares of
    the classes closest, by the hash of its name among equals; a class always keeps a group to train
    with. Depends on names and labels alone. More than MAX_BALANCED groups go by their hashes only.
    """
    names = sorted(set(groups), key=_digest)
    if len(names) > MAX_BALANCED:
        return split_validation(groups)
    rows, columns = ({name: i for i, name in enumerate(each)} for each in (names, set(labels)))
    counts = np.zeros((len(rows), len(columns)))
    for group, label in zip(groups, labels, strict=True):
        counts[rows[group], columns[label]] += 1
    shares = counts / counts.sum(0)
    chosen: list[int] = []
    while True:
        after = shares[chosen].sum(0) + shares
        allowed = ((after < 1 - 1e-9) | (shares == 0)).all(1)
        allowed[chosen] = False
        costs = np.where(allowed, _split_cost(after), np.inf)
        best = int(costs.argmin())
        if costs[best] >= _split_cost(shares[chosen].sum(0)) - 1e-9:
            return [rows[group] in chosen for group in groups]
        chosen.append(best)


def _split_cost(shares: NDArray[np.float64]) -> Any:
    """How far classes [..., K] are from VALIDATION_SHARE; nothing to validate costs most."""
    return ((shares - VALIDATION_SHARE) ** 2 + (shares < 1e-9)).sum(-1)


def group_names(paths: Sequence[str], pattern: str, where: str) -> list[str]:
    """The group of each file: the first group of a regular expression in its path, or the match.

    where: for messages. Raises DataError for a bad pattern, or paths that it does not match.
    """
    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise DataError(
            f"--group-by {pattern!r}: neither a column nor a pattern: {error}"
        ) from None
    names = [m and (m[1] if m.re.groups else m[0]) for m in found]
    missed = [path for path, name in zip(paths, names, strict=True) if not name]
    if missed:
        raise DataError(
            f"{where}: --group-by {pattern!r} is no column and names no group of {missed[0]}",
            hint=r"a column of the list, or a pattern such as '(subject\d+)' in every file path",
        )
    return [name or "" for name in names]


def _choose_lowest(counts: dict[str, int]) -> set[str]:
    """Keys in the order of their hashes, up to VALIDATION_SHARE of all, at least one."""
    wanted = round(VALIDATION_SHARE * sum(counts.values()))
    chosen: set[str] = set()
    total = 0
    for key in sorted(counts, key=_digest):
        if len(chosen) == len(counts) - 1 or (chosen and total + counts[key] / 2 > wanted):
            break
        chosen.add(key)
        total += counts[key]
    return chosen


def _digest(key: str) -> bytes:
    return hashlib.sha256(unicodedata.normalize("NFC", key).encode("utf-8", "replace")).digest()


def find_videos(folder: Path) -> list[Path]:
    """Every video file below a folder, sorted by path. Raises as `walk_files`."""
    return sorted(Path(path) for path in walk_files(folder) if is_video(PurePath(path).name))


def select_existing(
    dataset: LabeledDataset, videos: Sequence[ListedVideo], where: str, max_missing: float
) -> LabeledDataset:
    """The dataset with the listed videos whose files exist as items, and a note on the others.

    where: the list, for messages. max_missing: the share of files that may be missing, in [0, 1].
    Raises DataError that counts and names them when more are, or when none is left.
    """
    exist = {path: is_file(path) for path in {video.path for video in videos}}
    items = tuple(
        Item(str(v.path), v.label, v.window, None, v.labels, v.group, v.roi, v.also)
        for v in videos
        if exist[v.path]
    )
    missing = [str(path) for path in dict.fromkeys(v.path for v in videos) if not exist[path]]
    notes = note_missing(missing, len(exist), where, max_missing)
    return replace(dataset, items=items, notes=(*dataset.notes, *notes), missing=tuple(missing))


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
        hint = "name the folder of the videos with --data-root; relative paths begin there"
        if any("\\" in name for name in missing) and os.sep == "/":
            hint = "folders are separated by / here, not by a backslash"
        raise DataError(text, hint=hint)
    return (text,)


def warn_of_similar(dataset: LabeledDataset) -> LabeledDataset:
    """The dataset with a warning of classes that differ only in case, spaces or signs, if any."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in dataset.labels:
        groups[normalize_label(label)].append(label)
    same = [" = ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
    if not same:
        return dataset
    text = f"{dataset.where}: classes that may be one: {name_first(same)}"
    return replace(dataset, warnings=(*dataset.warnings, text))


def name_first(names: Iterable[str]) -> str:
    """The first few names, and the number of the others."""
    all_names = list(names)
    more = f" and {len(all_names) - MAX_NAMED} more" if len(all_names) > MAX_NAMED else ""
    return ", ".join(all_names[:MAX_NAMED]) + more


def item_span(item: Item) -> tuple[float, float]:
    """The part of its file that an item is, in frames or seconds, alike in all of a dataset."""
    if item.frames is not None:
        return item.frames
    return (item.window.start, item.window.stop) if item.window else (0.0, float("inf"))


def one_sided_classes(train: LabeledDataset, val: LabeledDataset) -> dict[Split, list[str]]:
    """The classes without a video in each split, of those that have one in the other."""
    used = {
        split: {item.label for item in items}
        for split, items in (("train", train.items), ("val", val.items))
    }
    pairs: tuple[tuple[Split, Split], ...] = (("train", "val"), ("val", "train"))
    return {one: [train.labels[i] for i in sorted(used[other] - used[one])] for one, other in pairs}


def keep_areas(dataset: LabeledDataset, clip: ClipConfig) -> tuple[LabeledDataset, tuple[str, ...]]:
    """The samples that a model of these clips can look at, and warnings: of samples of no area,
    which are left out, of areas, and of videos without boxes, whose whole picture is used.

    clip: where the model looks. Raises DataError for a sample of another area, where all are of no
    area, and where no video has boxes.
    """
    rois, items = clip.rois, dataset.items
    named, none = tuple(item for item in items if item.roi), tuple[str, ...]()
    if rois and named and len(named) < len(items):
        count = count_noun(len(items) - len(named), dataset.noun)
        none = (f"{dataset.name}: {count} of no area (--roi), left out",)
        dataset = replace(dataset, items=named)
    for item in dataset.items if rois else ():
        if item.roi not in rois:
            area = f"the area {item.roi!r}" if item.roi else "no area"
            raise DataError(
                f"{item.path}: a sample of {area}; there are {', '.join(rois)}",
                hint="the area of a sample is in a column roi of the list; in BORIS its subject",
            )
    return dataset, (*none, *_warn_of_whole_pictures(dataset, clip))


def _warn_of_whole_pictures(dataset: LabeledDataset, clip: ClipConfig) -> tuple[str, ...]:
    pairs = dict.fromkeys((item.path, item.roi) for item in dataset.items)
    most = max(Counter(path for path, _ in pairs).values(), default=0)
    if clip.rois or most < 2:
        return _warn_of_boxes(dataset, clip.boxes)
    text = f"samples are of {name_first(dict.fromkeys(roi or 'no area' for _, roi in pairs))}"
    alike = f"{dataset.name}: {text}, and the model sees the whole picture; see --roi"
    return (alike, *_warn_of_boxes(dataset, clip.boxes))


def _warn_of_boxes(dataset: LabeledDataset, boxes: str) -> tuple[str, ...]:
    paths = list(dict.fromkeys(item.path for item in dataset.items)) if boxes else []
    missing = [path for path in paths if find_track(boxes, path) is None]
    if not missing:
        return ()
    text = f"{boxes}: no boxes of {len(missing)} of {len(paths)} videos of {dataset.name}"
    if len(missing) == len(paths):
        names = sorted(name for name, track in load_tracks(boxes).items() if track.moments)
        known = f"it has those of {name_first(names)}" if names else "it has none at all"
        raise DataError(f"{text}, such as {missing[0]}", hint=known)
    return (f"{text}, whose whole picture is used: {name_first(missing)}",)


def warn_of_one_sided(train: LabeledDataset, val: LabeledDataset) -> tuple[str, ...]:
    """A warning of classes that are not learned, or not measured, if any."""
    missing = one_sided_classes(train, val)
    words = {"train": "nothing to learn from", "val": "nothing to validate"}
    return tuple(
        f"{train.name}: {words[split]} of {count_noun(len(names), 'class')}: " + name_first(names)
        for split, names in missing.items()
        if names
    )


def note_several(train: LabeledDataset, val: LabeledDataset) -> str:
    """A sentence on a dataset in which several labels may hold at once, with an example."""
    each = ((own, item) for own in (train, val) for item in own.items_of_several())
    example = ""
    if found := next(each, None):
        own, item = found
        names = dict.fromkeys(own.labels[k] for k in (*item.all_labels, *_labels_beside(item)))
        example = f" ({item.path}: {' and '.join(names)})"
    return f"several labels may hold at once{example}: each has a probability of its own"


def note_overlap(train: LabeledDataset, val: LabeledDataset) -> tuple[str, ...]:
    """A sentence on files, by their paths, whose parts in both splits overlap, if any.

    The same content under two names is found by `vidattn.data.check.dataset` alone.
    """
    parts: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for item in val.items:
        parts[item.path, item.roi].append(item_span(item))
    both = {
        item.path: None
        for item in train.items
        for start, stop in parts.get((item.path, item.roi), ())
        if start < item_span(item)[1] and item_span(item)[0] < stop
    }
    if not both:
        return ()
    text = f"{count_noun(len(both), 'video')} to train on also validate, which flatters the scores"
    return (f"{train.name}: {text}: {name_first(both)}",)

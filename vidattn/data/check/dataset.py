"""Check of a dataset: every file opened, hashed and decoded in places, in parallel.

`check_dataset` yields each file as it is checked, in the order of the dataset; `DatasetCheck`
collects a few words for each file and gives the verdict on all.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from vidattn.data.check.file import CheckedFile, FileUse, Finding, Kind, Look, check_file
from vidattn.data.labeled_dataset import MAX_NAMED, LabeledDataset, Split, item_span, name_first
from vidattn.data.sets import DATASETS, open_dataset
from vidattn.data.sets.named_dataset import MAX_MISSING, SPLIT_NAMES
from vidattn.errors import DataError
from vidattn.types import Item
from vidattn.video import ProcessPool

SERIOUS: frozenset[Kind] = frozenset(
    ["split", "missing", "unreadable", "damaged", "beyond", "leak", "onesided"]
)
"""Findings that make a dataset unfit: unreadable videos, videos in both splits, or classes that
are not learned or not measured."""
FEW_ITEMS = 10
"""Items of a class below which its metrics say little."""
PREFETCH = 4
"""Files in progress for each worker."""
SAME_LEVELS = 0.5
"""Of 255, the root of the mean square difference of all fields up to which two files are alike: a
copy lies at 0.3, gestures of one person in the same place at 0.8 and more."""
SAME_DURATION = 0.02
"""The most by which their durations differ, as a share."""
MOST_COMPARED = 5000
"""Files up to which all pairs are compared."""


@dataclass
class FindingCount:
    """Number of findings of a kind, and the first few in words."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < MAX_NAMED:
            self.examples.append(text)


@dataclass(frozen=True)
class DatasetSplits:
    """Both splits of a dataset, as far as they can be opened."""

    name: str
    splits: dict[Split, LabeledDataset]
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return next(iter(self.splits.values())).labels

    def files(self) -> dict[str, list[FileUse]]:
        """Every file once, and its uses."""
        found: dict[str, list[FileUse]] = {}
        for split, opened in self.splits.items():
            for item in opened.items:
                found.setdefault(item.path, []).append(FileUse(split, item))
        return found


def open_splits(name: str, data_root: Path | None = None, group_by: str = "") -> DatasetSplits:
    """Both splits of a dataset, however many videos are missing.

    A split that cannot be opened is a finding; raises DataError when neither can. Arguments as of
    `open_dataset`.
    """
    splits: dict[Split, LabeledDataset] = {}
    errors: list[DataError] = []
    findings = []
    for split in SPLIT_NAMES:
        try:
            splits[split] = open_dataset(name, data_root, split, max_missing=1.0, group_by=group_by)
        except DataError as error:
            errors.append(error)
            findings.append(Finding("split", f"no split {split}: {error.message}"))
    if not splits:
        raise errors[0]
    tolerated = MAX_MISSING if name in DATASETS else 0.0
    for split, opened in splits.items():
        absent, listed = len(opened.missing), len(opened.items) + len(opened.missing)
        if absent > tolerated * listed:
            text = f"{split}: {absent} of {listed} listed videos: {name_first(opened.missing)}"
            findings.append(Finding("missing", text))
    return DatasetSplits(name, splits, tuple(findings))


def check_dataset(
    dataset: DatasetSplits, *, workers: int = 1, full: bool = False
) -> Iterator[CheckedFile]:
    """Check every file once, `workers` at a time, in the order of the dataset.

    full: decode every frame and not only a few.
    """
    pools: SimpleQueue[ProcessPool] = SimpleQueue()
    for _ in range(workers):
        pools.put(ProcessPool())

    def check(path: str, uses: Sequence[FileUse]) -> CheckedFile:
        pool = pools.get()
        try:
            return check_file(path, uses, dataset.labels, full=full, pool=pool)
        finally:
            pools.put(pool)

    waiting: deque[Future[CheckedFile]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for path, uses in dataset.files().items():
            waiting.append(threads.submit(check, path, uses))
            if len(waiting) >= PREFETCH * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
        while not pools.empty():
            pools.get().close()


class DatasetCheck:
    """The verdict on a dataset, from its files one after another."""

    def __init__(self, dataset: DatasetSplits) -> None:
        self._dataset = dataset
        self._counts: defaultdict[Kind, FindingCount] = defaultdict(FindingCount)
        self._same: dict[str, list[CheckedFile]] = {}
        """By content, or by path where there is none to read; without facts and findings."""
        self._looks: list[tuple[CheckedFile, Look, float]] = []
        self._bytes = 0
        self._durations: list[float] = []
        self._formats: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        for finding in dataset.findings:
            self._counts[finding.kind].add(finding.message)

    def add(self, checked: CheckedFile) -> None:
        """Count one file in."""
        for finding in checked.findings:
            code = f" ({finding.code})" * bool(finding.code)
            self._counts[finding.kind].add(f"{checked.path}: {finding.message}{code}")
        bare = CheckedFile(checked.path, checked.uses, ())
        self._same.setdefault(checked.sha256 or checked.path, []).append(bare)
        facts = checked.facts
        if checked.look is not None and facts and len(self._looks) <= MOST_COMPARED:
            named = replace(bare, sha256=checked.sha256)
            self._looks.append((named, checked.look, facts["duration"]))
        if facts:
            self._bytes += facts["bytes"]
            self._durations.append(facts["duration"])
            self._formats[f"{facts['codec']} {facts['container'].split(',')[0]}"] += 1
            self._sizes[f"{facts['width']}x{facts['height']}"] += 1

    def verdict(self) -> dict[str, Any]:
        """Plain values for JSON; `sound` is whether no finding is serious."""
        counts = dict(self._counts)
        single = (*self._find_repeats(), *self._find_alike(), *self._find_absent_classes())
        for finding in single:
            counts.setdefault(finding.kind, FindingCount()).add(finding.message)
        durations, splits = np.array(self._durations or [0.0]), self._dataset.splits
        return {
            "schema": "vidattn/data/1",
            "dataset": self._dataset.name,
            "root": str(next(iter(splits.values())).root),
            "sound": not SERIOUS & counts.keys(),
            "splits": {split: _describe_split(opened) for split, opened in splits.items()},
            "files": sum(map(len, self._same.values())),
            "bytes": self._bytes,
            "seconds": {
                "total": round(float(durations.sum()), 3),
                "shortest": float(durations.min()),
                "median": float(np.median(durations)),
                "longest": float(durations.max()),
            },
            "formats": dict(self._formats.most_common()),
            "sizes": dict(self._sizes.most_common()),
            "findings": {
                kind: {"serious": kind in SERIOUS, "count": c.count, "examples": c.examples}
                for kind, c in sorted(counts.items(), key=lambda pair: pair[0] not in SERIOUS)
            },
            "warnings": list(dict.fromkeys(n for o in splits.values() for n in o.warnings)),
            "notes": [
                *dict.fromkeys(n for opened in splits.values() for n in opened.notes),
                *self._note_rare(),
                *[f"more than {MOST_COMPARED} files: those that look the same were not searched"]
                * (len(self._looks) > MOST_COMPARED),
            ],
            "per_class": self._per_class(),
        }

    def _per_class(self) -> list[dict[str, Any]]:
        counts = {split: _count_items(opened) for split, opened in self._dataset.splits.items()}
        return [
            {"label": label, **{split: found[number] for split, found in counts.items()}}
            for number, label in enumerate(self._dataset.labels)
        ]

    def _note_rare(self) -> Iterator[str]:
        """A sentence on classes with so few items that their metrics say little, if any."""
        totals: Counter[int] = Counter()
        for opened in self._dataset.splits.values():
            totals += _count_items(opened)
        rare = [
            f"{label} ({totals[number]})"
            for number, label in enumerate(self._dataset.labels)
            if 0 < totals[number] < FEW_ITEMS
        ]
        if rare:
            yield f"fewer than {FEW_ITEMS} items, so metrics say little: {name_first(rare)}"

    def _find_absent_classes(self) -> Iterator[Finding]:
        counts = {split: _count_items(opened) for split, opened in self._dataset.splits.items()}
        for split, own in counts.items():
            for number, label in enumerate(self._dataset.labels):
                if not own[number]:
                    elsewhere = any(others[number] for others in counts.values())
                    kind: Kind = "onesided" if elsewhere else "absent"
                    yield Finding(kind, f"{label}: no sample in {split}")

    def _find_repeats(self) -> Iterator[Finding]:
        """Contents that are in the dataset more than once."""
        for files in self._same.values():
            uses = [use for file in files for use in file.uses]
            if len(uses) > 1:
                names = " = ".join(file.path for file in files[:MAX_NAMED])
                yield from _judge_repeats(names, uses, self._dataset.labels)

    def _find_alike(self) -> Iterator[Finding]:
        """Pairs of files that look the same though their contents differ, the worst first."""
        if not self._looks:
            return
        files, looks, durations = zip(*self._looks, strict=True)
        pairs, found = find_alike(looks, durations), []
        for one, other in ((files[i], files[j]) for i, j in pairs):
            if one.sha256 != other.sha256:
                uses = one.uses + other.uses
                groups = {use.item.group for use in uses}
                apart = len({use.split for use in uses}) > 1, len(groups) > 1
                places = ", in both splits" * apart[0] + ", in two groups" * apart[1]
                names = f"{one.path} = {other.path}"
                found.append((apart, Finding("alike", f"{names}{places}")))
                yield from _judge_labels(names, uses, self._dataset.labels)
        yield from (finding for _, finding in sorted(found, key=lambda row: row[0], reverse=True))


def find_alike(looks: Sequence[Look], durations: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Each file with the first one that looks the same in all frames taken, and lasts as long.

    looks: levels of the same number of frames each; others are alike to none.
    """
    if not looks or len(looks) > MOST_COMPARED:
        return
    length = max(map(len, looks))
    whole = [n for n, look in enumerate(looks) if len(look) == length]
    table, seconds = np.stack([looks[n] for n in whole]), np.array(durations)[whole]
    single = np.ones(len(whole), dtype=np.bool_)
    for i, (look, duration) in enumerate(zip(table, seconds, strict=True)):
        apart = np.square(table[i + 1 :] - look).mean(1)
        longer = np.maximum(seconds[i + 1 :], duration)
        close = np.abs(seconds[i + 1 :] - duration) <= SAME_DURATION * longer
        for j in np.flatnonzero((apart <= SAME_LEVELS**2) & close & single[i + 1 :]).tolist():
            single[i + 1 + j] = False
            yield whole[i], whole[i + 1 + j]


def _describe_split(opened: LabeledDataset) -> dict[str, Any]:
    counts = np.array(list(_count_items(opened).values()) or [0])
    return {
        "items": len(opened.items),
        "missing": len(opened.missing),
        "classes": int((counts > 0).sum()),
        "fewest": int(counts.min()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
    }


def _count_items(opened: LabeledDataset) -> Counter[int]:
    """Class -> number of items that have it, without classes that have none."""
    return Counter(label for item in opened.items for label in item.main_labels)


def _judge_repeats(names: str, uses: Sequence[FileUse], labels: Sequence[str]) -> Iterator[Finding]:
    """The findings on one content with several uses."""
    by_split = {split: [use for use in uses if use.split == split] for split in SPLIT_NAMES}
    if all(by_split.values()):
        leaks = _overlap(by_split["train"], by_split["val"])
        text = "in both splits" if leaks else "parts of it in both splits, none of them shared"
        yield Finding("leak" if leaks else "shared", f"{names}: {text}")
    for split, own in by_split.items():
        repeated = len(own) - len({_place(use.item) for use in own})
        if repeated:
            yield Finding("duplicate", f"{names}: {repeated + 1} times the same in {split}")
    yield from _judge_labels(names, uses, labels)


def _place(item: Item) -> Hashable:
    """What two items of one content share that are the same: spans may have two labels."""
    return item_span(item), item.label if item.window else None


def _judge_labels(names: str, uses: Sequence[FileUse], labels: Sequence[str]) -> Iterator[Finding]:
    """Two labels of one content at the same time, if any."""
    by_label = defaultdict(list)
    for use in uses:
        by_label[use.item.label].append(use)
    pairs = ((a, b) for a in by_label for b in by_label if a < b)
    clash = next(((a, b) for a, b in pairs if _contradict(by_label[a], by_label[b])), None)
    if clash:
        yield Finding("conflict", f"{names}: both {labels[clash[0]]} and {labels[clash[1]]}")


def _contradict(some: Iterable[FileUse], others: Iterable[FileUse]) -> bool:
    """Whether samples with different labels overlap; spans of one file may."""
    return any(
        _overlap([one], [other])
        for one, other in product(some, others)
        if one.item.path != other.item.path or not (one.item.window and other.item.window)
    )


def _overlap(some: Iterable[FileUse], others: Iterable[FileUse]) -> bool:
    """Whether a part in one list overlaps one in the other."""
    spans = ([item_span(use.item) for use in uses] for uses in (some, others))
    return any(one[0] < other[1] and other[0] < one[1] for one, other in product(*spans))

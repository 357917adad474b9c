"""What is wrong with a data set: every file opened, hashed and decoded in places, in parallel.

`check_dataset` yields each file as it is checked, in the order of the dataset, and a verdict on the
whole at the end. What is kept in memory is a few words for each file.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from vidattn.data.check.file import CheckedFile, Kind, Listing, Problem, check_file
from vidattn.data.labeled_dataset import MAX_NAMED, LabeledDataset, Split, item_span, name_first
from vidattn.data.sets.named import MAX_MISSING
from vidattn.data.sets.registry import KNOWN, open_dataset
from vidattn.errors import DataError
from vidattn.video import ProcessPool

HALVES: tuple[Split, Split] = ("train", "val")
SERIOUS: frozenset[Kind] = frozenset(["half", "missing", "unreadable", "damaged", "beyond", "leak"])
"""What makes a set unfit: videos that cannot be read, or that are in both halves."""
AHEAD = 4
"""Files for each worker that are under way at once."""

Verdict = dict[str, Any]


@dataclass
class SplitCount:
    """How often something was found, and the first few times in words."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < MAX_NAMED:
            self.examples.append(text)


@dataclass(frozen=True)
class Splits:
    """Both halves of a set, as far as they can be opened."""

    name: str
    sets: dict[Split, LabeledDataset]
    findings: tuple[Problem, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return next(iter(self.sets.values())).labels

    def files(self) -> dict[str, list[Listing]]:
        """Every file once, and what it is there for."""
        found: dict[str, list[Listing]] = {}
        for half, opened in self.sets.items():
            for item in opened.items:
                found.setdefault(item.path, []).append(Listing(half, item))
        return found


def open_splits(name: str, data_root: Path | None = None) -> Splits:
    """Both halves of a data set, however many videos are missing.

    A half that cannot be opened is a finding; raises DataError when neither can. Arguments as of
    `open_dataset`.
    """
    sets: dict[Split, LabeledDataset] = {}
    errors: list[DataError] = []
    findings = []
    for half in HALVES:
        try:
            sets[half] = open_dataset(name, data_root, half, max_missing=1.0)
        except DataError as error:
            errors.append(error)
            findings.append(Problem("half", f"no {half} half: {error.message}"))
    if not sets:
        raise errors[0]
    tolerated = MAX_MISSING if name in KNOWN else 0.0
    for half, opened in sets.items():
        absent, listed = len(opened.missing), len(opened.items) + len(opened.missing)
        if absent > tolerated * listed:
            text = f"{half}: {absent} of {listed} listed videos: {name_first(opened.missing)}"
            findings.append(Problem("missing", text))
    return Splits(name, sets, tuple(findings))


def check_dataset(halves: Splits, *, workers: int = 1, full: bool = False) -> Iterator[CheckedFile]:
    """Check every file once, `workers` at a time, in the order of the set.

    full: decode every frame and not only a few.
    """
    pools: SimpleQueue[ProcessPool] = SimpleQueue()
    for _ in range(workers):
        pools.put(ProcessPool())

    def check(path: str, uses: Sequence[Listing]) -> CheckedFile:
        pool = pools.get()
        try:
            return check_file(path, uses, halves.labels, full=full, pool=pool)
        finally:
            pools.put(pool)

    under_way: deque[Future[CheckedFile]] = deque()
    executor = ThreadPoolExecutor(workers)
    try:
        for path, uses in halves.files().items():
            under_way.append(executor.submit(check, path, uses))
            if len(under_way) >= AHEAD * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
        while not pools.empty():
            pools.get().close()


class DatasetCheck:
    """The verdict on a set, from its files one after another."""

    def __init__(self, halves: Splits) -> None:
        self._halves = halves
        self._tallies: defaultdict[Kind, SplitCount] = defaultdict(SplitCount)
        self._same: dict[str, list[CheckedFile]] = {}
        """By content, or by path where there is none to read; without facts and findings."""
        self._bytes = 0
        self._durations: list[float] = []
        self._formats: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        for finding in halves.findings:
            self._tallies[finding.kind].add(finding.message)

    def add(self, checked: CheckedFile) -> None:
        """Take one file into account."""
        for finding in checked.findings:
            code = f" ({finding.code})" * bool(finding.code)
            self._tallies[finding.kind].add(f"{checked.path}: {finding.message}{code}")
        alike = CheckedFile(checked.path, checked.uses, ())
        self._same.setdefault(checked.sha256 or checked.path, []).append(alike)
        facts = checked.facts
        if facts:
            self._bytes += facts["bytes"]
            self._durations.append(facts["duration"])
            self._formats[f"{facts['codec']} {facts['container'].split(',')[0]}"] += 1
            self._sizes[f"{facts['width']}x{facts['height']}"] += 1

    def verdict(self) -> Verdict:
        """Plain values for JSON; `sound` is whether nothing serious was found."""
        tallies = dict(self._tallies)
        for finding in (*self._twins(), *self._absent()):
            tallies.setdefault(finding.kind, SplitCount()).add(finding.message)
        durations = np.array(self._durations or [0.0])
        return {
            "schema": "vidattn/data/1",
            "dataset": self._halves.name,
            "root": str(next(iter(self._halves.sets.values())).root),
            "sound": not SERIOUS & tallies.keys(),
            "halves": {half: self._half(half) for half in self._halves.sets},
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
                kind: {"serious": kind in SERIOUS, "count": t.count, "examples": t.examples}
                for kind, t in sorted(tallies.items(), key=lambda pair: pair[0] not in SERIOUS)
            },
            "notes": list(dict.fromkeys(n for s in self._halves.sets.values() for n in s.notes)),
            "per_class": self._per_class(),
        }

    def _half(self, half: Split) -> dict[str, Any]:
        opened = self._halves.sets[half]
        counts = np.array(list(self._counts(half).values()) or [0])
        return {
            "items": len(opened.items),
            "missing": len(opened.missing),
            "classes": int((counts > 0).sum()),
            "fewest": int(counts.min()),
            "median": float(np.median(counts)),
            "most": int(counts.max()),
        }

    def _counts(self, half: Split) -> Counter[int]:
        """Class -> number of items, classes without any left out."""
        opened = self._halves.sets.get(half)
        return Counter(item.label for item in opened.items) if opened else Counter()

    def _per_class(self) -> list[dict[str, Any]]:
        counts = {half: self._counts(half) for half in self._halves.sets}
        return [
            {"label": label, **{half: found[number] for half, found in counts.items()}}
            for number, label in enumerate(self._halves.labels)
        ]

    def _absent(self) -> Iterator[Problem]:
        for half in self._halves.sets:
            there = self._counts(half)
            names = [label for n, label in enumerate(self._halves.labels) if not there[n]]
            for name in names:
                yield Problem("absent", f"{name}: no video in {half}")

    def _twins(self) -> Iterator[Problem]:
        """Contents that are in the set more than once."""
        for files in self._same.values():
            uses = [use for file in files for use in file.uses]
            if len(uses) > 1:
                yield from _repeated(files, uses, self._halves.labels)


def _repeated(
    files: Sequence[CheckedFile], uses: Sequence[Listing], labels: Sequence[str]
) -> Iterator[Problem]:
    """What it means that one content is used more than once."""
    names = " = ".join(file.path for file in files[:MAX_NAMED])
    parts = {half: [use for use in uses if use.half == half] for half in HALVES}
    if all(parts.values()):
        leaks = _meet(parts["train"], parts["val"])
        text = "in both halves" if leaks else "parts of it in both halves, none of them shared"
        yield Problem("leak" if leaks else "shared", f"{names}: {text}")
    for half, own in parts.items():
        repeated = len(own) - len({item_span(use.item) for use in own})
        if repeated:
            yield Problem("duplicate", f"{names}: {repeated + 1} times the same in {half}")
    others = defaultdict(list)
    for use in uses:
        others[use.item.label].append(use)
    pairs = ((a, b) for a in others for b in others if a < b)
    clash = next(((a, b) for a, b in pairs if _meet(others[a], others[b])), None)
    if clash:
        yield Problem("conflict", f"{names}: both {labels[clash[0]]} and {labels[clash[1]]}")


def _meet(some: Iterable[Listing], others: Iterable[Listing]) -> bool:
    """Whether a part of one list overlaps one of the other."""
    for one, other in product(map(_of_use, some), map(_of_use, others)):
        if one[0] < other[1] and other[0] < one[1]:
            return True
    return False


def _of_use(use: Listing) -> tuple[float, float]:
    return item_span(use.item)

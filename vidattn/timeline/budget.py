"""Time budgets: how often, how long and how soon each label is there, and what follows it.

Actograms: when, by day and time of day, in parts of half an hour.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from vidattn.timeline.wall_clock import parse_time

Span = tuple[float, float]
TOUCH = 1e-6
"""Seconds by which rounded times of neighbors may differ."""


@dataclass(frozen=True)
class Observation:
    """What a budget needs of one video; small, so that those of many thousands fit in memory."""

    seconds: float
    """Seconds that were seen."""
    durations: Mapping[str, Sequence[float]]
    """Seconds of every segment of each label, background included."""
    latencies: Mapping[str, float]
    """Seconds from the start to the first segment of each label."""
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often a label was followed by another, as (before, after)."""

    @classmethod
    def of(
        cls, part: Span, segments: Iterable[tuple[float, float, str]], gaps: Sequence[Span] = ()
    ) -> Observation:
        """From segments (start, stop, label), which may overlap, of a part of a video.

        gaps: spans that could not be read; what comes before one is not followed by what comes
        after it. All times in seconds.
        """
        durations: dict[str, array[float]] = {}
        latencies: dict[str, float] = {}
        rows = sorted(segments)
        for start, stop, label in rows:
            durations.setdefault(label, array("d")).append(stop - start)
            latencies.setdefault(label, start - part[0])
        follows: Counter[tuple[str, str]] = Counter()
        for (_, stop, before), (start, _, after) in pairwise(rows):
            if not any(stop - TOUCH <= a and b <= start + TOUCH for a, b in gaps):
                follows[before, after] += 1
        seen = part[1] - part[0] - sum(b - a for a, b in gaps)
        return cls(max(seen, 0.0), durations, latencies, dict(follows))

    def to_bytes(self) -> bytes:
        """As JSON, for `from_bytes`."""
        durations = {label: list(seconds) for label, seconds in self.durations.items()}
        follows = [[*pair, count] for pair, count in self.transitions.items()]
        return json.dumps([self.seconds, durations, dict(self.latencies), follows]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Observation:
        """From `to_bytes`."""
        seconds, durations, latencies, follows = json.loads(data)
        transitions = {(before, after): count for before, after, count in follows}
        return cls(seconds, durations, latencies, transitions)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Observation:
        """From a timeline as plain values (`vidattn.timeline.document`)."""
        segments = [(row["start"], row["end"], row["label"]) for row in document["segments"]]
        first, last = document["coverage"]["part"]
        return cls.of((first, last), segments, _gaps(document))


def _gaps(document: Mapping[str, Any]) -> list[Span]:
    """The spans of the part of a timeline that were not seen, as `LabeledTimeline.gaps`."""
    coverage = document["coverage"]
    first, last = coverage["part"]
    pauses = coverage.get("pauses", ()) if document["input"].get("parts") else ()
    gaps = [(max(a, first), min(b, last)) for a, b in (*coverage["unreadable"], *pauses)]
    return [(a, b) for a, b in gaps if a < b]


@dataclass(frozen=True)
class LabelBudget:
    """One label in one video or many."""

    label: str
    videos: int
    """Videos that have it."""
    count: int
    """Segments."""
    seconds: float
    share: float
    """Of the time that was seen, 0 to 1."""
    mean_seconds: float
    median_seconds: float
    latency_seconds: float
    """From the start to the first segment, as the mean over the videos that have the label."""
    followers: Mapping[str, int]
    """How often each label followed."""


class BudgetSum:
    """Sums up observations, of which it keeps no more than their durations and latencies."""

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self.seconds = 0.0
        """Seconds that were seen."""
        self._durations: dict[str, array[float]] = {}
        self._latencies: dict[str, array[float]] = {}
        self._follows: dict[str, Counter[str]] = {}
        for one in observations:
            self.add(one)

    def add(self, one: Observation) -> None:
        """Add the segments of a video."""
        self.seconds += one.seconds
        for label, durations in one.durations.items():
            self._durations.setdefault(label, array("d")).extend(durations)
            self._latencies.setdefault(label, array("d")).append(one.latencies[label])
        for (before, after), count in one.transitions.items():
            self._follows.setdefault(before, Counter())[after] += count

    def rows(self) -> list[LabelBudget]:
        """The budget of each label, the longest first."""
        rows = [self._row(label, durations) for label, durations in self._durations.items()]
        return sorted(rows, key=lambda row: (-row.seconds, row.label))

    def _row(self, label: str, durations: Sequence[float]) -> LabelBudget:
        latencies, total = self._latencies[label], sum(durations)
        return LabelBudget(
            label,
            videos=len(latencies),
            count=len(durations),
            seconds=total,
            share=total / self.seconds if self.seconds else 0.0,
            mean_seconds=total / len(durations),
            median_seconds=median(durations),
            latency_seconds=fmean(latencies),
            followers=dict(self._follows.get(label, {})),
        )


def time_budget(observations: Iterable[Observation]) -> list[LabelBudget]:
    """The budget of each label in all observations together, the longest first."""
    return BudgetSum(observations).rows()


MINUTES = 30
"""The length of a part of a day."""
Part = tuple[str, int]
"""A date in ISO 8601, and the number of a part of that day."""


def _make_table() -> dict[Part, dict[str, float]]:
    return defaultdict(lambda: defaultdict(int))


@dataclass(frozen=True)
class Actogram:
    """Seconds and segments by parts of days; the clock is that of the place."""

    seen: dict[Part, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds that were seen."""
    seconds: dict[Part, dict[str, float]] = field(default_factory=_make_table)
    """Seconds of each label."""
    begun: dict[Part, dict[str, float]] = field(default_factory=_make_table)
    """Number of segments of each label that begin in the part."""

    def add(self, other: Actogram) -> None:
        """Add what another one counts."""
        for part, seconds in other.seen.items():
            self.seen[part] += seconds
        for own, theirs in ((self.seconds, other.seconds), (self.begun, other.begun)):
            for part, labels in theirs.items():
                for label, value in labels.items():
                    own[part][label] += value

    def to_bytes(self) -> bytes:
        """As JSON, for `from_bytes`."""
        tables = (self.seen, self.seconds, self.begun)
        return json.dumps([[[*part, value] for part, value in t.items()] for t in tables]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Actogram:
        """From `to_bytes`."""
        return cls(*({(date, n): value for date, n, value in t} for t in json.loads(data)))


def day_parts(document: Mapping[str, Any]) -> Actogram | None:
    """The actogram of a timeline as plain values; None where nothing says when it was recorded."""
    start = clock_of(document["settings"].get("start_time"), document["input"].get("start_offset"))
    if start is None:
        return None
    parts, (first, last) = Actogram(), document["coverage"]["part"]
    for part, seconds in split(start, first, last):
        parts.seen[part] += seconds
    for low, high in _gaps(document):
        for part, seconds in split(start, low, high):
            parts.seen[part] -= seconds
    for row in document["segments"]:
        spans = list(split(start, row["start"], row["end"]))
        for part, seconds in spans:
            parts.seconds[part][row["label"]] += seconds
        for part, _ in spans[:1]:
            parts.begun[part][row["label"]] += 1
    return parts


def clock_of(start: str | None, offset: float | None) -> datetime | None:
    """The local time of the first frame, without its offset from UTC; None where it is unknown.

    start: ISO 8601, of the start of the file. offset: seconds from there to the first frame.
    """
    if start is None:
        return None
    return parse_time(start).replace(tzinfo=None) + timedelta(seconds=offset or 0.0)


def split(start: datetime, low: float, high: float) -> Iterator[tuple[Part, float]]:
    """The parts of days that a span lies in, and the seconds in each. low, high: from `start`."""
    ends = start + timedelta(seconds=low), start + timedelta(seconds=high)
    for date, begin, end in split_days(*ends, MINUTES):
        yield (date, int(begin // (60 * MINUTES))), end - begin


def split_days(
    start: datetime, stop: datetime, minutes: int = 24 * 60
) -> Iterator[tuple[str, float, float]]:
    """The dates of a span, cut at each midnight and so often within days, and the seconds of each
    piece from midnight."""
    part = timedelta(minutes=minutes)
    while start < stop:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = min(stop, midnight + ((start - midnight) // part + 1) * part)
        low, high = ((t - midnight).total_seconds() for t in (start, end))
        yield start.date().isoformat(), low, high
        start = end


def part_time(number: int) -> str:
    """When a part of a day begins, or the one before it ends: "06:30"; "24:00" ends the day."""
    return f"{number * MINUTES // 60:02d}:{number * MINUTES % 60:02d}"

"""Time budgets: how often, how long and how soon each label is there, and what follows it."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import Any

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
        coverage = document["coverage"]
        segments = [(row["start"], row["end"], row["label"]) for row in document["segments"]]
        first, last = coverage["part"]
        gaps = [(max(a, first), min(b, last)) for a, b in coverage["unreadable"]]
        return cls.of((first, last), segments, [(a, b) for a, b in gaps if a < b])


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

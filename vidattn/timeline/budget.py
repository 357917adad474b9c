"""Time budgets: how often, how long and how soon each label is there, and what follows it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
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


def time_budget(observations: Iterable[Observation]) -> list[LabelBudget]:
    """The budget of each label in all observations together, the longest first."""
    seen = list(observations)
    whole = sum(one.seconds for one in seen)
    labels = dict.fromkeys(chain.from_iterable(one.durations for one in seen))
    follows: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for one in seen:
        for (before, after), count in one.transitions.items():
            follows[before][after] += count
    rows = []
    for label in labels:
        having = [one for one in seen if label in one.durations]
        durations = list(chain.from_iterable(one.durations[label] for one in having))
        total = sum(durations)
        rows.append(
            LabelBudget(
                label,
                videos=len(having),
                count=len(durations),
                seconds=total,
                share=total / whole if whole else 0.0,
                mean_seconds=total / len(durations),
                median_seconds=median(durations),
                latency_seconds=fmean(one.latencies[label] for one in having),
                followers=dict(follows[label]),
            )
        )
    return sorted(rows, key=lambda row: (-row.seconds, row.label))

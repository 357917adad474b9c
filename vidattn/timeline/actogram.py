"""Actograms: what was seen by day and time of day, in parts of half an hour."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from vidattn.timeline.wall_clock import parse_time

MINUTES = 30
"""The length of a part of a day."""
PARTS = 24 * 60 // MINUTES
Part = tuple[str, int]
"""A date in ISO 8601, and the number of a part of that day."""


@dataclass(frozen=True)
class Actogram:
    """Seconds and segments by parts of days; the clock is that of the place."""

    seen: dict[Part, float] = field(default_factory=dict)
    """Seconds that were seen."""
    seconds: dict[Part, dict[str, float]] = field(default_factory=dict)
    """Seconds of each label."""
    begun: dict[Part, dict[str, int]] = field(default_factory=dict)
    """Segments of each label that begin in the part."""

    def add(self, other: Actogram) -> None:
        """Add what another one counts."""
        for part, seconds in other.seen.items():
            self.seen[part] = self.seen.get(part, 0.0) + seconds
        for part, labels in other.seconds.items():
            own = self.seconds.setdefault(part, {})
            for label, seconds in labels.items():
                own[label] = own.get(label, 0.0) + seconds
        for part, counts in other.begun.items():
            begun = self.begun.setdefault(part, {})
            for label, count in counts.items():
                begun[label] = begun.get(label, 0) + count

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
    parts, coverage = Actogram(), document["coverage"]
    first, last = coverage["part"]
    for part, seconds in split(start, first, last):
        parts.seen[part] = parts.seen.get(part, 0.0) + seconds
    for low, high in coverage["unreadable"]:
        for part, seconds in split(start, max(low, first), min(high, last)):
            parts.seen[part] -= seconds
    for row in document["segments"]:
        spans = list(split(start, row["start"], row["end"]))
        for part, seconds in spans:
            labels = parts.seconds.setdefault(part, {})
            labels[row["label"]] = labels.get(row["label"], 0.0) + seconds
        for part, _ in spans[:1]:
            begun = parts.begun.setdefault(part, {})
            begun[row["label"]] = begun.get(row["label"], 0) + 1
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

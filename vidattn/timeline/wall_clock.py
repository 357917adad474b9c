"""Times of day: when what a timeline shows was recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from vidattn.timeline.values import TimelineValues

FRACTION = re.compile(r"\.(\d+)")
OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")
T = TypeVar("T", bound=TimelineValues)


def parse_time(text: str) -> datetime:
    """A date and time in ISO 8601, with or without an offset from UTC. Raises ValueError."""
    iso = FRACTION.sub(lambda m: "." + m[1][:6].ljust(6, "0"), text.strip(), count=1)
    iso = OFFSET.sub(r"\1:\2", re.sub("[Zz]$", "+00:00", iso))
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", iso):
        message = f"{text.strip()!r} is no date and time, such as 2024-05-01T06:30:00+02:00"
        raise ValueError(message)
    return datetime.fromisoformat(iso)


def with_start_time(timeline: T, text: str) -> T:
    """The timeline of a video whose file begins at that time. Raises ValueError, as `parse_time`.

    The time is that from which players count: the start of the file.
    """
    start = parse_time(text).isoformat()
    return replace(timeline, settings=replace(timeline.settings, start_time=start))


def wall_time(timeline: TimelineValues, seconds: float) -> str | None:
    """When a moment of a timeline was recorded, to the millisecond; None if nothing says so.

    seconds: as the timeline counts them. The offset from UTC is that of the start.
    """
    start = timeline.settings.start_time
    if start is None:
        return None
    offset = timeline.input.start_offset or 0.0
    try:
        moment = parse_time(start) + timedelta(seconds=seconds + offset)
    except (ValueError, OverflowError):  # a document of another origin
        return None
    return moment.isoformat(timespec="milliseconds")

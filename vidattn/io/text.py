"""Counted nouns, times, and names."""

from __future__ import annotations

import math
import re

TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)")


def count_noun(count: int, noun: str) -> str:
    """A number and its noun, such as "1 video", "0 classes" or "14400 windows"."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count} {noun if count == 1 else plural}"


def describe_interval(value: float, low: float, high: float, word: str = "to") -> str:
    """The ends of an interval of a share in whole percent, as "98 to 100 %".

    value: the share itself, which readers see in percent with one decimal, and which the ends hold.
    """
    shown = round(100 * value, 1)
    first, last = min(round(100 * low), math.floor(shown)), max(round(100 * high), math.ceil(shown))
    return f"{first} {word} {last} %"


def parse_seconds(text: str) -> float:
    """Seconds of "90.5" or [HH:]MM:SS[.fraction]. Raises ValueError for anything else."""
    match = TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time, such as 90.5, 1:30.5 or 00:01:30.5")
    hours, minutes, rest = match.groups(default="0")
    if (match[2] and float(rest) >= 60) or (match[1] and int(minutes) >= 60):
        raise ValueError(f"{text!r} is not a time: minutes and seconds end at 59")
    return 3600.0 * int(hours) + 60.0 * int(minutes) + float(rest)


def first_line(error: BaseException) -> str:
    """The first line of the message of a library's error, else the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def name_area(video: str, roi: str) -> str:
    """The name of a video, with that of its area if it has one."""
    return f"{video} (area {roi})" if roi else video

"""Subtitles whose cues are labels, as `-f srt` and `-f vtt` write them or people corrected them."""

from __future__ import annotations

import html
import re

from vidattn.errors import DataError
from vidattn.types import Window

SUFFIXES = frozenset({".srt", ".vtt"})
TIMES = re.compile(
    r"\s*(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})\s*-->"
    r"\s*(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})(?:\s.*)?"
)
SCORE = re.compile(r"\s*\(\d{1,3}\s?%\)$")
"""What our writers put behind a label."""


def read_subtitles(text: str, name: str) -> tuple[tuple[Window, str], ...]:
    """The spans of SubRip or WebVTT, sorted: a label for each cue, without markup and score.

    Raises DataError, with `name` and the line, for a cue that ends before it begins.
    """
    found: list[tuple[Window, str]] = []
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n"))
    line = 1
    for block in blocks:
        rows = block.split("\n")
        at = next((i for i, row in enumerate(rows) if TIMES.fullmatch(row)), None)
        if at is not None:
            start, stop = _times(rows[at])
            words = " ".join(row.strip() for row in rows[at + 1 :])
            label = SCORE.sub("", html.unescape(re.sub(r"<[^>]*>", "", words)).strip())
            if start >= stop:
                raise DataError(f"{name}: line {line + at}: a cue ends before it begins")
            if label:
                found.append((Window(start, stop), label))
        line += len(rows) + 1
    return tuple(sorted(found, key=lambda span: (span[0], span[1])))


def _times(row: str) -> tuple[float, float]:
    match = TIMES.fullmatch(row)
    assert match is not None
    numbers = [int(value or 0) for value in match.groups()]
    start, stop = (h * 3600 + m * 60 + s + ms / 1000 for h, m, s, ms in (numbers[:4], numbers[4:]))
    return start, stop

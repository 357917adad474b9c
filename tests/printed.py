"""What pages show of an output, beside what is printed."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[-+]?\d+(?:[.:]\d+)*|#+")
MEASURED = re.compile(r"[\d.:]+(?= frames/s| times real time| MB)|about [\d:]+|under a second")
"""What depends on the processor."""
PROGRESS = re.compile(r"[^:]+: \d+/\d+(?:, [\d:]+ left)?")


def as_lines(text: str) -> list[str]:
    """The lines of an output, without blank ones and those that say how far the work is."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not PROGRESS.fullmatch(line)]


def is_alike(shown: str, printed: str) -> bool:
    """Whether two lines are the same, but for what depends on the processor.

    Counts and times are equal, other numbers to two units of their last digit, bars to one sign.
    """
    pair = [MEASURED.sub("0", line) for line in (shown, printed)]
    if NUMBER.sub("0", pair[0]) != NUMBER.sub("0", pair[1]):
        return False
    return all(map(_is_near, *(NUMBER.findall(line) for line in pair)))


def _is_near(shown: str, printed: str) -> bool:
    if shown[0] == "#":
        return abs(len(shown) - len(printed)) <= 1
    _, point, digits = shown.partition(".")
    if not point or ":" in shown:
        return shown == printed
    return abs(float(shown) - float(printed)) < 2.5 * 10 ** -len(digits)


def require_printed(shown: str, printed: str) -> None:
    """Raise unless a guide shows what is printed: all lines in their order, but for a line of three
    dots, in place of which there may be others."""
    lines, place = as_lines(printed), 0
    parts = re.split(r"^\.\.\.$", "\n".join(as_lines(shown)), flags=re.MULTILINE)
    for number, part in enumerate(parts):
        wanted = part.strip("\n").splitlines()
        left = len(lines) - len(wanted)
        first = left if wanted and number == len(parts) - 1 else place
        starts = range(max(first, place), (left if number else 0) + 1)
        found = (i for i in starts if _are_alike(wanted, lines[i : i + len(wanted)]))
        begin = next(found, None)
        assert begin is not None, "\n".join([*wanted, "is not, in this place, in:", *lines])
        place = begin + len(wanted)


def _are_alike(shown: list[str], printed: list[str]) -> bool:
    return len(shown) == len(printed) and all(map(is_alike, shown, printed))

"""`--expect top1=77.9+-0.3`: what a figure has to be, and whether it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vidattn.cli.terminal.console import Console
from vidattn.errors import UsageError

TOLERANCE = 0.05
RAW = ("nll", "brier")
"""Figures that are no shares; all others are given in percent."""


class Expectation(NamedTuple):
    """A figure, the value it should have and by how much it may be off, as they are shown."""

    name: str
    value: float
    tolerance: float
    text: str


def parsed(texts: Sequence[str], known: Sequence[str]) -> list[Expectation]:
    """Read "NAME=VALUE+-TOLERANCE", several in one text with commas between them.

    Raises UsageError when one cannot be read or names none of the `known` figures.
    """
    return [_one(part.strip(), known) for text in texts for part in text.split(",")]


def _one(text: str, known: Sequence[str]) -> Expectation:
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"([\w@.]+)\s*=\s*{number}\s*%?(?:\s*(?:\+-|\+/-|±)\s*{number})?", text)
    if match is None:
        raise UsageError(f"--expect {text!r}: cannot be read", hint="for example top1=77.9+-0.3")
    if match[1] not in known:
        close = difflib.get_close_matches(match[1], known, n=1)
        raise UsageError(
            f"--expect {text!r}: there is no figure {match[1]!r}",
            hint=f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}",
        )
    return Expectation(match[1], float(match[2]), float(match[3] or TOLERANCE), text)


def unmet(desk: Console, expectations: Sequence[Expectation], metrics: Mapping[str, Any]) -> bool:
    """Whether any figure is off, or could not be measured; a warning for each that is."""
    off = False
    for wanted in expectations:
        value = metrics[wanted.name]
        shown = value if value is None or wanted.name in RAW else 100 * value
        if shown is None or not abs(shown - wanted.value) <= wanted.tolerance + 1e-9:
            off = True
            found = "nothing to measure it on" if shown is None else f"measured {shown:.4g}"
            desk.warn(f"expected {wanted.text}, {found}")
    return off

"""`--expect top1=77.9+-0.3`: the value that a metric must have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vidattn.cli.terminal.console import Console
from vidattn.errors import UsageError

TOLERANCE = 0.05
NOT_IN_PERCENT = ("nll", "brier")
NUMBER = r"(\d+(?:\.\d+)?)"
EXPECTATION = re.compile(rf"([\w@.]+)\s*=\s*{NUMBER}\s*%?(?:\s*(?:\+-|\+/-|±)\s*{NUMBER})?")


class Expectation(NamedTuple):
    """A metric, its expected value and the tolerance, in the unit that is printed."""

    name: str
    value: float
    tolerance: float
    text: str


def parse_expectations(texts: Sequence[str], known: Sequence[str]) -> list[Expectation]:
    """Read "NAME=VALUE+-TOLERANCE", several in one text separated by commas.

    Raises UsageError for malformed text and for metrics that are not `known`.
    """
    return [_parse(part.strip(), known) for text in texts for part in text.split(",")]


def _parse(text: str, known: Sequence[str]) -> Expectation:
    match = EXPECTATION.fullmatch(text)
    if match is None:
        raise UsageError(f"--expect {text!r}: cannot be read", hint="for example top1=77.9+-0.3")
    name, value, tolerance = match.groups()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"--expect {text!r}: there is no metric {name!r}",
            hint=f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}",
        )
    return Expectation(name, float(value), float(tolerance or TOLERANCE), text)


def require_measured(
    expectations: Sequence[Expectation], measured: Sequence[str], what: str
) -> None:
    """Raise UsageError for an expectation of a metric that is not measured. what: the data."""
    for expected in expectations:
        if expected.name not in measured:
            raise UsageError(
                f"--expect {expected.text}: no metric of {what}",
                hint=f"there are {', '.join(measured)}",
            )


def warn_of_misses(
    console: Console, expectations: Sequence[Expectation], metrics: Mapping[str, Any]
) -> bool:
    """Warn of each metric that is off or was not measured; returns whether there is one."""
    missed = False
    for name, value, tolerance, text in expectations:
        measured = metrics[name]
        if measured is not None and name not in NOT_IN_PERCENT:
            measured *= 100
        if measured is None or not abs(measured - value) <= tolerance + 1e-9:
            missed = True
            result = "nothing to measure" if measured is None else f"measured {measured:.4g}"
            console.warn(f"expected {text}, {result}")
    return missed

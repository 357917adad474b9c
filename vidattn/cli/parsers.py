"""Values of options that are read from text; and whether metrics are what `--expect` says."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vidattn.cli.terminal.console import Console
from vidattn.config import ViewConfig
from vidattn.errors import UsageError
from vidattn.types import Area, Framing
from vidattn.video.readers import READER_NAMES

if TYPE_CHECKING:
    from vidattn.timeline.shot_cuts import CutList

TOLERANCE = 0.05
NOT_IN_PERCENT = ("nll", "brier")
NUMBER = r"(\d+(?:\.\d+)?)"
EXPECTATION = re.compile(rf"([\w@.]+)\s*=\s*{NUMBER}\s*%?(?:\s*(?:\+-|\+/-|±)\s*{NUMBER})?")


class AutoThreshold(float):
    """`--threshold auto`: 1.0 in place of the model's own threshold until the model is loaded."""


def threshold(text: object) -> float:
    """A probability, or an AutoThreshold for "auto". Raises UsageError for anything else."""
    try:
        return AutoThreshold(1) if text == "auto" else float(str(text))
    except ValueError:
        raise UsageError(f"--threshold {text!r}: neither a number from 0 to 1 nor auto") from None


def share(text: object) -> float:
    """A share from 0 to 1, of "5%" or "0.05". Raises UsageError for anything else."""
    digits = str(text).strip()
    try:
        value = float(digits.removesuffix("%")) / (100 if digits.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(f"--blank {text!r}: is not a share", hint="for example 5% or 0.05")
    return value


def reader(name: object) -> str:
    """The name of a video reader. Raises UsageError for an unknown one."""
    if name not in READER_NAMES:
        raise UsageError(f"no reader {name!r}", hint=f"readers: {', '.join(READER_NAMES)}")
    return str(name)


def area(text: object) -> str:
    """A part of the picture, or a file of boxes. Raises UsageError for an impossible part."""
    try:
        Framing.parse(str(text), "")
    except ValueError as error:
        raise UsageError(str(error), hint="for example 0,0,320,240 or 0%,0%,50%,100%") from None
    return str(text)


def join_areas(texts: Iterable[str]) -> str | None:
    """Areas as a `ClipConfig` has them; None for none. Raises UsageError for impossible ones."""
    try:
        return ";".join(str(Area.parse(text)) for text in texts) or None
    except ValueError as error:
        raise UsageError(str(error), hint="for example 0,0,320,20 or 0%,0%,100%,5%") from None


def views(text: object) -> ViewConfig:
    """Views of "SxT". Raises UsageError for anything else."""
    from vidattn.data.sampling import parse_views

    return parse_views(str(text))


def shot_cuts(path: object) -> CutList:
    """The shot cuts that a file lists. Raises InputError if it cannot be read."""
    from vidattn.timeline.shot_cuts import load_cuts

    return load_cuts(Path(str(path)))


def parse_rois(texts: Iterable[str]) -> dict[str, str]:
    """Areas by name, of "NAME=X,Y,W,H". Raises UsageError."""
    rois: dict[str, str] = {}
    for text in texts:
        name, equals, area = text.partition("=")
        if not equals or not re.fullmatch(r"\w[\w-]*", name):
            raise UsageError(
                f"--roi {text}: is not NAME=X,Y,W,H", hint="for example left=0%,0%,50%,100%"
            )
        if name in rois:
            raise UsageError(f"--roi {name}: is given twice", hint="give every area its own name")
        try:
            rois[name] = str(Area.parse(area))
        except ValueError as error:
            raise UsageError(f"--roi {text}: {error}") from None
    return rois


def choose_area(crop: str | None, rois: Iterable[str]) -> str | None:
    """Where a model looks, as a `ClipConfig` has it; None: as it was trained. Raises UsageError for
    an area beside several with names."""
    named = parse_rois(rois)
    if named and crop is not None:
        raise UsageError("--crop and --roi exclude each other")
    return ";".join(f"{name}={area}" for name, area in named.items()) or crop


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

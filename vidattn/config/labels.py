"""The class names of well-known datasets, in their order."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib import resources

from vidattn.errors import DataError

COUNTS = {
    "k400": 400,
    "k600": 600,
    "k700": 700,
    "ssv2": 174,
    "diving48": 48,
    "ucf101": 101,
    "hmdb51": 51,
    "jester": 27,
}
"""Datasets whose class names ship with the package, and their number of classes; all differ."""


@cache
def load_labels(name: str) -> tuple[str, ...]:
    """The class names of a dataset in COUNTS, by class number. Raises DataError."""
    if name not in COUNTS:
        close = difflib.get_close_matches(name, COUNTS, n=1)
        raise DataError(
            f"no class names ship for {name!r}",
            hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(COUNTS)}",
        )
    text = (resources.files("vidattn.config") / "class_names" / f"{name}.txt").read_text("utf-8")
    return tuple(text.splitlines())


def guess_labels(classes: int) -> tuple[tuple[str, ...], str]:
    """Names for a model without any, and a sentence on their origin."""
    known = next((name for name, count in COUNTS.items() if count == classes), None)
    if known is not None:
        note = f"class names are those of {known}: the file has none, but {classes} classes"
        return load_labels(known), note
    names = tuple(f"class {i}" for i in range(classes))
    return names, f"the {classes} classes have numbers for names: the file has none"


def normalize_label(label: str) -> str:
    """A class name for comparison: without case, quotes, underscores and double spaces."""
    plain = unicodedata.normalize("NFC", label).casefold().replace("_", " ").strip("\"' ")
    return " ".join(plain.split())


SEVERAL = ";"
"""Between the labels of a sample or span that has several."""


def split_labels(text: str) -> list[str]:
    """The labels of a sample or span: "a;b" has two."""
    return [part for part in map(str.strip, text.split(SEVERAL)) if part]


BLANKS = {"blank", "empty", "nothing", "none"}
"""What people call the class of videos in which nothing happens."""


def find_blank(labels: Sequence[str]) -> int | None:
    """The number of the label of blank videos; None where there is none."""
    places = (k for k, label in enumerate(labels) if normalize_label(label) in BLANKS)
    return next(places, None)

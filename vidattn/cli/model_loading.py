"""Which model a command works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.errors import WeightsError
from vidattn.io.files import reading

if TYPE_CHECKING:
    from vidattn.inference.batch.events import NoteTaker
    from vidattn.models.classifier import Classifier
    from vidattn.weights.catalog import CatalogEntry


def load_model(
    console: NoteTaker,
    model: str | None,
    *,
    offline: bool,
    frames: int | None = None,
    labels: Path | None = None,
) -> Classifier:
    """The model named; when none is, the default, or the bundled one where that cannot be had.

    Says on stderr what was assumed, what is downloaded, and the licence of weights that restrict
    their use. labels: a file with other names for its classes, as `class_names` reads it.
    """
    from vidattn.weights.loading import load, load_default

    def announce(entry: CatalogEntry) -> None:
        console.note(f"downloading {entry.name} ({entry.license}) from {entry.location}")

    if model is not None:
        classifier = load(model, offline=offline, announce=announce)
    else:
        classifier, notice = load_default(frames, offline, announce=announce)
        if notice:
            console.note(notice)
    for note in classifier.card.notes:
        console.note(note)
    if "NC" in classifier.card.license:
        console.note(f"{classifier.card.name} is {classifier.card.license}: no commercial use")
    if labels is not None:
        classifier = replace(classifier, labels=class_names(labels, classifier.labels))
    return classifier


def load_head(console: NoteTaker, name: str, *, offline: bool) -> Classifier:
    """The head over windows that `--pool head=RUN` names. Raises UsageError for another model."""
    from vidattn.inference.whole_video import require_head
    from vidattn.weights.loading import load

    head = load(name, offline=offline)
    require_head(head)
    for note in head.card.notes:
        console.note(note)
    return head


def class_names(path: Path, known: Sequence[str]) -> tuple[str, ...]:
    """Names out of a text file in place of `known`: as many, one a line, in order; or, where every
    line is `old<TAB>new`, those with new names for some. Raises WeightsError for anything else.
    """
    try:
        with reading(f"--labels {path}", WeightsError):
            names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise WeightsError(
            f"--labels {path}: not UTF-8 text", hint="a text file of class names, one a line"
        ) from None
    names = [name.strip() for name in names if name.strip()]
    if names and all("\t" in name for name in names):
        pairs = [name.split("\t", 1) for name in names]
        renamed = {old.strip(): new.strip() for old, new in pairs}
        if unknown := [old for old in renamed if old not in known]:
            raise WeightsError(f"{path}: there is no label {unknown[0]!r} to rename")
        return tuple(renamed.get(name, name) for name in known)
    if len(names) != len(known):
        raise WeightsError(
            f"{path}: {len(names)} names for {len(known)} classes",
            hint="one a line, in order; or lines of old and new name, a tab between them",
        )
    return tuple(names)

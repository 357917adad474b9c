"""Which model a command works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidattn.cli.console import Desk

if TYPE_CHECKING:
    from vidattn.models.classifier import Classifier
    from vidattn.weights.catalog import Entry


def chosen(desk: Desk, model: str | None, frames: int | None, *, offline: bool) -> Classifier:
    """The model named; when none is, the default, or the bundled one where that cannot be had.

    Says on stderr what was assumed, what is downloaded, and the licence of weights that restrict
    their use.
    """
    from vidattn.weights.source import load, resolve_default

    def announce(entry: Entry) -> None:
        desk.note(f"downloading {entry.name} ({entry.license}) from {entry.where}")

    if model is not None:
        classifier = load(model, offline=offline, announce=announce)
    else:
        classifier, notice = resolve_default(frames, offline, announce=announce)
        if notice:
            desk.note(notice)
    for note in classifier.card.notes:
        desk.note(note)
    if "NC" in classifier.card.license:
        desk.note(f"{classifier.card.name} is {classifier.card.license}: no commercial use")
    return classifier

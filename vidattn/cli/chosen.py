"""Which model a command works with."""

from __future__ import annotations

from vidattn import weights
from vidattn.cli.console import Desk
from vidattn.models.classifier import Classifier


def chosen(desk: Desk, model: str | None, frames: int | None, *, offline: bool) -> Classifier:
    """The model named; when none is, the default, or the bundled one where that cannot be had.

    Says on stderr what was assumed, and the licence of weights that restrict their use.
    """
    if model is not None:
        classifier = weights.load(model, offline=offline)
    else:
        classifier, notice = weights.resolve_default(frames, offline=offline)
        if notice:
            desk.note(notice)
    for note in classifier.card.notes:
        desk.note(note)
    if "NC" in classifier.card.license:
        desk.note(f"{classifier.card.name} is {classifier.card.license}: no commercial use")
    return classifier

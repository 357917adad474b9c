"""What a training run reports while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SCORES = ("top1", "mean_class")
"""What is measured on held-back clips."""


@dataclass(frozen=True)
class StepDone:
    """One optimizer step is done."""

    step: int
    """Counted from 1 through the whole run."""
    steps: int
    """Of the whole run."""
    epoch: int
    loss: float
    """Mean cross-entropy of the batch, without the auxiliary loss; not finite: it was left out."""
    lr: float
    clips_per_second: float
    seconds_left: float
    waiting: float
    """Share of the time in which the model waited for clips."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done; the model was measured on held-back clips if that was due."""

    step: int
    epoch: int
    """Counted from 1."""
    epochs: int
    loss: float
    """Mean over the steps of the epoch."""
    lr: float
    """Of its last step."""
    scores: Mapping[str, float]
    """By the names in SCORES; empty when it was not measured."""
    seconds: float
    """That it took, the part before an interruption left out."""
    waiting: float


@dataclass(frozen=True)
class CheckpointSaved:
    """The run directory holds the model as it is after this epoch."""

    path: Path
    epoch: int


@dataclass(frozen=True)
class Note:
    """Something the user should know, in a sentence."""

    text: str
    step: int = 0


Fate = Literal["replaced", "not counted"]
FATES: tuple[Fate, Fate] = ("replaced", "not counted")


@dataclass(frozen=True)
class UnreadableVideo:
    """A video could not be read; told once in a run for each fate."""

    step: int
    path: str
    fate: Fate
    """Replaced by another in training, or left out of what is counted on held-back ones."""
    code: str
    """See VideoError."""
    message: str

    @property
    def text(self) -> str:
        """All of it, in a sentence."""
        fate = "replaced by another" if self.fate == "replaced" else self.fate
        return f"{self.path}: {fate} ({self.code}): {self.message.removeprefix(f'{self.path}: ')}"


@dataclass(frozen=True)
class IncompleteValidation:
    """The run is finished, but there were videos that could not be read."""

    replaced: int
    """Training videos, each counted once."""
    not_counted: int
    """Held-back videos."""
    log: Path
    """Where each is named."""


@dataclass(frozen=True)
class Interrupted:
    """The run was asked to stop by a signal, and did so after saving a checkpoint."""

    step: int
    signal: int


Event = (
    StepDone
    | EpochDone
    | CheckpointSaved
    | Note
    | UnreadableVideo
    | Interrupted
    | IncompleteValidation
)

LOG_NAMES: dict[type, str] = {
    StepDone: "step",
    EpochDone: "epoch",
    CheckpointSaved: "saved",
    Note: "note",
    UnreadableVideo: "lost",
    IncompleteValidation: "incomplete",
    Interrupted: "halted",
}
"""What each event is called in `log.jsonl`."""

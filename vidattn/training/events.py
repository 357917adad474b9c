"""The events of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SCORES = ("top1", "mean_class", "nll")
"""Metrics on the validation clips; nll is the validation loss. Where several labels may hold at
once, they are map and nll."""


def find_score(scores: Mapping[str, float]) -> float | None:
    """The score by which epochs are compared; None where the model was not validated."""
    return scores.get("map", scores.get("top1"))


@dataclass(frozen=True)
class StepDone:
    """One optimizer step is done."""

    step: int
    """Counted from 1 through the whole run."""
    steps: int
    """Of the whole run."""
    epoch: int
    loss: float
    """Mean cross-entropy of the batch, without the auxiliary loss; not finite if skipped."""
    lr: float
    clips_per_second: float
    seconds_left: float
    waiting: float
    """Fraction of the time in which the model waited for data."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done; the model was validated if that was due."""

    step: int
    epoch: int
    """Counted from 1."""
    epochs: int
    loss: float
    """Mean over the steps of the epoch."""
    lr: float
    """Learning rate of its last step."""
    scores: Mapping[str, float]
    """By the names in SCORES; empty when the model was not validated."""
    seconds: float
    """Duration, without the time before an interruption."""
    waiting: float
    train_top1: float = 0.0
    """Share of the training clips of the epoch that were right, as augmented and mixed."""
    clips: int = 0
    """Number of validation clips that were scored."""
    majority: float = 0.0
    """Share of the validation clips that are of the largest class."""
    thresholds: tuple[float, ...] = ()
    """As of `Classifier.thresholds`, fitted to the validation videos."""


@dataclass(frozen=True)
class Verdict:
    """The run is finished: how good its model is, in words."""

    step: int
    text: str


@dataclass(frozen=True)
class CheckpointSaved:
    """The run folder holds the model after this epoch."""

    path: Path
    epoch: int


@dataclass(frozen=True)
class TrainingNote:
    """A remark, one sentence."""

    text: str
    step: int = 0
    warning: bool = False


Fate = Literal["replaced", "not counted"]
FATES: tuple[Fate, Fate] = ("replaced", "not counted")


@dataclass(frozen=True)
class UnreadableVideo:
    """A video could not be read; reported once in a run for each fate."""

    step: int
    path: str
    fate: Fate
    """Replaced by another one in training, or not counted in validation."""
    code: str
    """See VideoError."""
    message: str

    @property
    def text(self) -> str:
        """The event as a sentence."""
        fate = "replaced by another" if self.fate == "replaced" else self.fate
        return f"{self.path}: {fate} ({self.code}): {self.message.removeprefix(f'{self.path}: ')}"


@dataclass(frozen=True)
class IncompleteValidation:
    """The run is finished, but some videos could not be read."""

    replaced: int
    """Training videos, each counted once."""
    not_counted: int
    """Validation videos."""
    log: Path
    """The file that names each of them."""


@dataclass(frozen=True)
class Interrupted:
    """The run was stopped by a signal, after saving a checkpoint."""

    step: int
    signal: int


Event = (
    StepDone
    | EpochDone
    | CheckpointSaved
    | TrainingNote
    | UnreadableVideo
    | Interrupted
    | IncompleteValidation
    | Verdict
)

LOG_NAMES: dict[type, str] = {
    StepDone: "step",
    EpochDone: "epoch",
    CheckpointSaved: "saved",
    TrainingNote: "note",
    UnreadableVideo: "lost",
    IncompleteValidation: "incomplete",
    Interrupted: "halted",
    Verdict: "verdict",
}
"""The name of each event in `log.jsonl`."""

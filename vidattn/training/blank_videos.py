"""What teaching learns of blank videos: how active others look, and what leaving them out costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import find_blank
from vidattn.evaluation.metrics import exact_interval, log_probabilities
from vidattn.inference.whole_video import DIGITS, blank_risk
from vidattn.training.cross_validation import CrossValidation, Study

LOSS = 0.05
"""The loss for which the costs are measured."""


@dataclass(frozen=True, eq=False)
class Activities:
    """How active samples look to heads that have not seen them."""

    active: NDArray[np.float64]
    """Of those in which something happens."""
    blank: NDArray[np.float64]
    groups: NDArray[np.str_]
    """Of the active ones."""

    @property
    def examples(self) -> tuple[float, ...]:
        """Those of samples in which something happens, rising."""
        return tuple(sorted(self.active.tolist()))

    def report(self) -> dict[str, Any]:
        """What is lost of the samples in which something happens, and found of the blank ones, at
        LOSS. The threshold of each group comes from the others."""
        risks = [
            blank_risk(self.active[self.groups != group].tolist(), activity)
            for activity, group in zip(self.active, self.groups, strict=True)
        ]
        lost = sum(risk <= LOSS for risk in risks)
        removed = sum(blank_risk(self.examples, activity) <= LOSS for activity in self.blank)
        return {
            "loss": LOSS,
            "active": len(self.active),
            "lost": lost,
            "lost_interval": list(exact_interval(lost, len(self.active))),
            "blank": len(self.blank),
            "removed": removed,
        }


def measure_activities(
    study: Study, verdict: CrossValidation, labels: Sequence[str]
) -> Activities | None:
    """The activity of every sample, as of `measure_activity`; None without a class of blank ones,
    and for models of several labels at once."""
    label = find_blank(labels)
    if label is None or study.activation != "softmax":
        return None
    truth = study.truth(verdict.best.view)[:, label]
    activity = np.zeros(len(truth))
    for judge in verdict.judges:
        units, logits = study.judge(judge.trial, ~judge.units, judge.units)
        blank = np.exp(log_probabilities(logits, judge.temperature))[:, label]
        np.maximum.at(activity, units, (1 - blank).clip(0, 1))
    activity = np.round(activity, DIGITS)
    groups = np.array(study.unit_groups(verdict.best.view))
    return Activities(activity[~truth], activity[truth], groups[~truth])

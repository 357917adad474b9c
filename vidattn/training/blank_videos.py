"""What teaching learns of blank videos: how active others look, and what leaving them out costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import find_blank
from vidattn.evaluation.metrics import exact_interval
from vidattn.inference.blank import DIGITS, blank_risk
from vidattn.training.cross_validation import CrossValidation, Study

LOSS = 0.05
"""The loss for which the costs are measured."""


def active_examples(study: Study, verdict: CrossValidation, labels: Sequence[str]) -> list[float]:
    """The activity of each sample in which something happens, rising; none without a class of blank
    ones, and of models of several labels at once."""
    active = _activities(study, verdict, labels)
    return [] if active is None else sorted(active[0].tolist())


def measure_blank(
    study: Study, verdict: CrossValidation, labels: Sequence[str]
) -> dict[str, Any] | None:
    """What is lost of the samples in which something happens, and found of the blank ones, at LOSS;
    None without a class of blank ones. The threshold of each group comes from the others."""
    found = _activities(study, verdict, labels)
    if found is None:
        return None
    active, blank, groups = found
    risks = [
        blank_risk(active[groups != group].tolist(), activity)
        for activity, group in zip(active, groups, strict=True)
    ]
    lost = sum(risk <= LOSS for risk in risks)
    removed = sum(blank_risk(active.tolist(), activity) <= LOSS for activity in blank)
    return {
        "loss": LOSS,
        "active": len(active),
        "lost": lost,
        "lost_interval": list(exact_interval(lost, len(active))),
        "blank": len(blank),
        "removed": removed,
    }


def _activities(
    study: Study, verdict: CrossValidation, labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_]] | None:
    """The activity of samples in which something happens and of blank ones, by heads that have not
    seen them, and the groups of the first."""
    label = find_blank(labels)
    if label is None or study.activation != "softmax":
        return None
    truth = study.truth(verdict.best.view)[:, label]
    activity = np.round(1 - verdict.probabilities[:, label], DIGITS).clip(0, 1)
    groups = np.array(study.unit_groups(verdict.best.view))
    return activity[~truth], activity[truth], groups[~truth]

"""How good a model is on labelled clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vidattn.data.motion import Batch
from vidattn.errors import DataError
from vidattn.metrics import confusion, mean_class, top_k
from vidattn.models.classifier import Classifier


@dataclass(frozen=True)
class Evaluation:
    """Scores as shares from 0 to 1, and who was taken for whom."""

    top1: float
    top5: float
    mean_class: float
    confusion: NDArray[np.int64]
    """[K, K]: rows are the true classes, columns the answers."""
    clips: int

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Plain values for JSON, with the names of the classes."""
        return {
            "top1": self.top1,
            "top5": self.top5,
            "mean_class": self.mean_class,
            "clips": self.clips,
            "labels": list(labels),
            "confusion": self.confusion.tolist(),
        }


def scored(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Evaluation:
    """The scores of logits [N, K] against labels [N]. Raises DataError when N is 0."""
    if len(labels) == 0:
        raise DataError("nothing to evaluate: the data set has no clips")
    counts = confusion(logits.argmax(1), labels, logits.shape[1])
    return Evaluation(
        top1=top_k(logits, labels, 1),
        top5=top_k(logits, labels, 5),
        mean_class=mean_class(counts),
        confusion=counts,
        clips=len(labels),
    )


@torch.no_grad()
def logits_of(
    model: nn.Module, batches: Iterable[Batch], device: str | torch.device = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits float32 [N, K] and labels int64 [N] of all clips; `model` is left as it was found."""
    training = model.training
    model.eval().to(device)
    answers, labels = [], []
    try:
        for batch in batches:
            answers.append(model(batch.clips.to(device)).float().cpu().numpy())
            labels.append(batch.labels.numpy())
    finally:
        model.train(training)
    if not labels:
        raise DataError("nothing to evaluate: the data set has no clips")
    return np.concatenate(answers), np.concatenate(labels)


def evaluate(
    model: Classifier | nn.Module, batches: Iterable[Batch], *, device: str | torch.device = "cpu"
) -> Evaluation:
    """Show every clip once and count. Raises DataError when there are no clips."""
    network = model.model if isinstance(model, Classifier) else model
    return scored(*logits_of(network, batches, device))

"""How good a model is on labelled clips."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vidattn.data.motion.dataset import Batch
from vidattn.errors import DataError
from vidattn.evaluation.classification import ClassificationMetrics, measure
from vidattn.models.classifier import Classifier
from vidattn.models.device import to_device


@torch.no_grad()
def predict_logits(
    model: nn.Module, batches: Iterable[Batch], device: str | torch.device = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits float32 [N, K] and labels int64 [N] of all clips; `model` is left as it was found."""
    training = model.training
    model.eval().to(device)
    answers, labels = [], []
    try:
        for batch in batches:
            answers.append(
                model(to_device(batch.clips, torch.device(device))).float().cpu().numpy()
            )
            labels.append(batch.labels.numpy())
    finally:
        model.train(training)
    if not labels:
        raise DataError("nothing to evaluate: the data set has no clips")
    return np.concatenate(answers), np.concatenate(labels)


def evaluate(
    model: Classifier | nn.Module, batches: Iterable[Batch], *, device: str | torch.device = "cpu"
) -> ClassificationMetrics:
    """Show every clip once and count. Raises DataError when there are no clips."""
    if isinstance(model, Classifier):
        return measure(*predict_logits(model.model, batches, device), model.temperature)
    return measure(*predict_logits(model, batches, device))

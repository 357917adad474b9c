"""Predictions of a temporal head for a dataset of embeddings."""

from __future__ import annotations

import numpy as np
import torch

from vidattn.data.embedding_dataset import load_item_embeddings
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.errors import DataError
from vidattn.evaluation.dataset import align_labels
from vidattn.evaluation.predictions import Predictions
from vidattn.inference.whole_video import predict_logits, require_head
from vidattn.models.classifier import Classifier


def predict_dataset(head: Classifier, source: LabeledDataset) -> Predictions:
    """Predict every video of a dataset from its embeddings; those without are listed as failed.

    Raises DataError when no video has embeddings, or the head does not know a class.
    """
    truth = align_labels(source.labels, head.labels, source, head.card.name)
    config = require_head(head).config
    rows: list[torch.Tensor] = []
    paths: list[str] = []
    labels: list[int] = []
    failed: list[dict[str, str]] = []
    for item in source.items:
        try:
            saved, vectors = load_item_embeddings(item)
            if saved.model.get("sha256") != config.sha256:
                raise DataError(f"{item.path}: embeddings of another model than {config.model}")
        except DataError as error:
            failed.append({"path": item.path, "code": "E_INPUT", "message": error.message})
            continue
        rows.append(predict_logits(head, vectors.numpy()))
        paths.append(item.path)
        labels.append(int(truth[item.label]))
    if not rows:
        raise DataError(
            f"{source.where}: none of its videos has embeddings: {failed[0]['message']}"
        )
    return Predictions(
        head.labels,
        tuple(paths),
        np.array(labels, np.int64),
        torch.stack(rows).numpy(),
        head.temperature,
        {
            "model": head.card.name,
            "sha256": head.card.sha256,
            "dataset": source.name,
            "videos": len(source.items),
            "failed": failed,
            "settings": {
                "seen_by": config.model,
                "window_seconds": config.window_seconds,
                "stride_seconds": config.stride_seconds,
            },
        },
    )

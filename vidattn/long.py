"""One label for a whole film, from what a model saw of its windows, by a head that learned it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.answers import Answers
from vidattn.data.labelled import LabelledSet
from vidattn.data.long import vectors_of
from vidattn.errors import DataError, UsageError
from vidattn.evaluate_set import aligned
from vidattn.gathering.pooling import Pool
from vidattn.infer import stream
from vidattn.models.classifier import Classifier
from vidattn.models.temporal import TemporalHead
from vidattn.streaming.events import Event, Finished
from vidattn.timeline import Timeline


def head_of(classifier: Classifier) -> TemporalHead:
    """The model of a classifier of whole films. Raises UsageError for one of clips."""
    if not isinstance(classifier.model, TemporalHead):
        raise UsageError(
            f"{classifier.card.name}: no head over windows",
            hint="vidattn train --task long makes one",
        )
    return classifier.model


@torch.inference_mode()
def answered(head: Classifier, vectors: NDArray[np.float32]) -> torch.Tensor:
    """Logits float32 [K] of a film, from the vectors [N, D] of its windows in order."""
    model = head_of(head)
    device = next(model.parameters()).device
    logits: torch.Tensor = model.eval()(torch.from_numpy(vectors)[None].to(device))[0].float().cpu()
    return logits


def windows_of(
    source: str | os.PathLike[str], classifier: Classifier, head: Classifier, **wanted: Any
) -> Iterator[Event]:
    """Look at a film as the films were looked at that a head learned from; events as `stream`.

    The last one holds the one answer that the head gives. wanted: as of `stream`, but for how
    windows are cut. Raises UsageError when the head learned from what another model saw.
    """
    config = head_of(head).config
    if classifier.card.sha256 != config.sha256:
        raise UsageError(
            f"{head.card.name} has learned from what {config.model} saw, and not "
            f"{classifier.card.name}",
            hint=f"name that model: -m {config.model}",
        )
    wanted |= {"window": config.window_seconds, "stride": config.stride_seconds}
    wanted["frames"] = head.clip.frames
    for event in stream(source, classifier, vectors=True, **wanted):
        if isinstance(event, Finished):
            assert event.vectors is not None
            event = Finished(_pooled(event.timeline, head, event.vectors), event.vectors)
        yield event


def card_of(head: Classifier) -> dict[str, str]:
    """What a timeline says of a head."""
    return {"name": head.card.name, "sha256": head.card.sha256}


def _pooled(timeline: Timeline, head: Classifier, vectors: NDArray[np.float32]) -> Timeline:
    scores = head.scores(answered(head, vectors)[None]).numpy()
    return replace(
        timeline.pooled(Pool("mean")),
        labels=head.labels,
        scores=scores[None],
        model={**timeline.model, "head": card_of(head)},
        settings={**timeline.settings, "pool": f"head {head.card.name}"},
    )


def answers_of(head: Classifier, source: LabelledSet) -> Answers:
    """What a head says to every film of a set, from its embeddings; those without are listed.

    Raises DataError when there is no film with embeddings, or a class that the head does not know.
    """
    truth = aligned(source.labels, head.labels, source, head.card.name)
    config = head_of(head).config
    rows: list[torch.Tensor] = []
    paths: list[str] = []
    labels: list[int] = []
    failed: list[dict[str, str]] = []
    for item in source.items:
        try:
            found, vectors = vectors_of(item)
            if found.model.get("sha256") != config.sha256:
                raise DataError(f"{item.path}: seen by another model than {config.model}")
        except DataError as error:
            failed.append({"path": item.path, "code": "E_INPUT", "message": error.message})
            continue
        rows.append(answered(head, vectors.numpy()))
        paths.append(item.path)
        labels.append(int(truth[item.label]))
    if not rows:
        raise DataError(f"{source.root}: none of its films has embeddings: {failed[0]['message']}")
    return Answers(
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

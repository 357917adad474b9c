"""One label for a whole video, predicted by a temporal head from the embeddings of its windows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.errors import UsageError
from vidattn.inference.events import Event, Finished
from vidattn.inference.stream import stream
from vidattn.models.classifier import Classifier
from vidattn.models.temporal_head import TemporalHead
from vidattn.timeline import Timeline
from vidattn.timeline.pooling import Pool


def require_head(classifier: Classifier) -> TemporalHead:
    """The temporal head of a classifier. Raises UsageError for a classifier of clips."""
    if not isinstance(classifier.model, TemporalHead):
        raise UsageError(
            f"{classifier.card.name}: is not a temporal head",
            hint="vidattn train --task long makes one",
        )
    return classifier.model


@torch.inference_mode()
def predict_logits(head: Classifier, embeddings: NDArray[np.float32]) -> torch.Tensor:
    """Logits float32 [K] of a video, from the embeddings [N, D] of its windows in order."""
    model = require_head(head)
    device = next(model.parameters()).device
    logits: torch.Tensor = (
        model.eval()(torch.from_numpy(embeddings)[None].to(device))[0].float().cpu()
    )
    return logits


def stream_whole_video(
    source: str | os.PathLike[str], classifier: Classifier, head: Classifier, **options: Any
) -> Iterator[Event]:
    """Stream a video in the windows that the head was trained on; events as of `stream`.

    The last event holds the prediction of the head. options: as of `stream`, without windowing.
    Raises UsageError when the head was trained on embeddings of another model.
    """
    config = require_head(head).config
    if classifier.card.sha256 != config.sha256:
        raise UsageError(
            f"{head.card.name} was trained on embeddings of {config.model}, not of "
            f"{classifier.card.name}",
            hint=f"name that model: -m {config.model}",
        )
    options |= {"window": config.window_seconds, "stride": config.stride_seconds}
    options["frames"] = head.clip.frames
    for event in stream(source, classifier, embeddings=True, **options):
        if isinstance(event, Finished):
            assert event.embeddings is not None
            event = replace(event, timeline=_pooled(event.timeline, head, event.embeddings))
        yield event


def describe_head(head: Classifier) -> dict[str, str]:
    """The head, as a timeline names it."""
    return {"name": head.card.name, "sha256": head.card.sha256}


def _pooled(timeline: Timeline, head: Classifier, embeddings: NDArray[np.float32]) -> Timeline:
    scores = head.scores(predict_logits(head, embeddings)[None]).numpy()
    return replace(
        timeline.pool_windows(Pool("mean")),
        labels=head.labels,
        scores=scores[None],
        model=replace(timeline.model, extra={**timeline.model.extra, "head": describe_head(head)}),
        settings=replace(timeline.settings, pool=f"head {head.card.name}"),
    )

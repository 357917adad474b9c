"""One prediction for a whole video from all of its windows: by a temporal head, or whether anything
happens at all.

The risk that a video is not blank is its conformal p-value (Vovk, Gammerman, Shafer, Algorithmic
Learning in a Random World, 2005): the rank of its activity among labeled videos in which something
happens, each scored by a model that has not seen its group. Leaving out videos up to a risk of 5 %
loses on average 5 % of those with something in them, as long as they are like the labeled ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.config.labels import find_blank
from vidattn.errors import UsageError
from vidattn.inference.events import Event, Finished
from vidattn.inference.stream import stream
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.models.temporal_head import TemporalHead
from vidattn.timeline import Timeline
from vidattn.timeline.pooling import Pool
from vidattn.types import BlankVerdict

OVERLAP = 0.5
"""Of the windows, as in teaching."""
DIGITS = 6
"""Of an activity: closer ones are ties, which count as looking as empty."""


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


def require_blank(classifier: Classifier, loss: float = 1.0) -> int:
    """The number of the label of blank videos. Raises UsageError for a model without one, and where
    it knows too few other videos to find any blank at this loss."""
    label = find_blank(classifier.labels)
    if label is None or not classifier.active_examples:
        raise UsageError(
            f"{classifier.card.name}: has not learned what a blank video is",
            hint="vidattn teach labels.csv, with videos of a class that is called blank",
        )
    least = blank_risk(classifier.active_examples, -1.0)
    if least > loss:
        known = count_noun(len(classifier.active_examples), "sample")
        raise UsageError(
            f"--blank {100 * loss:g}%: {classifier.card.name} has learned from {known} with "
            f"something in them, too few for a loss below {100 * least:.1f} %",
            hint="allow a higher loss, or teach more samples",
        )
    return label


def measure_activity(scores: NDArray[np.floating], blank: int) -> float:
    """How likely something happens in the window in which most does, 0 to 1: an animal may be
    there for a moment of a long video.

    scores: probabilities [N, K]. blank: the label of nothing.
    """
    return round(min(max(1 - float(scores[:, blank].min()), 0.0), 1.0), DIGITS)


def blank_risk(examples: Sequence[float], activity: float) -> float:
    """The share of videos with something in them that is lost where a video of this activity, and
    all that are quieter, are left out. examples: the activity of labeled ones."""
    return (1 + sum(one <= activity for one in examples)) / (len(examples) + 1)


def stream_blank(
    source: str | os.PathLike[str], classifier: Classifier, loss: float, **options: Any
) -> Iterator[Event]:
    """Stream all windows of a video; events as of `stream`.

    The last event holds one prediction for the whole video, and whether it is blank. loss: the risk
    that is taken, 0 to 1. options: as of `stream`, without windowing.
    """
    blank = require_blank(classifier)
    for event in stream(source, classifier, overlap=OVERLAP, **options):
        if isinstance(event, Finished) and event.timeline.windows:
            timeline = event.timeline
            activity = measure_activity(timeline.scores, blank)
            risk = blank_risk(classifier.active_examples, activity)
            pooled = timeline.pool_windows(Pool("mean"))
            event = replace(
                event, timeline=replace(pooled, blank=BlankVerdict(round(risk, 5), loss))
            )
        yield event

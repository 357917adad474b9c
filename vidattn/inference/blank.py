"""Blank videos: whether anything happens at all, and how many videos with something in them are
lost where those that look as empty are left out.

The risk of a video is its conformal p-value (Vovk, Gammerman, Shafer, Algorithmic Learning in a
Random World, 2005): the rank of its activity among labeled videos in which something happens, each
scored by a model that has not seen its group. Leaving out videos up to a risk of 5 % loses on
average 5 % of those with something in them, as long as they are like the labeled ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import find_blank
from vidattn.errors import UsageError
from vidattn.inference.events import Event, Finished
from vidattn.inference.stream import stream
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.timeline.pooling import Pool
from vidattn.types import BlankVerdict

OVERLAP = 0.5
"""Of the windows, as in teaching."""
DIGITS = 6
"""Of an activity: closer ones are ties, which count as looking as empty."""


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

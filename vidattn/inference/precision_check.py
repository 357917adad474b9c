"""Low precision against float32, measured on some windows of a video before the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidattn.data.frames import view_clips
from vidattn.errors import InputError
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.models.device import Precision, Runtime
from vidattn.types import View
from vidattn.video import Video

MAX_VIEWS = 4
VIEWS_PER_CHECK = 8
"""One in so many views is checked, at least one and at most MAX_VIEWS."""
TOLERANCE = 0.1
"""Largest difference of a score that is accepted."""


@dataclass(frozen=True)
class PrecisionCheck:
    """The scores of some views in a precision, compared with float32."""

    precision: Precision
    windows: int
    same_label: int
    """Windows with the same best label."""
    max_difference: float
    """The largest difference of a score."""

    @property
    def passed(self) -> bool:
        """Whether the difference lies within TOLERANCE."""
        return self.max_difference <= TOLERANCE

    def __str__(self) -> str:
        """A sentence."""
        return (
            f"{self.precision} beside float32 in {self.windows} of the windows: same best label in "
            f"{self.same_label}, scores differ by {self.max_difference:.4f} at most"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values for the `model` of a timeline."""
        counts = {"windows": self.windows, "same_label": self.same_label}
        return {self.precision: counts | {"max_difference": round(self.max_difference, 5)}}


def needs_check(scorer: Scorer, runtime: Runtime) -> bool:
    """Whether `scorer` computes in int8, or in bf16 by its own choice."""
    return scorer.precision == "int8" or (
        runtime.precision == "auto" and scorer.precision == "bf16"
    )


def check_precision(
    video: Video, views: Sequence[View], classifier: Classifier, scorer: Scorer, runtime: Runtime
) -> PrecisionCheck | None:
    """Compare `scorer` with float32 on a few of `views`, spread over all; None if none decodes.

    Raises InputError when int8 is too far off, see TOLERANCE.
    """
    count = min(MAX_VIEWS, max(1, len(views) // VIEWS_PER_CHECK))
    places = np.linspace(0, len(views) - 1, count).round().astype(int).tolist()
    views = [views[place] for place in places]
    clips = [clip for clip in view_clips(video, views, classifier.clip) if clip is not None]
    if not clips:
        return None
    exact = Scorer(classifier, replace(runtime, precision="fp32", compile=False))
    pairs = [
        [classifier.scores(run([clip])[0][None]).numpy() for run in (exact, scorer)]
        for clip in clips
    ]
    result = PrecisionCheck(
        scorer.precision,
        len(pairs),
        sum(int(a.argmax() == b.argmax()) for a, b in pairs),
        max(float(np.abs(a - b).max()) for a, b in pairs),
    )
    if scorer.precision == "int8" and not result.passed:
        raise InputError(
            f"{video.path}: refused: {result}; {TOLERANCE:g} is the most allowed",
            hint="leave --precision int8 out: this model loses too much in 8-bit integers",
        )
    return result

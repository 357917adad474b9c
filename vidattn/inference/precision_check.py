"""What fewer bits do to a film's scores, measured on some of its windows before the others."""

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

MOST_VIEWS = 4
VIEWS_EACH = 8
"""One in so many views is looked at twice, at least one and MOST_VIEWS at most."""
MOST_APART = 0.1
"""A score that is off by more than this is not accepted."""


@dataclass(frozen=True)
class PrecisionCheck:
    """How the scores of some views in a precision and in float32 compare."""

    precision: Precision
    windows: int
    same_label: int
    """In how many of them the best label is the same."""
    max_difference: float
    """The largest difference of a score."""

    @property
    def near(self) -> bool:
        """Whether it is near enough to be used, see MOST_APART."""
        return self.max_difference <= MOST_APART

    def __str__(self) -> str:
        """A sentence."""
        return (
            f"{self.precision} beside float32 in {self.windows} of the windows: same best label in "
            f"{self.same_label}, scores differ by {self.max_difference:.4f} at most"
        )

    def record(self) -> dict[str, Any]:
        """What a timeline says of it."""
        words = {"windows": self.windows, "same_label": self.same_label}
        return {self.precision: words | {"max_difference": round(self.max_difference, 5)}}


def windows_to_check(scorer: Scorer, runtime: Runtime) -> bool:
    """Whether `scorer` has fewer bits than float32 without having been told so in plain words."""
    return scorer.precision == "int8" or (
        runtime.precision == "auto" and scorer.precision == "bf16"
    )


def check_precision(
    video: Video, views: Sequence[View], classifier: Classifier, scorer: Scorer, runtime: Runtime
) -> PrecisionCheck | None:
    """Compare `scorer` with float32 on a few of `views`, spread over all; None if none decodes.

    Raises InputError when int8 is too far off, see MOST_APART.
    """
    count = min(MOST_VIEWS, max(1, len(views) // VIEWS_EACH))
    places = np.linspace(0, len(views) - 1, count).round().astype(int).tolist()
    found = view_clips(video, [views[place] for place in places], classifier.clip)
    clips = [clip for clip in found if clip is not None]
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
    if scorer.precision == "int8" and not result.near:
        raise InputError(
            f"{video.path}: refused: {result}; {MOST_APART:g} is the most allowed",
            hint="leave --precision int8 out: this model loses too much in 8-bit integers",
        )
    return result

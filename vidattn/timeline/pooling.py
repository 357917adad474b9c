"""One answer out of many: the scores of windows or views pooled over time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import UsageError


@dataclass(frozen=True)
class Pool:
    """How many rows of probabilities become one."""

    how: Literal["mean", "max", "top"]
    count: int = 1
    """Of "top": how many rows."""

    @classmethod
    def parse(cls, text: str) -> Pool:
        """From "mean", "max" or "topN", such as "top5". Raises UsageError for anything else."""
        if text == "mean":
            return cls("mean")
        if text == "max":
            return cls("max")
        if (match := re.fullmatch(r"top([1-9]\d{0,8})", text)) is None:
            raise UsageError(
                f"--pool {text!r}: expected mean, max or topN, or of classify head=RUN",
                hint="top5 is the mean over the 5 windows that are surest of a label",
            )
        return cls("top", int(match[1]))

    def __str__(self) -> str:
        return f"top{self.count}" if self.how == "top" else self.how

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities [N, K] to [K], scaled to add up to 1.

        Mean: what the file shows most. Max: what it shows anywhere, were it once. Top N, each label
        for itself: the mean of its N greatest scores, between the two.
        """
        rows = np.asarray(scores, dtype=np.float64)
        count = {"mean": len(rows), "max": 1, "top": min(self.count, len(rows))}[self.how]
        pooled = np.sort(rows, axis=0)[len(rows) - count :].mean(axis=0)
        return np.asarray(pooled / pooled.sum())

"""Pooling: the scores of windows or views over time become one row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import UsageError


@dataclass(frozen=True)
class Pool:
    """A way to pool rows of probabilities into one."""

    how: Literal["mean", "max", "top"]
    count: int = 1
    """Number of rows of "top"."""

    @classmethod
    def parse(cls, text: str) -> Pool:
        """From "mean", "max" or "topN", such as "top5". Raises UsageError for anything else."""
        if text in ("mean", "max"):
            return cls("mean" if text == "mean" else "max")
        if (match := re.fullmatch(r"top([1-9]\d{0,8})", text)) is None:
            raise UsageError(
                f"--pool {text!r}: expected mean, max, topN or (classify) head=RUN",
                hint="top5 is the mean over the 5 windows with the highest scores of a label",
            )
        return cls("top", int(match[1]))

    def __str__(self) -> str:
        return f"top{self.count}" if self.how == "top" else self.how

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities [N, K] to [K], each in [0, 1].

        Mean favors labels of most of the file and sums to 1. Max, the highest probability of each
        label, favors labels that occur once; top N, the mean of its N highest, is between the two.
        Every label is pooled for itself: several may be near 1, and the sum is 1 or more.
        """
        rows = np.asarray(scores, dtype=np.float64)
        count = {"mean": len(rows), "max": 1, "top": min(self.count, len(rows))}[self.how]
        return np.asarray(np.sort(rows, axis=0)[len(rows) - count :].mean(axis=0))

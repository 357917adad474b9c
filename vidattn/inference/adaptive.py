"""Where windows may be saved: coarse to fine where it matters, and nothing anew while all is still.

Both rules look at nothing but the film and its scores, so the same film gives the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import UsageError


@dataclass(frozen=True)
class AdaptiveSampling:
    """How a segmentation spends its windows. Raises UsageError for numbers that make no sense."""

    refine: float | None = None
    """Seconds. Windows are added halfway between neighbours that disagree, or of which one is
    unsure, and again beside those, until they are this far apart; None adds none."""
    unsure: float = 0.5
    """A window is unsure whose best label has less than this probability."""
    static: float | None = None
    """Levels, of 255. A window takes over the scores of the last one computed when none of its
    frames, at the model's size, differs from that one's by more than this on average over pixels
    and colours; None computes every window."""

    def __post_init__(self) -> None:
        if self.refine is not None and not self.refine > 0:
            raise UsageError(f"the finest stride is longer than 0 s, got {self.refine:g}")
        if not 0 <= self.unsure <= 1:
            raise UsageError(f"a probability lies in [0, 1], got {self.unsure:g}")
        if self.static is not None and not 0 <= self.static <= 255:
            raise UsageError(f"levels go from 0 to 255, got {self.static:g}")

    def settings(self) -> dict[str, float]:
        """What was asked for, for the settings of a timeline."""
        refine = (
            {} if self.refine is None else {"refine_seconds": self.refine, "unsure": self.unsure}
        )
        return refine if self.static is None else {**refine, "skip_static": self.static}

    def unsettled(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
        """Whether the scores [K] of two neighbours call for a window between them."""
        apart = bool(left.argmax() != right.argmax())
        return apart or bool(min(left.max(), right.max()) < self.unsure)

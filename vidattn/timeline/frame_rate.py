"""Times as frame numbers at a constant rate, in exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction


def first_frame(seconds: float, fps: Fraction) -> int:
    """The first frame at or after a time that is known to the millisecond."""
    return max(math.ceil((round(seconds * 1000) - Fraction(1, 2)) * fps / 1000), 0)

"""Small frozen values that the whole package passes around."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Crop = Literal["start", "centre", "stop"]
"""Which square of a frame: left, middle, right of a wide one; top, middle, bottom of a tall one."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open interval [start, stop) of PTS seconds, the first frame of the file at 0."""

    start: float
    stop: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.stop) and self.start < self.stop):
            raise ValueError(f"a window needs start < stop, got [{self.start}, {self.stop})")

    @property
    def duration(self) -> float:
        """Seconds, always > 0."""
        return self.stop - self.start

    @property
    def centre(self) -> float:
        """Seconds."""
        return (self.start + self.stop) / 2


@dataclass(frozen=True, slots=True)
class View:
    """What a model is shown once: which frames of a video, and which crop of them."""

    indices: tuple[int, ...]
    """Frame numbers in presentation order; may repeat at the end of a short video."""
    crop: Crop = "centre"


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled example of a data set."""

    path: str
    label: int
    """Class number, an index into the labels of the data set."""
    window: Window | None = None
    """The part of the file that carries the label; None means all of it."""
    frames: tuple[int, int] | None = None
    """The same as frame numbers [first, stop), for sets that count frames; None: see `window`."""

"""Windows over a video: length, spacing, and the region that they cover."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vidattn.config.serialization import check_fields
from vidattn.errors import UsageError
from vidattn.io.text import parse_seconds


def as_seconds(time: float | str) -> float:
    """The seconds of a time, which may be text: "90.5", "1:30.5", "00:01:30". Raises UsageError."""
    if not isinstance(time, str) and time >= 0:
        return time
    try:
        return parse_seconds(f"{time}")
    except ValueError as error:
        raise UsageError(str(error)) from None


def read_times(options: Any, *names: str) -> None:
    """Turn times of frozen options that are given as text into seconds. Raises UsageError."""
    for name in names:
        if (time := getattr(options, name)) is not None:
            object.__setattr__(options, name, as_seconds(time))


@dataclass(frozen=True)
class Windowing:
    """Settings of a sliding window. Raises UsageError for numbers that make no sense."""

    frames: int | None = None
    """Frames of a clip; None for the number that the classifier was trained with."""
    window: float | None = None
    """Seconds of a window; None for frames x the frame step the classifier was trained with."""
    stride: float | None = None
    """Seconds between the starts of windows; None for window x (1 - overlap)."""
    overlap: float | None = None
    """Fraction of a window, in [0, 1), that the next one shares; excludes stride. None: as much as
    costs little (`vidattn.inference.window_scoring`), or none with a stride."""
    start: float = 0.0
    end: float | None = None
    """Seconds as players count them, from the start of the file, or text such as "1:30"; the region
    of the video that is covered, all of it by default."""
    skip_static: float | None = None
    """Levels, in [0, 255]. A window reuses the scores of the last one computed if each of its
    frames, at the model's size, differs from that window's by at most this on average over pixels
    and colors; None computes every window."""

    def __post_init__(self) -> None:
        read_times(self, "start", "end")
        check_fields(self)
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"a clip has at least 1 frame, got {self.frames}")
        if self.stride is not None and self.overlap:
            raise UsageError("--stride and --overlap exclude each other", hint="give one of them")
        if self.skip_static is not None and not 0 <= self.skip_static <= 255:
            raise UsageError(f"levels go from 0 to 255, got {self.skip_static:g}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, without `skip_static` where it is off."""
        values = asdict(self)
        if self.skip_static is None:
            del values["skip_static"]
        return values

"""Small frozen values that all rooms of the package share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Crop = Literal["start", "center", "stop"]
"""Square of a frame: left, middle, right of a wide one; top, middle, bottom of a tall one."""

RANGES = {
    "fps": (Fraction(1, 10**6), 10**6),
    "width": (1, 1 << 20),
    "height": (1, 1 << 20),
    "frames": (0, 1 << 40),
    "bytes": (-1, 1 << 62),
}
"""The facts of videos that are numbers, and their least and greatest values."""
T = TypeVar("T", bound="JsonFields")


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
    def center(self) -> float:
        """Seconds."""
        return (self.start + self.stop) / 2

    def shift(self, seconds: float) -> Window:
        """The same interval so much later."""
        return Window(self.start + seconds, self.stop + seconds)


@dataclass(frozen=True, slots=True)
class View:
    """One input of a model: frames of a video, and a crop of them."""

    indices: tuple[int, ...]
    """Frame numbers in presentation order; they repeat at the end of a short video."""
    crop: Crop = "center"


@dataclass(frozen=True, slots=True)
class Item:
    """One labeled sample of a dataset."""

    path: str
    label: int
    """Class number, an index into the labels of the dataset."""
    window: Window | None = None
    """The span of the file with the label; None for all of it."""
    frames: tuple[int, int] | None = None
    """The span in frames [first, stop), for datasets that count frames; None: see `window`."""


@dataclass(frozen=True, kw_only=True)
class JsonFields:
    """A JSON object of known fields, each of which may be missing, and of any others."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """Values of other keys, and values that their field cannot have, as they were read."""
    order: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Keys in the order in which they were read; without it fields come as they are declared."""

    @classmethod
    def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
        """The inverse of `to_dict`; takes any JSON object."""
        hints = get_type_hints(cls)
        parsed = {k: _parse(values.get(k), get_args(hints[k])[0]) for k in cls._names()}
        known = {
            k: value
            for k, value in parsed.items()
            if value is not None and cls.is_possible(k, value)
        }
        extra = {k: value for k, value in values.items() if k not in known}
        return cls(**known, extra=extra, order=tuple(values))

    def to_dict(self) -> dict[str, Any]:
        """What is known, by name."""
        known = {name: getattr(self, name) for name in self._names()}
        values = {k: v for k, v in known.items() if v is not None} | dict(self.extra)
        return {key: values[key] for key in (*self.order, *values) if key in values}

    @classmethod
    def is_possible(cls, name: str, value: Any) -> bool:
        """Whether a field can have a value of its type."""
        return True

    @classmethod
    def _names(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.name not in ("extra", "order")]


def _parse(value: Any, kind: Any) -> Any:
    """A JSON value as one of `kind`; None when it is none."""
    if kind is Fraction and isinstance(value, list | tuple) and len(value) == 2:
        pair = all(isinstance(n, int) and n > 0 for n in value)
        return Fraction(*value) if pair else None
    if isinstance(value, bool) and kind is not bool:
        return None
    accepted = (int, float) if kind is float else get_origin(kind) or kind
    return value if isinstance(value, accepted) else None


@dataclass(frozen=True, kw_only=True)
class VideoInfo(JsonFields):
    """Facts about a video file; None is unknown."""

    fps: Fraction | None = None
    """Average rate; times never come from it."""
    vfr: bool | None = None
    """Whether the gaps between frames differ by more than rounding."""
    width: int | None = None
    """Pixels, upright, before any resizing."""
    height: int | None = None
    rotation: int | None = None
    """Degrees clockwise that frames are turned to stand upright: 0, 90, 180 or 270."""
    codec: str | None = None
    frames: int | None = None
    audio: bool | None = None
    bytes: int | None = None
    """Size of the file."""

    @classmethod
    def is_possible(cls, name: str, value: Any) -> bool:
        """Whether a video can have this fact, which a file or a decoder states."""
        if name == "rotation":
            return value in (0, 90, 180, 270)
        least, most = RANGES.get(name, (value, value))
        return bool(least <= value <= most) and not (name == "codec" and len(value) > 100)

    @property
    def is_plausible(self) -> bool:
        """Whether a video can have the facts that a file states of itself."""
        stated = ("fps", "width", "height", "rotation", "codec")
        return all(self.is_possible(name, getattr(self, name)) for name in stated)

    start_offset: float | None = None
    """Seconds from the start of the file, from which players count, to the first frame; None where
    it begins with the first frame. Times here count from the first frame."""
    stream: int | None = None
    """Number of the stream that was read, of a file with several video streams."""
    timecode: str | None = None
    """Timecode of its start, as the file states it."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo(JsonFields):
    """The model behind scores; None is unknown."""

    name: str | None = None
    sha256: str | None = None
    """Of the weights file; empty for a model that was never in a file."""
    license: str | None = None
    """An SPDX identifier; empty when unknown."""
    frames: int | None = None
    """Length of a clip."""
    step_seconds: float | None = None
    """From one frame of a clip to the next."""
    temperature: float | None = None
    """Divides the logits; None is 1."""


@dataclass(frozen=True, kw_only=True)
class Settings(JsonFields):
    """How a video was sampled and by what means it was scored; None is unknown or not asked for."""

    sampling: str | None = None
    """Of a classification: dense or uniform."""
    frames: int | None = None
    """Of each clip."""
    clips: int | None = None
    crops: int | None = None
    different_frames: int | None = None
    """Frames of all clips, each counted once; or of a usual window, if it repeats some."""
    step_seconds: float | None = None
    """From one frame of a clip to the next."""
    window_seconds: float | None = None
    stride_seconds: float | None = None
    chosen_overlap: float | None = None
    """Fraction of a window that the next one shares, where the model decided."""
    views: str | None = None
    """Spatial crops x temporal clips, such as 3x1."""
    skip_static: float | None = None
    """The change, 0 to 255, up to which a window reuses the scores before it."""
    reader: str | None = None
    precision: str | None = None
    compiled: bool | None = None
    pool: str | None = None
    """How many scores became one: mean, max, topN or the name of a head."""
    start_timecode: str | None = None
    """Timecode of the start of the file; by default the one that the file states."""
    asked: Mapping[str, Any] | None = None
    """Options of the command that scores depend on."""

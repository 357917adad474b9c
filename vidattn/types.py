"""Small frozen values that all rooms of the package share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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
AREA_LIKE = re.compile(r"[-\d.,% ]+")
"""A text that is meant as an area, not as the name of a file."""
NAMED_AREA = re.compile(rf"(\w[\w-]*)=({AREA_LIKE.pattern})")
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


@dataclass(frozen=True)
class Suggestion:
    """A window to label next, as of `vidattn.inference.suggest`."""

    path: str
    window: Window
    """Seconds from the start of the file, as players count them."""
    guess: str
    """The likeliest label."""
    score: float
    unsure: float
    """From 0, sure, to 1."""
    scores: tuple[float, ...]
    """Of all labels."""
    why: str = ""
    """What makes it useful, in words."""
    roi: str = ""
    """The area of the picture, of a model that looks at several."""


@dataclass(frozen=True, slots=True)
class BlankVerdict:
    """Whether anything happens in a video, as of `vidattn.inference.whole_video`."""

    risk: float
    """The share of videos with something in them, 0 to 1, that look at least as empty."""
    loss: float
    """The risk up to which a video is blank."""

    def __post_init__(self) -> None:
        if not (0 <= self.risk <= 1 and 0 <= self.loss <= 1):
            raise ValueError(f"risk and loss are shares from 0 to 1: {self.risk}, {self.loss}")

    @property
    def is_blank(self) -> bool:
        """Whether the risk of leaving the video out is no more than the loss."""
        return self.risk <= self.loss


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of a picture as people see it, upright; y points down."""

    x: float
    """Of the left edge, in pixels or percent of the width."""
    y: float
    """Of the upper edge, in pixels or percent of the height."""
    width: float
    height: float
    percent: bool = False

    def __post_init__(self) -> None:
        known = all(map(math.isfinite, (self.x, self.y, self.width, self.height)))
        if not (known and min(self.x, self.y) >= 0 and min(self.width, self.height) > 0):
            raise ValueError(f"an area begins at 0 or later and is larger than 0, got {self}")
        if self.percent and max(self.x + self.width, self.y + self.height) > 100 + 1e-6:
            raise ValueError(f"an area in percent ends at 100, got {self}")

    def __str__(self) -> str:
        """ "X,Y,W,H" in pixels, or each with a percent sign; the inverse of `parse`."""
        numbers = (self.x, self.y, self.width, self.height)
        return ",".join(f"{number:g}{'%' * self.percent}" for number in numbers)

    @classmethod
    def parse(cls, text: str) -> Area:
        """Of "X,Y,W,H", all in pixels or all as "12.5%". Raises ValueError for anything else."""
        words = [word.strip() for word in text.split(",")]
        percent = all(word.endswith("%") for word in words)
        try:
            x, y, width, height = (float(word.removesuffix("%" * percent)) for word in words)
        except ValueError:
            raise ValueError(f"{text!r} is not X,Y,W,H, in pixels or in percent") from None
        return cls(x, y, width, height, percent)

    def pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """x, y, width and height in a picture of that size; they may reach beyond it."""
        if not self.percent:
            return self.x, self.y, self.width, self.height
        across, down = width / 100, height / 100
        return self.x * across, self.y * down, self.width * across, self.height * down


def named_areas(text: str) -> dict[str, str]:
    """Areas by name, of "left=X,Y,W,H;right=X,Y,W,H"; none of an area without a name, or of a file
    of boxes. Raises ValueError for an impossible area."""
    found = [NAMED_AREA.fullmatch(part) for part in text.split(";")]
    named = [(match[1], str(Area.parse(match[2]))) for match in found if match is not None]
    return dict(named) if len(named) == len(found) else {}


@dataclass(frozen=True, slots=True)
class Framing:
    """The part of each picture that a model sees."""

    area: Area | None = None
    """None for the whole picture."""
    masks: tuple[Area, ...] = ()
    """Areas of the whole picture that are black, such as a strip with the time."""
    boxes: str = ""
    """A file of boxes that the area follows, see `vidattn.video.boxes`; empty for none."""

    @classmethod
    def parse(cls, area: str, mask: str) -> Framing | None:
        """Of an area "X,Y,W,H" or a file of boxes, and areas "X,Y,W,H;X,Y,W,H" that are black.

        None where both are empty. Raises ValueError for a mask that is no area.
        """
        masks = tuple(map(Area.parse, mask.split(";"))) if mask else ()
        try:
            return cls(Area.parse(area), masks) if area else cls(None, masks) if mask else None
        except ValueError:
            if AREA_LIKE.fullmatch(area):
                raise
            return cls(None, masks, area)


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
    labels: tuple[int, ...] = ()
    """The numbers of all its classes, `label` first, of a sample with several; else empty."""
    group: str = ""
    """What it has in common with others that must not be split from it, such as a person or a
    recording; empty: its file."""
    roi: str = ""
    """The name of its area, of several in one picture."""
    also: tuple[tuple[float, float, int], ...] = ()
    """Labels of other samples of its file and area that hold for a part of it: start and stop in
    seconds of the file, and the number of the class."""

    @property
    def all_labels(self) -> tuple[int, ...]:
        """The numbers of its classes, one or several."""
        return self.labels or (self.label,)

    def labels_at(self, moment: float) -> tuple[int, ...]:
        """The numbers of its classes, and of others that hold at a moment, in seconds of the
        file."""
        others = (label for start, stop, label in self.also if start <= moment < stop)
        return tuple(dict.fromkeys((*self.all_labels, *others)))

    @property
    def main_labels(self) -> tuple[int, ...]:
        """The numbers of its classes, and of others that hold for half of it or more."""
        others = (label for label, share in self.shares().items() if share >= 0.5)
        return tuple(dict.fromkeys((*self.all_labels, *others)))

    def shares(self) -> dict[int, float]:
        """The share of it for which each class of `also` holds, by number."""
        first, last = (self.window.start, self.window.stop) if self.window else (0.0, math.inf)
        labels = [label for _, _, label in self.also]
        seconds, reached = dict.fromkeys(labels, 0.0), dict.fromkeys(labels, first)
        for start, stop, label in sorted(self.also):  # those of a label may overlap
            begin, end = max(start, reached[label]), min(stop, last)
            if begin < end:
                seconds[label] += end - begin
                reached[label] = end
        return {
            label: 1.0 if held == math.inf else held / (last - first)
            for label, held in seconds.items()
        }


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
        return bool(least <= value <= most) and not (
            name in ("codec", "created") and len(value) > 100
        )

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
    parts: Sequence[Any] | None = None
    """The files of a recording that was split: path, bytes, start and end in seconds of each."""
    created: str | None = None
    """When it was recorded, as the file states it: ISO 8601, often in UTC, often a wrong clock."""


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
    activation: str | None = None
    """"sigmoid" where several labels may hold at once, each with a probability of its own."""
    thresholds: Mapping[str, Any] | None = None
    """The probability from which each of these labels holds, by name."""


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
    area: str | None = None
    """Where the model looked: "X,Y,W,H" in pixels or percent, or a file of boxes."""
    mask: str | None = None
    """Areas that were black to the model, separated by semicolons."""
    roi: str | None = None
    """The name of the area, of several in one picture."""
    reader: str | None = None
    precision: str | None = None
    compiled: bool | None = None
    pool: str | None = None
    """How many scores became one: mean, max, topN or the name of a head."""
    start_timecode: str | None = None
    """Timecode of the start of the file; by default the one that the file states."""
    start_time: str | None = None
    """Date and time of the start of the file, ISO 8601."""
    asked: Mapping[str, Any] | None = None
    """Options of the command that scores depend on."""

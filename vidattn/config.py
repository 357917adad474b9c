"""What a model, a clip and a training run are made of: frozen values, exchanged as JSON.

Every class here is plain data without behaviour beyond checking its own values, so a recipe can be
read, compared, saved beside a run and stored in the header of a weights file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from vidattn.errors import RecipeError

T = TypeVar("T")
Averaging = Literal["logit", "probability"]

MOST = 1 << 20
"""No count in a recipe comes near it; one that exceeds it is a slip, and would exhaust memory."""
MOST_FRAMES = 100_000
LONGEST_STEP = 3600.0  # seconds
LARGEST_SIDE = 1 << 14  # pixels


def _require(section: str, config: Any, rules: Mapping[str, tuple[bool, str]]) -> None:
    """Check settings by name: whether the value is good, and what it must be.

    Raises RecipeError with the default as a hint. Rules are comparisons, so that NaN breaks them.
    """
    defaults = {f.name: f.default for f in fields(config)}
    for name, (good, rule) in rules.items():
        if not good:
            raise RecipeError(
                f"{section}{name} must be {rule}, got {getattr(config, name)}",
                hint=f"the default is {json.dumps(to_plain(defaults[name]))}",
            )


@dataclass(frozen=True)
class TimeSformerConfig:
    """The shape of a TimeSformer; the defaults are the paper's base model (arXiv:2102.05095)."""

    attention: str = "divided"
    """A name in `vidattn.models.timesformer.SCHEMES`."""
    classes: int = 400
    frames: int = 8
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Stochastic-depth rate of the last block; the first has 0 (official code)."""
    positions: Literal["none", "space", "space-time"] = "space-time"
    """Which position embeddings are learned (Table 4); attention "space" never has one of time."""
    order: Literal["time-space", "space-time", "parallel"] = "time-space"
    """Of the two steps of divided attention: one after the other, or both on the same tokens."""

    def __post_init__(self) -> None:
        for name in ("classes", "frames", "size", "patch", "width", "depth", "heads", "mlp_ratio"):
            if not 0 < getattr(self, name) <= MOST:
                raise RecipeError(
                    f"model.{name} must be > 0 and at most {MOST}, got {getattr(self, name)}"
                )
        if self.size % self.patch:
            raise RecipeError(
                f"model.size {self.size} is not a multiple of model.patch {self.patch}"
            )
        if self.width % self.heads:
            raise RecipeError(
                f"model.width {self.width} is not a multiple of model.heads {self.heads}"
            )
        if not 0 <= self.drop_path < 1:
            raise RecipeError(f"model.drop_path must lie in [0, 1), got {self.drop_path}")


@dataclass(frozen=True)
class StamConfig:
    """The shape of a STAM; the defaults are the paper's 16-frame model (arXiv:2103.13915)."""

    classes: int = 400
    frames: int = 16
    """Length of the learned time embedding; other lengths are resized at inference."""
    size: int = 224
    """Side in pixels of the square image the position embedding was learned for."""
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    time_depth: int = 6
    """Layers of the transformer over the frames."""
    time_heads: int = 8
    time_hidden: int = 2048

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value <= MOST:
                raise RecipeError(f"model.{name} must be > 0 and at most {MOST}, got {value}")
        if self.size % self.patch:
            raise RecipeError(
                f"model.size {self.size} is not a multiple of model.patch {self.patch}"
            )
        if self.width % self.heads or self.width % self.time_heads:
            raise RecipeError(
                f"model.width {self.width} is not a multiple of model.heads {self.heads} "
                f"and of model.time_heads {self.time_heads}"
            )


@dataclass(frozen=True)
class ClipConfig:
    """How frames of a video become the clip a model was trained on."""

    frames: int = 8
    step_seconds: float = 32 / 30
    """Seconds between neighbouring frames of a clip; 8x32 at 30 fps is 32/30."""
    short_side: int = 224
    """Pixels of the shorter side after resizing and before cropping, at test time."""
    crop: int = 224
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channels: Literal["rgb", "bgr"] = "rgb"
    sampling: Literal["uniform", "dense"] = "uniform"
    """How `classify` picks frames when not told: spread over the whole file, or (where the tempo of
    the frames carries the answer) in clips that keep `step_seconds`."""
    drawn: Literal["dense", "bins"] = "dense"
    """How clips are cut out of trimmed videos: with `step_seconds` between frames, or one frame of
    each of `frames` equal parts. Training draws start or frames at random; `eval` centres them."""

    def __post_init__(self) -> None:
        step, side = self.step_seconds, self.short_side
        rules = {
            "frames": (0 < self.frames <= MOST_FRAMES, f"> 0 and at most {MOST_FRAMES}"),
            "step_seconds": (0 < step <= LONGEST_STEP, f"> 0 and at most {LONGEST_STEP:g}"),
            "short_side": (0 < side <= LARGEST_SIDE, f"> 0 and at most {LARGEST_SIDE}"),
            "crop": (self.crop > 0, "> 0"),
            "mean": (all(map(math.isfinite, self.mean)), "finite"),
            "std": (all(0 < s < math.inf for s in self.std), "> 0 and finite"),
        }
        _require("clip.", self, rules)
        if self.crop > self.short_side:
            raise RecipeError(f"clip.crop {self.crop} exceeds clip.short_side {self.short_side}")

    @property
    def span_seconds(self) -> float:
        """Seconds of video one clip stands for: each frame covers one step."""
        return self.frames * self.step_seconds


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and schedule."""

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.005
    """Peak learning rate at `batch_size`."""
    batch_size: int = 64
    epochs: int = 15
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[int, ...] = (11, 14)
    """Epochs at which `steps` divides the learning rate by 10."""
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    """Largest gradient norm; 0 switches clipping off."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""
    checkpoint: bool = False
    """Whether blocks are computed again on the way back instead of remembered: about a third more
    time, and memory for long clips."""
    flow_weight: float = 0.0
    """Weight of the auxiliary loss on the motion of every patch, where a data set knows it."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        rules = {
            "lr": (0 < self.lr < math.inf, "> 0 and finite"),
            "batch_size": (1 <= self.batch_size <= MOST, f"from 1 to {MOST}"),
            "epochs": (1 <= self.epochs <= MOST, f"from 1 to {MOST}"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more, and finite"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "milestones": (rising and min(self.milestones, default=0) >= 0, "rising, from 0 on"),
            "warmup_epochs": (0 <= self.warmup_epochs < math.inf, "0 or more, and finite"),
            "clip_norm": (0 <= self.clip_norm < math.inf, "0 or more, and finite"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "flow_weight": (0 <= self.flow_weight < math.inf, "0 or more, and finite"),
        }
        _require("optim.", self, rules)


@dataclass(frozen=True)
class DataConfig:
    """Which data set, and how its clips are drawn."""

    dataset: str = "k400"
    """A known name or the path of a folder."""
    clips_per_epoch: int = 0
    """Training clips per epoch of an endless (procedural) set; 0: the whole of a finite set."""
    val_clips: int = 2000
    """Validation clips drawn from a procedural set."""
    textures: str = ""
    """Folder of images or videos a procedural set takes its textures from; empty: procedural."""
    workers: int = 0
    """Processes that make clips; 0: the training process itself."""
    flip: bool = True
    """Whether every second training video is mirrored; not for sets where left and right differ."""
    jitter: tuple[int, int] = (0, 0)
    """Range the short side of a training video is drawn from, in pixels; (0, 0): 8/7 to 10/7 of
    clip.crop."""
    easiest: float = 1.0
    """Difficulty a procedural set starts with, from 0 to 1, which is full difficulty."""
    ramp: float = 0.0
    """Share of the run over which its difficulty rises to 1."""

    def __post_init__(self) -> None:
        least, most = self.jitter
        rules = {
            "clips_per_epoch": (0 <= self.clips_per_epoch < 2**40, "0 or more, and below 2^40"),
            "val_clips": (1 <= self.val_clips <= MOST, f"from 1 to {MOST}"),
            "workers": (0 <= self.workers <= 1024, "from 0 to 1024"),
            "jitter": (0 <= least <= most <= LARGEST_SIDE, f"rising, from 0 to {LARGEST_SIDE}"),
            "easiest": (0 <= self.easiest <= 1, "from 0 to 1"),
            "ramp": (0 <= self.ramp <= 1, "from 0 to 1"),
        }
        _require("data.", self, rules)


@dataclass(frozen=True)
class ViewConfig:
    """Test-time views: `spatial` crops of `clips` temporal clips."""

    spatial: int = 3
    clips: int = 1

    def __post_init__(self) -> None:
        if self.spatial not in (1, 3) or self.clips < 1:
            hint = f"did you mean {self.clips}x{self.spatial}?" if self.clips in (1, 3) else None
            raise RecipeError(
                f"views {self.spatial}x{self.clips}: spatial crops are 1 or 3, clips at least 1",
                hint=hint,
            )


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run, besides paths and devices."""

    name: str
    model: TimeSformerConfig = field(default_factory=TimeSformerConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    """How `eval` looks at videos with the trained model when not told."""
    averaging: Averaging = "logit"
    start: Literal["paper", "scratch"] = "paper"
    """Initial values: the paper's, made for image weights, or made for training from nothing."""
    seed: int = 0
    source: str = ""
    """Where the values come from: a paper's table, an official configuration file, or us."""

    def __post_init__(self) -> None:
        _require("", self, {"seed": (0 <= self.seed < 2**63, "from 0 to 2^63 - 1")})


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts and tuples to lists, all the way down: what `json.dumps` accepts."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: type[T], plain: Any, where: str = "") -> T:
    """The inverse of `to_plain`: checks every key and type.

    Raises RecipeError that names the offending key, such as "optim.lr: expected a number, got 'x'".
    """
    if not isinstance(plain, Mapping):
        raise RecipeError(f"{where or kind.__name__}: expected an object, got {plain!r}")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(typing.cast(Any, kind))}
    prefix = f"{where}." if where else ""
    for key in plain:
        if key not in known:
            raise RecipeError(f"{prefix}{key}: no such setting", hint="known: " + ", ".join(known))
    values = {k: _value(hints[k], v, f"{prefix}{k}") for k, v in plain.items()}
    for f in known.values():
        has_default = not (
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        )
        if f.name not in values and not has_default:
            raise RecipeError(f"{prefix}{f.name}: missing")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint; lists become the tuples the hint asks for."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return from_plain(typing.cast(type, hint), value, where)
    if origin is Literal:
        if value not in args:
            raise RecipeError(
                f"{where}: expected one of {', '.join(map(str, args))}, got {value!r}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _value(next(a for a in args if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {value!r}")
        inner = args[:1] * len(value) if args[-1:] == (Ellipsis,) else args
        if len(inner) != len(value):
            raise RecipeError(f"{where}: expected {len(inner)} values, got {len(value)}")
        return tuple(
            _value(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        # No float reaches 10^309; infinity is refused later, by the range of the setting.
        return float(value) if abs(value) < 10**300 else math.inf * (1 if value > 0 else -1)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise RecipeError(f"{where}: expected {names.get(hint, str(hint))}, got {value!r}")
    return value


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Apply `--set` arguments such as "optim.lr=1e-3" or "clip.frames=16" in order.

    Values are read as JSON where they are JSON and as text otherwise.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise RecipeError(
                f"--set {setting!r}: expected KEY=VALUE", hint="for example --set optim.lr=1e-3"
            )
        recipe = _replaced(recipe, key.strip().split("."), _parsed(text.strip()), key.strip())
    return recipe


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the parser refuses endless digits and depths
        return text


def _replaced(value: Any, path: list[str], new: Any, where: str) -> Any:
    known = {f.name for f in fields(value)}
    name, rest = path[0], path[1:]
    if name not in known:
        raise RecipeError(
            f"--set {where}: no such setting", hint="known: " + ", ".join(sorted(known))
        )
    if rest and not is_dataclass(getattr(value, name)):
        raise RecipeError(f"--set {where}: {name} has no settings below it")
    hint = typing.get_type_hints(type(value))[name]
    changed = (
        _replaced(getattr(value, name), rest, new, where) if rest else _value(hint, new, where)
    )
    return replace(value, **{name: changed})

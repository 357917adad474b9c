"""Arguments of the Python calls: a model by its name, and settings as plain keywords."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from vidattn.config import ViewConfig
from vidattn.config.run_options import EvalSampling
from vidattn.data.plan import Windowing
from vidattn.errors import UsageError
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Decoding
from vidattn.timeline.decoding import Smooth
from vidattn.weights.loading import load, load_default

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Model = Classifier | str | Path | None
"""A classifier; what `vidattn.load` takes; or None for the default model."""


class RuntimeKeywords(TypedDict, total=False):
    """The fields of `Runtime` as keywords."""

    device: str
    precision: Literal["auto", "fp32", "bf16", "int8"]
    batch_size: int | None
    reader: str
    compile: bool


class RegionKeywords(RuntimeKeywords, total=False):
    """The frames of a clip and the region of a video, and the fields of `Runtime`, as keywords."""

    frames: int | None
    start: float | str
    end: float | str | None


class Keywords(RegionKeywords, total=False):
    """The fields of `Windowing`, `Decoding` and `Runtime` as keywords."""

    window: float | None
    stride: float | None
    overlap: float | None
    skip_static: float | None
    smooth: Smooth
    kernel: int
    threshold: float
    min_duration: float
    switch_cost: float | None
    leave: float | None
    merge_gap: float
    snap: bool


class EvalKeywords(RuntimeKeywords, total=False):
    """The fields of `EvalViews` and `Runtime` as keywords."""

    views: ViewConfig | str | None
    frames: int | None
    sampling: EvalSampling


class BatchKeywords(TypedDict, total=False):
    """The fields of `BatchOptions` as keywords."""

    skip_existing: bool
    retry_failed: bool
    shard: str | None
    watch: bool
    settle: float
    start_time: str | None
    join: bool


def find_classifier(model: Model, frames: int | None = None) -> Classifier:
    """The classifier that an argument stands for.

    None is the default model, or with a warning the bundled one where its weights are unavailable.
    frames: frames per clip, which decide about the default. Raises as `vidattn.load`.
    """
    if isinstance(model, Classifier):
        return model
    if model is not None:
        return load(model)
    classifier, notice = load_default(frames)
    if notice:
        warnings.warn(notice.replace("with -m", "by its name"), stacklevel=3)
    return classifier


def apply_keywords(
    given: Mapping[str, Any],
    windowing: Windowing,
    decoding: Decoding,
    runtime: Runtime,
    known: type = Keywords,
) -> tuple[Windowing, Decoding, Runtime]:
    """The settings with other values of some fields. Raises UsageError for names not in `known`."""
    require_known(given, known)
    rest = dict(given)
    windowing, decoding = take_keywords(rest, windowing), take_keywords(rest, decoding)
    decoding.require_effect()
    return windowing, decoding, take_keywords(rest, runtime)


def require_known(given: Mapping[str, Any], known: type) -> None:
    """Raise UsageError for the first keyword that is none of `known`, a TypedDict."""
    for name in sorted(given.keys() - known.__annotations__.keys()):
        hint = f"there are {', '.join(known.__annotations__)}, and those of the signature"
        raise UsageError(f"no option {name!r}", hint=hint)


def take_keywords(given: dict[str, Any], settings: T) -> T:
    """The settings with other values of the fields that are given, which are taken out."""
    if not is_dataclass(settings):
        raise UsageError(f"expected settings such as vidattn.Runtime(), got {settings!r}")
    changes = {one.name: given.pop(one.name) for one in fields(settings) if one.name in given}
    return replace(settings, **changes)

"""Arguments of the Python calls: a model by its name, and settings as plain keywords."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from vidattn.errors import UsageError
from vidattn.inference.windowing import Windowing
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Decoding
from vidattn.timeline.decoding import Smooth
from vidattn.weights.loading import load, load_default

Model = Classifier | str | Path | None
"""A classifier; what `vidattn.load` takes; or None for the default model."""


class RuntimeKeywords(TypedDict, total=False):
    """The fields of `Runtime` as keywords."""

    device: str
    precision: Literal["auto", "fp32", "bf16", "int8"]
    batch_size: int | None
    reader: str
    compile: bool


class Keywords(RuntimeKeywords, total=False):
    """The fields of `Windowing`, `Decoding` and `Runtime` as keywords."""

    frames: int | None
    window: float | None
    stride: float | None
    overlap: float | None
    start: float
    end: float | None
    skip_static: float | None
    smooth: Smooth
    kernel: int
    threshold: float
    min_duration: float
    switch_cost: float | None
    leave: float | None
    merge_gap: float
    snap: bool


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
    given: Mapping[str, Any], windowing: Windowing, decoding: Decoding, runtime: Runtime
) -> tuple[Windowing, Decoding, Runtime]:
    """The settings with other values of some fields. Raises UsageError for unknown names."""
    settings = (windowing, decoding, runtime)
    names = [{field.name for field in fields(one)} for one in settings]
    if unknown := [name for name in given if not any(name in known for known in names)]:
        hint = f"there are {', '.join(Keywords.__annotations__)}, and those of the signature"
        raise UsageError(f"no option {unknown[0]!r}", hint=hint)
    changes = [{key: given[key] for key in given if key in known} for known in names]
    return (
        replace(windowing, **changes[0]),
        replace(decoding, **changes[1]),
        replace(runtime, **changes[2]),
    )

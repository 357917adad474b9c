"""Our weights files: safetensors with a manifest in the header, written whole, read suspiciously.

The metadata of the header has one key, "vidattn": a JSON object with the shape of the model, the
format of its clips, its labels and its model card. A file either loads exactly, with every tensor
accounted for, or is refused with its path and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vidattn.config import Activation, Averaging, ClipConfig, Int8Calibration, Recipe
from vidattn.config.serialization import check_value, from_plain, to_plain
from vidattn.errors import RecipeError, UsageError, WeightsError
from vidattn.io.files import reading, write_atomically
from vidattn.io.json import refuse_constant
from vidattn.io.text import count_noun
from vidattn.models.classifier import KINDS, Classifier, ModelCard, find_kind
from vidattn.weights.snapshot import (
    FileSnapshot,
    raise_resource_error,
    require_regular,
    snapshot_file,
)

FORMAT = "vidattn/weights/1"
KEY = "vidattn"
MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors library
BROKEN = (
    safetensors.SafetensorError,
    *(KeyError, ValueError, RuntimeError, OSError, MemoryError),
)
"""The errors of safetensors, depending on which byte is wrong."""
EXPECTED = torch.empty(0)
"""Stands for a tensor that is not expected: of float32, like most."""
MAX_SETTING = 1 << 20
"""No number in a model config comes near it: a lying file must not exhaust memory."""


@dataclass(frozen=True)
class Manifest:
    """The content of a weights file besides its tensors; see `Classifier` and `ModelCard`."""

    name: str
    clip: ClipConfig
    labels: tuple[str, ...]
    averaging: Averaging = "logit"
    license: str = ""
    source: str = ""
    training_data: str = ""
    expect: str = ""
    notes: tuple[str, ...] = ()
    temperature: float = 1.0
    threshold: float | None = None
    activation: Activation = "softmax"
    thresholds: tuple[float, ...] = ()
    active_examples: tuple[float, ...] = ()
    int8: Int8Calibration | None = None
    model: Any = None
    """The model config, one of those in `vidattn.models.classifier.KINDS`."""
    recipe: Mapping[str, Any] | None = None
    """The plain form of the recipe that trained the weights, if they are ours."""


CARD_FIELDS = tuple(f.name for f in fields(ModelCard) if f.name != "sha256")
OPTIONAL = ("temperature", "threshold", "activation", "thresholds", "active_examples", "int8")
"""Fields of a classifier that are left out where they have their defaults."""


def save(classifier: Classifier, path: str | Path, recipe: Recipe | None = None) -> Path:
    """Write model, clip config, averaging, labels and model card to one .safetensors file.

    The file appears under its name only when it is complete and on disk. The same classifier and
    recipe give the same bytes. Raises OutputError when it cannot be written, WeightsError when a
    tensor is not finite or the file could not be loaded again, UsageError for another ending.
    """
    classifier, path = check_value(Classifier, classifier, "model"), check_value(str, path, "path")
    if Path(path).suffix != ".safetensors":
        raise UsageError(f"{path}: the name of a weights file ends in .safetensors")
    state = {k: v.detach().cpu().contiguous() for k, v in classifier.model.state_dict().items()}
    require_finite(state, str(path))
    expected = _build_empty(getattr(classifier.model, "config", classifier.model)).state_dict()
    require_same_keys(expected, state, str(path))  # a wrapped model renames them
    metadata = {KEY: dump_manifest(classifier, recipe)}
    return write_atomically(path, safetensors.torch.save(state, metadata))


def dump_manifest(classifier: Classifier, recipe: Recipe | None = None) -> str:
    """Everything about a classifier but its tensors, as JSON; `parse_manifest` reads it."""
    config = classifier.model.config
    classifier = replace(classifier, int8=classifier.int8_calibration())
    plain = {name: to_plain(getattr(classifier.card, name)) for name in CARD_FIELDS} | {
        "format": FORMAT,
        "model": {"kind": find_kind(config), **to_plain(config)},
        "recipe": to_plain(recipe) if recipe else None,
        "clip": to_plain(classifier.clip),
        "labels": list(classifier.labels),
        "averaging": classifier.averaging,
    }
    plain |= {
        field.name: to_plain(value)
        for field in fields(Manifest)
        if field.name in OPTIONAL and (value := getattr(classifier, field.name)) != field.default
    }
    return json.dumps(plain, separators=(",", ":"), sort_keys=True)


def read_classifier(path: str | Path) -> Classifier:
    """The classifier in one of our .safetensors files, on the CPU, float32, in eval mode.

    The file is read once, and may change or vanish afterwards. Raises WeightsError with the path
    and the reason.
    """
    with snapshot_file(Path(path)) as file:
        manifest = parse_header(read_header_bytes(file.data_path), file.path)
        model = build_model(manifest.model, read_tensors(file), str(file.path))
    return build_classifier(model, manifest, file.sha256)


def build_classifier(model: nn.Module, manifest: Manifest, sha256: str) -> Classifier:
    """A model with its manifest. sha256: the digest of its file."""
    card = ModelCard(**{name: getattr(manifest, name) for name in CARD_FIELDS}, sha256=sha256)
    named = ("clip", "labels", "averaging", *OPTIONAL)
    return Classifier(model, card=card, **{name: getattr(manifest, name) for name in named})


def read_header(path: str | Path) -> Manifest:
    """The manifest of a weights file, without reading its tensors. Raises WeightsError."""
    path = Path(path)
    require_regular(path)
    return parse_header(read_header_bytes(path), path)


def read_header_bytes(path: Path) -> bytes:
    """The first bytes of a safetensors file, up to the end of its header. Raises WeightsError."""
    with reading(path, WeightsError), path.open("rb") as file:
        length = file.read(8)
        return length + file.read(min(int.from_bytes(length, "little"), MAX_HEADER))


def is_ours(path: Path) -> bool:
    """Whether a safetensors file has a manifest of vidattn. Raises WeightsError if broken."""
    require_regular(path)
    return isinstance(read_metadata(read_header_bytes(path), path).get(KEY), str)


def parse_header(data: bytes, path: Path) -> Manifest:
    """The checked manifest of a file of ours; data: at least its first 8 + header-length bytes."""
    text = read_metadata(data, path).get(KEY)
    if not isinstance(text, str):
        raise WeightsError(
            f"{path}: a safetensors file without a manifest of vidattn",
            hint="load a Hugging Face model by its folder: config.json must lie beside the weights",
        )
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path) -> Manifest:
    """The inverse of `dump_manifest`, checked. Raises WeightsError for `path`."""
    try:
        plain = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=_require_unique)
    except (ValueError, RecursionError) as error:
        refuse(path, f"its manifest is not JSON: {error}", error)
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        refuse(path, f"its manifest is not in the format {FORMAT}")
    model, recipe = plain.pop("model", None), plain.pop("recipe", None)
    kind = model.pop("kind", None) if isinstance(model, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        refuse(path, f"its manifest names no kind of model out of: {', '.join(KINDS)}")
    if any(abs(number) > MAX_SETTING for number in _numbers(model)):
        refuse(path, "its manifest has a model setting that is absurdly large")
    try:
        config: Any = from_plain(KINDS[kind][0], model, "model")
        manifest = replace(from_plain(Manifest, plain), model=config, recipe=recipe)
    except RecipeError as error:
        refuse(path, f"its manifest is wrong: {error.message}", error)
    if len(manifest.labels) != config.classes:
        refuse(path, f"it names {len(manifest.labels)} classes for a model of {config.classes}")
    if not 0 < manifest.temperature <= MAX_SETTING:
        refuse(path, f"its temperature is {manifest.temperature}")
    if manifest.threshold is not None and not 0 <= manifest.threshold <= 1:
        refuse(path, f"its threshold is {manifest.threshold}")
    if len(manifest.thresholds) not in (0, len(manifest.labels)) or not all(
        0 <= threshold <= 1 for threshold in manifest.thresholds
    ):
        refuse(
            path,
            f"its thresholds are not one from 0 to 1 for each of its labels: "
            f"{list(manifest.thresholds)[:5]}",
        )
    if not all(0 <= one <= 1 for one in manifest.active_examples):
        refuse(path, "its active_examples are not from 0 to 1")
    return manifest


def _numbers(plain: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(plain, int | float):
        yield plain
    elif isinstance(plain, dict | list):
        for value in plain.values() if isinstance(plain, dict) else plain:
            yield from _numbers(value)


def read_metadata(data: bytes, path: Path) -> dict[str, Any]:
    """The `__metadata__` of a safetensors file, from its first bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER or len(data) < 8 + length:
        refuse(path, f"not a safetensors file, or cut off ({len(data):,} bytes)")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_require_unique)
    except (ValueError, RecursionError) as error:
        refuse(path, f"its safetensors header is broken: {error}", error)
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def read_tensors(file: FileSnapshot) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises WeightsError when the header does not fit them."""
    read_metadata(read_header_bytes(file.data_path), file.path)
    try:
        with safetensors.safe_open(file.data_path, framework="pt") as tensors:
            state = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
            return state if file.in_memory else {k: v.clone() for k, v in state.items()}
    except BROKEN as error:
        raise_resource_error(error, file.path)
        refuse(file.path, f"broken safetensors: {error}", error)


def build_model(config: Any, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """A model with exactly the tensors of `state`, in float32, in eval mode.

    Raises WeightsError that lists missing, unexpected, misshapen and non-finite tensors.
    """
    if config.depth > len(state):
        raise WeightsError(f"{where}: a model of depth {config.depth} in {len(state)} tensors")
    try:
        model = _build_empty(config)
    except RecipeError as error:
        raise WeightsError(f"{where}: {error.message}", hint=error.hint) from error
    require_same_keys(model.state_dict(), state, where)
    require_finite(state, where)
    if any(table.is_meta for table in _unsaved_tables(model)):
        model = KINDS[find_kind(config)][1](config)
    values = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    model.load_state_dict(values, assign=True)
    return model.eval()


def _unsaved_tables(model: nn.Module) -> list[Tensor]:
    """Tables that a model computes when it is made, and that no file holds."""
    saved = model.state_dict()
    values = (value for module in model.modules() for value in vars(module).values())
    plain = [value for value in values if isinstance(value, Tensor)]
    return [*plain, *(buffer for name, buffer in model.named_buffers() if name not in saved)]


def _build_empty(config: Any) -> nn.Module:
    """A model on the meta device, where nothing is allocated or initialized."""
    with torch.device("meta"):
        return KINDS[find_kind(config)][1](config)


def require_same_keys(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str
) -> None:
    """Raise WeightsError that counts the differences in keys and shapes, and lists five."""
    wrong = [f"missing {k}" for k in expected if k not in found]
    wrong += [f"unexpected {k}" for k in found if k not in expected]
    wrong += [
        f"{k} is {list(found[k].shape)}, should be {list(v.shape)}"
        for k, v in expected.items()
        if k in found and found[k].shape != v.shape
    ]
    wrong += [
        f"{k} is {v.dtype}"
        for k, v in found.items()
        if v.is_floating_point() != expected.get(k, EXPECTED).is_floating_point()
    ]
    if wrong:
        listed = "; ".join(wrong[:5]) + ("; ..." if len(wrong) > 5 else "")
        count = count_noun(len(wrong), "difference")
        raise WeightsError(f"{where}: {count} to the model: {listed}")


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError that names the tensors with NaN or infinite values."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        listed = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise WeightsError(f"{where}: NaN or infinite values in {len(bad)} tensors: {listed}")


def refuse(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise the WeightsError for a file."""
    raise WeightsError(f"{path}: {reason}") from cause


def _require_unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError for a repeated key, on which readers disagree."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"duplicate key {key!r}")
        result[key] = value
    return result

"""Our weights files: safetensors with a manifest in the header, written whole, read suspiciously.

The header's metadata has one key, "vidattn": a JSON object that says how to build the model, how to
cut clips for it, what its classes are called and where it comes from. A file either loads exactly,
with every tensor accounted for, or is refused with its path and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vidattn.config import Averaging, ClipConfig, Recipe
from vidattn.config.serialization import from_plain, to_plain
from vidattn.errors import RecipeError, WeightsError
from vidattn.io.files import reading, write_atomically
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
MAX_SETTING = (
    1 << 20
)  # no number in a model config is near it; a lying file must not exhaust memory


@dataclass(frozen=True)
class Manifest:
    """What a weights file says about itself."""

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
    """See `Classifier.temperature`; written only when it is another."""
    threshold: float | None = None
    """See `Classifier.threshold`; written only when there is one."""


@dataclass(frozen=True)
class Header:
    """A weights file without its tensors."""

    manifest: Manifest
    kind: str
    """A name in `vidattn.models.classifier.KINDS`."""
    config: Any
    """The model config of that kind, such as TimeSformerConfig."""
    recipe: Mapping[str, Any] | None
    """The plain form of the recipe that trained the weights, if they are ours."""


def save(classifier: Classifier, path: str | Path, recipe: Recipe | None = None) -> Path:
    """Write model, clip config, averaging, labels and origin to one .safetensors file.

    The file appears under its name only when it is complete and on disk. The same classifier and
    recipe give the same bytes. Raises OutputError when it cannot be written, WeightsError when a
    tensor is not finite or the file could not be loaded again.
    """
    path = Path(path)
    state = {k: v.detach().cpu().contiguous() for k, v in classifier.model.state_dict().items()}
    require_finite(state, str(path))
    require_same_keys(_empty(classifier.model), state, str(path))  # a wrapped model renames them
    return write_atomically(
        path, safetensors.torch.save(state, {KEY: dump_manifest(classifier, recipe)})
    )


def dump_manifest(classifier: Classifier, recipe: Recipe | None = None) -> str:
    """Everything about a classifier but its tensors, as JSON; `parse_manifest` reads it."""
    return json.dumps(_plain(classifier, recipe), separators=(",", ":"), sort_keys=True)


def _empty(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a fresh model of the same config, without values."""
    with torch.device("meta"):
        fresh = KINDS[find_kind(model)][1](model.config)
    return fresh.state_dict()


def _plain(classifier: Classifier, recipe: Recipe | None) -> dict[str, Any]:
    card, model = classifier.card, classifier.model
    manifest = Manifest(
        name=card.name,
        clip=classifier.clip,
        labels=classifier.labels,
        averaging=classifier.averaging,
        license=card.license,
        source=card.source,
        training_data=card.training_data,
        expect=card.expect,
        notes=card.notes,
        temperature=classifier.temperature,
        threshold=classifier.threshold,
    )
    config, plain = to_plain(model.config), to_plain(manifest)
    if manifest.temperature == 1.0:
        del plain["temperature"]  # so that versions which do not know of it read the file too
    if manifest.threshold is None:
        del plain["threshold"]
    return {
        "format": FORMAT,
        "model": {"kind": find_kind(model), **config},
        "recipe": to_plain(recipe) if recipe else None,
        **plain,
    }


def read_classifier(path: str | Path) -> Classifier:
    """The classifier in one of our .safetensors files, on the CPU, float32, in eval mode.

    The file is read once, so that it may change or vanish later. Raises
    WeightsError that names the file and what is wrong with it.
    """
    with snapshot_file(Path(path)) as file:
        header = parse_header(read_header_bytes(file.data_path), file.path)
        model = build_model(header.kind, header.config, read_tensors(file), str(file.path))
    return build_classifier(model, header.manifest, file.sha256)


def build_classifier(model: nn.Module, manifest: Manifest, sha256: str) -> Classifier:
    """A model with what its file says about it. sha256: of that file."""
    card = ModelCard(
        name=manifest.name,
        license=manifest.license,
        source=manifest.source,
        training_data=manifest.training_data,
        expect=manifest.expect,
        notes=manifest.notes,
        sha256=sha256,
    )
    return Classifier(
        model,
        manifest.clip,
        manifest.labels,
        manifest.averaging,
        card,
        manifest.temperature,
        manifest.threshold,
    )


def read_header(path: str | Path) -> Header:
    """What a weights file says about itself, without reading its tensors."""
    path = Path(path)
    require_regular(path)
    return parse_header(read_header_bytes(path), path)


def read_header_bytes(path: Path) -> bytes:
    """As much of a safetensors file as its header takes. Raises WeightsError."""
    with reading(path, WeightsError), path.open("rb") as file:
        length = file.read(8)
        return length + file.read(min(int.from_bytes(length, "little"), MAX_HEADER))


def is_ours(path: Path) -> bool:
    """Whether a safetensors file carries a manifest of vidattn. Raises WeightsError if broken."""
    require_regular(path)
    return isinstance(read_metadata(read_header_bytes(path), path).get(KEY), str)


def parse_header(data: bytes, path: Path) -> Header:
    """The checked header of a file of ours; data: at least its first 8 + header-length bytes."""
    text = read_metadata(data, path).get(KEY)
    if not isinstance(text, str):
        raise WeightsError(
            f"{path}: a safetensors file, but not one of vidattn: it carries no manifest",
            hint="a Hugging Face model is loaded by its folder: config.json must lie beside it",
        )
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path) -> Header:
    """The inverse of `dump_manifest`, checked. Raises WeightsError for `path`."""
    try:
        plain = json.loads(text, parse_constant=_not_a_number, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        refuse(path, f"its manifest is not JSON: {error}", error)
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        refuse(path, f"its manifest is not in the format {FORMAT}")
    return _checked(plain, path)


def _checked(plain: dict[str, Any], path: Path) -> Header:
    model, recipe = plain.pop("model", None), plain.pop("recipe", None)
    kind = model.pop("kind", None) if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(kind, str) or kind not in KINDS:
        refuse(path, f"its manifest names no kind of model out of: {', '.join(KINDS)}")
    if any(isinstance(v, int | float) and abs(v) > MAX_SETTING for v in model.values()):
        refuse(path, "its manifest has a model setting that is absurdly large")
    try:
        config: Any = from_plain(KINDS[kind][0], model, "model")
        manifest = from_plain(Manifest, plain)
    except RecipeError as error:
        refuse(path, f"its manifest is wrong: {error.message}", error)
    if len(manifest.labels) != config.classes:
        refuse(path, f"it names {len(manifest.labels)} classes for a model of {config.classes}")
    if not 0 < manifest.temperature <= MAX_SETTING:
        refuse(path, f"its temperature is {manifest.temperature}")
    if manifest.threshold is not None and not 0 <= manifest.threshold <= 1:
        refuse(path, f"its threshold is {manifest.threshold}")
    return Header(manifest, kind, config, recipe)


def read_metadata(data: bytes, path: Path) -> dict[str, Any]:
    """The `__metadata__` of a safetensors file, from its first bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER or len(data) < 8 + length:
        refuse(path, f"not a safetensors file, or cut off ({len(data):,} bytes)")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        refuse(path, f"its safetensors header is broken: {error}", error)
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def read_tensors(file: FileSnapshot) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises WeightsError when the file lies about them."""
    read_metadata(read_header_bytes(file.data_path), file.path)
    try:
        with safetensors.safe_open(file.data_path, framework="pt") as tensors:
            found = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
            return found if file.in_memory else {key: one.clone() for key, one in found.items()}
    except (
        safetensors.SafetensorError,
        KeyError,
        ValueError,
        RuntimeError,
        OSError,
        MemoryError,
    ) as error:
        raise_resource_error(error, file.path)
        refuse(file.path, f"broken safetensors: {error}", error)


def build_model(kind: str, config: Any, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """A model of `kind` with exactly the tensors of `state`, in float32, in eval mode.

    Raises WeightsError listing what is missing, unexpected, of another shape, or not finite.
    """
    if config.depth > len(state):
        raise WeightsError(f"{where}: a model of depth {config.depth} in {len(state)} tensors")
    try:
        # On the meta device nothing is allocated or initialised: all values come from the file.
        with torch.device("meta"):
            model = KINDS[kind][1](config)
    except RecipeError as error:
        raise WeightsError(f"{where}: {error.message}", hint=error.hint) from error
    require_same_keys(model.state_dict(), state, where)
    require_finite(state, where)
    model.load_state_dict({k: v.to(torch.float32) for k, v in state.items()}, assign=True)
    return model.eval()


def require_same_keys(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str
) -> None:
    """Raise WeightsError that counts the differences of keys and shapes and lists five."""
    wrong = [f"missing {k}" for k in expected if k not in found]
    wrong += [f"unexpected {k}" for k in found if k not in expected]
    wrong += [
        f"{k} is {list(found[k].shape)}, should be {list(v.shape)}"
        for k, v in expected.items()
        if k in found and found[k].shape != v.shape
    ]
    wrong += [f"{k} is {v.dtype}" for k, v in found.items() if not v.is_floating_point()]
    if wrong:
        more = "; ..." if len(wrong) > 5 else ""
        noun = "difference" if len(wrong) == 1 else "differences"
        listed = "; ".join(wrong[:5])
        raise WeightsError(f"{where}: {len(wrong)} {noun} to the model: {listed}{more}")


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError that names the tensors with NaN or infinite values."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        listed = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise WeightsError(f"{where}: NaN or infinite values in {len(bad)} tensors: {listed}")


def refuse(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise the WeightsError for a file."""
    raise WeightsError(f"{path}: {reason}") from cause


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused when a key occurs twice: readers disagree on which one counts."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"duplicate key {key!r}")
        result[key] = value
    return result


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")

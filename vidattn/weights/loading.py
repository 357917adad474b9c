"""From the name, file or folder of a model to a classifier."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from vidattn.config import Recipe, recipes
from vidattn.config.labels import COUNTS, load_labels
from vidattn.config.schema import MAX_STEP
from vidattn.config.serialization import check_value, from_plain
from vidattn.errors import RecipeError, UsageError, WeightsError
from vidattn.io.files import exists, is_file, is_folder
from vidattn.io.search import suggest_names
from vidattn.models.classifier import VARIANTS, Classifier, build_model
from vidattn.weights import (
    catalog,
    convert,
    download,
    graph_files,
    hf_models,
    safetensors_file,
    sources,
)
from vidattn.weights.catalog import CatalogEntry, WeightsSource
from vidattn.weights.download import require_pinned

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
PICKLES = (".pyth", ".pth", ".pt", ".bin", ".pkl")
FILES = (".safetensors", *PICKLES, *graph_files.SUFFIXES)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(
    name_or_path: str | Path,
    *,
    offline: bool = False,
    announce: sources.Announce | None = None,
    progress: download.Progress | None = None,
    frame_step: float | None = None,
) -> Classifier:
    """The classifier behind a catalog name, a file, a folder, or a Hugging Face hub id.

    A file is ours (.safetensors, or a graph in .onnx or .xml), official (.pyth) or from mmaction2
    (.pth); a folder is a training run of ours or written by transformers. `hf:` before a hub id or
    a folder leaves the network to transformers, whatever its type. With `offline` nothing is
    downloaded. frame_step: seconds between the frames of a clip, where the weights do not say, or
    wrongly. The model is on the CPU, float32, in eval mode. Raises WeightsError; a named model
    never falls back to another.
    """
    frame_step = check_value(float | None, frame_step, "frame_step")
    text = check_value(str, name_or_path, "model")
    if frame_step is not None and not 0 < frame_step <= MAX_STEP:
        raise UsageError(f"the frame step must be > 0 and at most {MAX_STEP:g} s, got {frame_step}")
    if text.startswith(hf_models.PREFIX):
        return _load_hf_model(text, offline, frame_step)
    classifier = _load_named(name_or_path, offline, announce, progress)
    classifier.path = text if exists(Path(text)) else ""
    if frame_step is None:
        return classifier
    return replace(classifier, clip=replace(classifier.clip, step_seconds=frame_step))


def _load_named(
    name_or_path: str | Path,
    offline: bool,
    announce: sources.Announce | None,
    progress: download.Progress | None,
) -> Classifier:
    """As `load`, for everything but `hf:`."""
    text, path = str(name_or_path), Path(name_or_path)
    if isinstance(name_or_path, str) and text in catalog.CATALOG:
        return _load_entry(catalog.CATALOG[text], offline, announce, progress)
    if is_folder(path):
        return _read_folder(path)
    if exists(path):
        return _read_file(path)
    is_id = HUB_ID.fullmatch(text) and not text.startswith(".") and path.suffix not in PICKLES
    if isinstance(name_or_path, str) and is_id:
        entry = next((e for e in catalog.CATALOG.values() if e.location == text), None)
        if entry:
            return _load_entry(entry, offline, announce, progress)
        return _load_from_hub(text, offline)
    if text in catalog.CATALOG:  # given as a Path
        return _load_entry(catalog.CATALOG[text], offline, announce, progress)
    a_path = len(path.parts) > 1 or text.startswith(".") or path.suffix in FILES
    message = f"{text}: no such file" + " and no model of that name" * (not a_path)
    raise WeightsError(message, hint=f"{_suggest_models(text)}vidattn models list")


def _suggest_models(text: str) -> str:
    return suggest_names(text, _holds_model, catalog.CATALOG)


def _holds_model(path: Path) -> bool:
    """Whether a file or folder looks like a model."""
    inside = (path / name for name in ("model.safetensors", "config.json"))
    return path.suffix in FILES or any(map(is_file, inside))


def read_training_recipe(name_or_path: str | Path) -> Recipe | None:
    """The recipe that trained a bundled model, a run folder or a weights file of ours.

    None for other weights, and for a recipe this version cannot read. Reads no tensors, downloads
    nothing. Raises WeightsError like `load`.
    """
    entry = catalog.CATALOG.get(str(name_or_path)) if isinstance(name_or_path, str) else None
    path = Path(name_or_path)
    if entry is not None:
        path = BUNDLED_FOLDER / entry.location if entry.is_bundled else Path()
    elif is_folder(path):
        path = path / "model.safetensors"
    if path.suffix != ".safetensors" or not is_file(path) or not safetensors_file.is_ours(path):
        return None
    try:
        return from_plain(Recipe, safetensors_file.read_header(path).recipe)
    except RecipeError:
        return None


def find_training_dataset(name_or_path: str | Path, named: str) -> str:
    """The path of the training dataset if the model lies in its run folder; `named` otherwise.

    named: the dataset according to the weights.
    """
    path = Path(name_or_path)
    recipe_path = (path if is_folder(path) else path.parent) / "recipe.json"
    if not exists(path) or not is_file(recipe_path):
        return named
    try:
        dataset = recipes.read_recipe(recipe_path).data.dataset
    except RecipeError:
        return named
    return dataset if named in (Path(dataset).name, Path(dataset).resolve().name) else named


def load_default(
    frames: int | None = None,
    offline: bool = False,
    *,
    announce: sources.Announce | None = None,
    progress: download.Progress | None = None,
) -> tuple[Classifier, str | None]:
    """The model to use when none was named, and a notice if it is the fallback.

    The default is timesformer-k400, or timesformer-l-k400 for 96 frames; then stam-16-k400, from
    another host; then the bundled motion-tiny, whose `warnings` say that it labels camera motion.
    Raises WeightsError for broken weights.
    """
    first = catalog.LONG_DEFAULT if frames == 96 else catalog.DEFAULT
    missing = list[str]()
    for name in (first, catalog.SECOND_DEFAULT):
        try:
            classifier = load(name, offline=offline, announce=announce, progress=progress)
        except download.UnavailableError as error:
            missing.append(f"{name} is not available ({error.message.removeprefix(f'{name}: ')})")
            continue
        notice = f"{'; '.join(missing)}; using {name}. Choose a model with -m to avoid this."
        return classifier, notice if missing else None
    classifier = load(catalog.BUNDLED)
    warning = f"{catalog.MOTION_WARNING}: {'; '.join(missing)}. Choose a model with -m."
    return replace(classifier, warnings=(warning,)), warning


def best_cached() -> str:
    """The name of the model of the catalog with the best published score on Kinetics-400 that is on
    this machine; the bundled one without any."""
    found = [
        (entry.top1 or 0.0, name)
        for name, entry in catalog.CATALOG.items()
        if entry.dataset == "k400" and not entry.is_bundled and sources.find_local(entry)
    ]
    return max(found)[1] if found else catalog.BUNDLED


def _load_entry(
    entry: CatalogEntry,
    offline: bool,
    announce: sources.Announce | None,
    progress: download.Progress | None,
) -> Classifier:
    if entry.is_bundled:
        path = BUNDLED_FOLDER / entry.location
        if not exists(path):
            raise WeightsError(f"{entry.name}: this installation lacks {path.name}")
        return safetensors_file.read_classifier(path)
    try:
        path, source = sources.fetch(entry, offline=offline, announce=announce, progress=progress)
        load_weights = convert.load_checkpoint if source.is_url else convert.load_hf_folder
        classifier = load_weights(path)
        place = download.cache_path(source.location)
        require_pinned(place, classifier.card.sha256, source.sha256)
    except WeightsError as error:
        raise type(error)(f"{entry.name}: {error.message}", hint=error.hint) from error
    return _complete(classifier, entry, source)


def _complete(classifier: Classifier, entry: CatalogEntry, source: WeightsSource) -> Classifier:
    """A classifier from a published file with the additional facts of the catalog."""
    labels = classifier.labels
    if source.is_url and entry.dataset in COUNTS:
        labels, count = load_labels(entry.dataset), len(labels)
        if len(labels) != count:
            raise WeightsError(
                f"{entry.name}: {count} classes, but {entry.dataset} has {len(labels)}"
            )
    if entry.attention in VARIANTS:
        classifier = _fit_variant(classifier, entry)
    clip = replace(classifier.clip, channels=cast(Literal["rgb", "bgr"], entry.channels))
    if entry.frame_interval:
        clip = replace(clip, step_seconds=entry.frame_interval / 30)
    card = replace(
        classifier.card,
        name=entry.name,
        license=entry.license,
        source=source.location,
        training_data=entry.dataset,
        expect=entry.expect,
        notes=tuple(note for note in (entry.note, source.note) if note),
    )
    return replace(classifier, labels=labels, clip=clip, card=card)


def _fit_variant(classifier: Classifier, entry: CatalogEntry) -> Classifier:
    """A network with the frames and the size of its variant, which its file does not hold."""
    model, size = classifier.model, VARIANTS[entry.attention].size
    config: Any = replace(model.config, frames=entry.frames, size=size)  # type: ignore[type-var]
    fitted = build_model(config).eval()
    fitted.load_state_dict(model.state_dict())
    spread = 0 if entry.frame_interval else (4 if entry.dataset == "ssv2" else 10)
    clip = replace(
        classifier.clip,
        frames=entry.frames,
        short_side=entry.size if entry.size > 224 or entry.size == 182 else 256,
        crop=entry.size,
        step_seconds=(spread or entry.frame_interval * entry.frames / 30) / entry.frames,
        train_sampling="bins" if spread else "dense",
    )
    return replace(classifier, model=fitted, clip=clip)


def _read_folder(folder: Path) -> Classifier:
    if exists(folder / "config.json"):
        return convert.load_hf_folder(folder)
    if exists(folder / "model.safetensors"):
        return safetensors_file.read_classifier(folder / "model.safetensors")
    raise WeightsError(
        f"{folder}: contains neither model.safetensors nor config.json",
        hint="pass a weights file, a run folder, or a Hugging Face folder",
    )


def _read_file(path: Path) -> Classifier:
    if path.suffix in PICKLES:
        hf = path.name == "pytorch_model.bin" and exists(path.parent / "config.json")
        return convert.load_hf_folder(path.parent) if hf else convert.load_checkpoint(path)
    if path.suffix in graph_files.SUFFIXES:
        return graph_files.load_graph(path)
    if path.suffix != ".safetensors":
        known = f".safetensors {' '.join((*PICKLES, *graph_files.SUFFIXES))}"
        raise WeightsError(f"{path}: not a weights file", hint=f"known: {known}, or a folder")
    if exists(path.parent / "config.json") and not safetensors_file.is_ours(path):
        return convert.load_hf_folder(path.parent)
    return safetensors_file.read_classifier(path)


def _load_from_hub(hub_id: str, offline: bool) -> Classifier:
    classifier = _read_folder(_download_folder(hub_id, offline))
    return replace(classifier, card=replace(classifier.card, name=hub_id, source=hub_id))


def _load_hf_model(name: str, offline: bool, frame_step: float | None) -> Classifier:
    place = name.removeprefix(hf_models.PREFIX)
    folder = Path(place)
    if not is_folder(folder):
        if HUB_ID.fullmatch(place) is None or place.startswith("."):
            raise WeightsError(
                f"{name}: neither a folder nor a hub id of Hugging Face",
                hint="for example -m hf:MCG-NJU/videomae-base-finetuned-kinetics",
            )
        folder = _download_folder(place, offline)
    return hf_models.load_hf_model(folder, name, frame_step)


def _download_folder(hub_id: str, offline: bool) -> Path:
    try:
        return download.download_folder(hub_id, offline=offline)
    except download.UnavailableError as error:
        message = f"{hub_id}: no such file or folder; as a Hugging Face model: {error.message}"
        hint = f"{_suggest_models(hub_id)}{error.hint or ''}" or None
        raise download.UnavailableError(message, hint=hint) from error

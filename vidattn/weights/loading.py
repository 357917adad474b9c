"""From what a user calls a model (a name, a file, a folder, nothing at all) to a classifier."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from vidattn.config import Recipe, recipes
from vidattn.config import labels as classes
from vidattn.config.serialization import from_plain
from vidattn.errors import RecipeError, WeightsError
from vidattn.io.files import exists, is_file, is_folder
from vidattn.models.classifier import Classifier
from vidattn.weights import catalog, convert, download, safetensors_file
from vidattn.weights.catalog import CatalogEntry

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
PICKLES = (".pyth", ".pth", ".pt", ".bin")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

Announce = Callable[[CatalogEntry], None]
"""Called before a download begins, so that the licence can be shown."""


def load(
    name_or_path: str | Path,
    *,
    offline: bool = False,
    announce: Announce | None = None,
    progress: download.Progress | None = None,
) -> Classifier:
    """The classifier behind a catalog name, a file, a folder, or a Hugging Face hub id.

    A file is ours (.safetensors), the official code's (.pyth) or mmaction2's (.pth); a folder is a
    training run of ours or as transformers saves it. With `offline` nothing is downloaded. On the
    CPU, float32, in eval mode. Raises WeightsError; a model asked for by name is never replaced.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if isinstance(name_or_path, str) and text in catalog.CATALOG:
        return _load_entry(catalog.CATALOG[text], offline, announce, progress)
    if is_folder(path):
        return _read_folder(path)
    if exists(path):
        return _read_file(path)
    if isinstance(name_or_path, str) and HUB_ID.fullmatch(text) and path.suffix not in PICKLES:
        known = next((e for e in catalog.CATALOG.values() if e.location == text), None)
        if known:
            return _load_entry(known, offline, announce, progress)
        return _load_from_hub(text, offline)
    if len(path.parts) > 1 or path.suffix in (".safetensors", *PICKLES):
        raise WeightsError(f"{text}: no such file", hint="vidattn models list")
    return _load_entry(catalog.find_entry(text), offline, announce, progress)


def read_training_recipe(name_or_path: str | Path) -> Recipe | None:
    """The recipe that trained a model: of a bundled name, a run directory or a file of ours.

    None for weights of others, and when the recipe cannot be read by this version. No tensor is
    read and nothing downloaded. Raises WeightsError as `load` does.
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
    """Where the set that a model in its run directory was trained on lies; `named` for others.

    named: what the weights call the set.
    """
    path = Path(name_or_path)
    begun = (path if is_folder(path) else path.parent) / "recipe.json"
    if not exists(path) or not is_file(begun):
        return named
    try:
        place = recipes.read_recipe(begun).data.dataset
    except RecipeError:
        return named
    return place if named in (Path(place).name, Path(place).resolve().name) else named


def load_default(
    frames: int | None = None,
    offline: bool = False,
    *,
    announce: Announce | None = None,
    progress: download.Progress | None = None,
) -> tuple[Classifier, str | None]:
    """The model to use when none was named, and one line to show when it is only the stand-in.

    The default is timesformer-k400, or timesformer-l-k400 for 96 frames. When its weights are
    neither here nor to be had, motion-tiny, which ships with the package, takes their place.
    Raises WeightsError when they are here but broken.
    """
    name = catalog.LONG_DEFAULT if frames == 96 else catalog.DEFAULT
    try:
        return load(name, offline=offline, announce=announce, progress=progress), None
    except download.UnavailableError as error:
        reason = error.message.removeprefix(f"{name}: ")
    classifier = load(catalog.BUNDLED)
    return classifier, (
        f"{name} is not available ({reason}); using {catalog.BUNDLED}, which names camera motion. "
        f"Name a model with -m to be sure of it."
    )


def _load_entry(
    entry: CatalogEntry,
    offline: bool,
    announce: Announce | None,
    progress: download.Progress | None,
) -> Classifier:
    if entry.is_bundled:
        path = BUNDLED_FOLDER / entry.location
        if not exists(path):
            raise WeightsError(f"{entry.name}: this installation lacks {path.name}")
        return safetensors_file.read_classifier(path)
    missing = not download.is_cached(entry.location)
    if missing and announce and not download.is_offline(offline):
        announce(entry)
    try:
        if entry.is_url:
            path = download.download(
                entry.location, sha256=entry.sha256, offline=offline, progress=progress
            )
            found = convert.load_checkpoint(path)
        else:
            found = convert.load_hf_folder(
                download.download_folder(entry.location, offline=offline)
            )
    except WeightsError as error:
        raise type(error)(f"{entry.name}: {error.message}", hint=error.hint) from error
    return _as_published(found, entry)


def _as_published(found: Classifier, entry: CatalogEntry) -> Classifier:
    """What the file says, completed by what the catalog knows about it."""
    if not found.card.sha256.startswith(entry.sha256):
        raise WeightsError(f"{entry.name}: sha256 is {found.card.sha256}, not {entry.sha256}...")
    labels = found.labels
    if entry.is_url and entry.dataset in classes.COUNTS:
        labels = classes.load_labels(entry.dataset)
        if len(labels) != len(found.labels):
            raise WeightsError(
                f"{entry.name}: {len(found.labels)} classes, but {entry.dataset} has {len(labels)}"
            )
    clip = replace(found.clip, channels=cast(Literal["rgb", "bgr"], entry.channels))
    if entry.frame_interval:
        clip = replace(clip, step_seconds=entry.frame_interval / 30)
    card = replace(
        found.card,
        name=entry.name,
        license=entry.license,
        source=entry.location,
        training_data=entry.dataset,
        expect=entry.expect,
        notes=(entry.note,) if entry.note else (),
    )
    return replace(found, labels=labels, clip=clip, card=card)


def _read_folder(folder: Path) -> Classifier:
    if exists(folder / "config.json"):
        return convert.load_hf_folder(folder)
    if exists(folder / "model.safetensors"):
        return safetensors_file.read_classifier(folder / "model.safetensors")
    raise WeightsError(
        f"{folder}: holds neither model.safetensors nor config.json",
        hint="name the weights file itself, a run directory, or a Hugging Face folder",
    )


def _read_file(path: Path) -> Classifier:
    if path.suffix in PICKLES:
        beside = path.name == "pytorch_model.bin" and exists(path.parent / "config.json")
        return convert.load_hf_folder(path.parent) if beside else convert.load_checkpoint(path)
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: not a kind of weights file",
            hint=f"known: .safetensors {' '.join(PICKLES)}, or a folder",
        )
    if exists(path.parent / "config.json") and not safetensors_file.is_ours(path):
        return convert.load_hf_folder(path.parent)
    return safetensors_file.read_classifier(path)


def _load_from_hub(hub_id: str, offline: bool) -> Classifier:
    try:
        found = convert.load_hf_folder(download.download_folder(hub_id, offline=offline))
    except download.UnavailableError as error:
        message = f"{hub_id}: no such file or folder; as a Hugging Face model: {error.message}"
        raise download.UnavailableError(message, hint=error.hint) from error
    return replace(found, card=replace(found.card, name=hub_id, source=hub_id))

"""Layout: a folder for each class, with the videos of the class anywhere below it.

    clips/jump/a.mp4                 a fifth of every class is held back for validation
    clips/train/jump/a.mp4           or: folders train and val (also called validation or test)
    clips/val/jump/b.mp4

Classes are the folder names in alphabetical order, of both halves together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import (
    SPLITS,
    VALIDATION_SHARE,
    LabeledDataset,
    Split,
    find_videos,
    name_first,
    number_labels,
    parse_split,
    split_validation,
)
from vidattn.errors import DataError
from vidattn.io.text import count_noun
from vidattn.types import Item

Classes = dict[str, list[Path]]
"""Folder name -> its videos, sorted."""


def open_folder(
    root: Path, split: Split, *, name: str = "", names: Sequence[str] | None = None
) -> LabeledDataset:
    """One half of a set laid out in class folders.

    names: the classes in their order, when they are known beforehand; folders are matched to them
    whatever their case and underscores. Raises DataError when there are no videos in class folders,
    or a folder is none of `names`.
    """
    halves, notes = _halves(root, split)
    classes = {label for half in halves.values() for label in half}
    labels = tuple(names) if names is not None else tuple(sorted(classes))
    numbers = _numbered(classes, labels, root)
    chosen = halves.get(split)
    if chosen is None:
        raise DataError(
            f"{root}: there is no folder {split} in it", hint=f"only {', '.join(halves)} was found"
        )
    items = tuple(
        Item(str(path), numbers[label]) for label in sorted(chosen) for path in chosen[label]
    )
    return LabeledDataset(name or root.name, root, split, labels, items, tuple(notes))


def _halves(root: Path, split: Split) -> tuple[dict[Split, Classes], list[str]]:
    """The class folders of each half that there is, and notes."""
    children = [child for child in _folders(root) if find_videos(child)]
    if not children or any(parse_split(child.name) is None for child in children):
        classes = _classes(root, children)
        notes = _loose(root) + [_empty(root, classes)] * (len(_folders(root)) > len(children))
        return _divided(classes, root, notes)
    by_name = {child.name.casefold(): child for child in children}
    found: dict[Split, Classes] = {}
    notes = []
    for half, names in SPLITS.items():
        folder = next((by_name[n] for n in names if n in by_name), None)
        if folder is not None:
            found["train" if half == "train" else "val"] = _classes(folder, _folders(folder))
            if half == split == "val" and folder.name.casefold().startswith("test"):
                notes.append(f"{root}: the folder {folder.name} serves for validation")
    if "val" not in found and "train" in found:
        return _divided(found["train"], root, notes)
    return found, notes


def _divided(
    classes: Classes, root: Path, notes: list[str]
) -> tuple[dict[Split, Classes], list[str]]:
    """Hold back a share of every class."""
    train: Classes = {}
    val: Classes = {}
    for label, paths in classes.items():
        keys = [path.name for path in paths]
        for path, back in zip(paths, split_validation(keys), strict=True):
            (val if back else train).setdefault(label, []).append(path)
    counts = [sum(map(len, half.values())) for half in (train, val)]
    notes.append(
        f"{root}: no folders train and val: {VALIDATION_SHARE:.0%} of every class is for "
        f"validation, by a hash of the file names: {count_noun(counts[0], 'video')} to train, "
        f"{counts[1]} to validate"
    )
    return {"train": train, "val": val}, notes


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(root: Path, folders: Sequence[Path]) -> Classes:
    classes = {folder.name: find_videos(folder) for folder in folders}
    classes = {label: paths for label, paths in classes.items() if paths}
    if not classes:
        raise DataError(
            f"{root}: no videos in class folders",
            hint="expected one folder for each class with its videos in it: "
            f"{root}/<class>/<video>.mp4",
        )
    return classes


def _loose(root: Path) -> list[str]:
    loose = [path for path in find_videos(root) if path.parent == root]
    if not loose:
        return []
    return [f"{root}: left out: {count_noun(len(loose), 'video')} outside the class folders"]


def _empty(root: Path, classes: Classes) -> str:
    empty = [folder.name for folder in _folders(root) if folder.name not in classes]
    return f"{root}: folders without videos are no classes: {name_first(empty)}"


def _numbered(classes: set[str], labels: Sequence[str], root: Path) -> dict[str, int]:
    """Folder name to class number."""
    exact = {label: number for number, label in enumerate(labels)}
    if classes <= exact.keys():
        return exact
    known = number_labels(labels)
    strange = sorted(label for label in classes if normalize_label(label) not in known)
    if strange:
        raise DataError(
            f"{root}: {len(strange)} folders are no class of this set: {name_first(strange)}",
            hint="name the folder itself as --dataset to take its folder names for classes",
        )
    return {label: known[normalize_label(label)] for label in classes}

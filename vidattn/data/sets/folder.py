"""Layout: a folder for each class, with the videos of the class anywhere below it.

    clips/jump/a.mp4                 a fifth of every class is for validation
    clips/train/jump/a.mp4           or: folders train and val (also called validation or test)
    clips/val/jump/b.mp4

Classes are the folder names in alphabetical order, of both splits together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import (
    GROUPS_HINT,
    SPLITS,
    VALIDATION_SHARE,
    LabeledDataset,
    Split,
    find_videos,
    group_names,
    name_first,
    number_labels,
    parse_split,
    split_groups,
    split_validation,
)
from vidattn.errors import DataError
from vidattn.io.files import is_folder, reading
from vidattn.io.text import count_noun
from vidattn.types import Item

Classes = dict[str, list[Path]]
"""Folder name -> its videos, sorted."""


def open_folder(
    root: Path,
    split: Split,
    *,
    name: str = "",
    names: Sequence[str] | None = None,
    group_by: str = "",
) -> LabeledDataset:
    """One split of a dataset laid out in class folders.

    names: the classes in their order, when they are known beforehand; folders are matched to them
    whatever their case and underscores. group_by: a pattern, see `open_dataset`. Raises DataError
    when there are no videos in class folders, or a folder is none of `names`.
    """
    splits, notes = _find_splits(root, split, group_by)
    classes = {label for folders in splits.values() for label in folders}
    labels = tuple(names) if names is not None else tuple(sorted(classes))
    numbers = _number_folders(classes, labels, root)
    if split not in splits:
        message = f"{root}: there is no folder {split} in it"
        raise DataError(message, hint=f"only {', '.join(splits)} was found")
    chosen = splits[split]
    items = tuple(
        Item(str(path), numbers[label]) for label in sorted(chosen) for path in chosen[label]
    )
    return LabeledDataset(name or root.name, root, split, labels, items, tuple(notes))


def _find_splits(root: Path, split: Split, group_by: str) -> tuple[dict[Split, Classes], list[str]]:
    """The class folders of each split that there is, and notes."""
    folders = _list_folders(root)
    children = [child for child in folders if find_videos(child)]
    if not children or any(parse_split(child.name) is None for child in children):
        classes = _list_classes(root, children)
        loose = sum(path.parent == root for path in find_videos(root))
        empty = [folder.name for folder in folders if folder not in children]
        notes = []
        if loose:
            videos = count_noun(loose, "video")
            notes.append(f"{root}: left out: {videos} outside the class folders")
        if empty:
            notes.append(f"{root}: folders without videos are no classes: {name_first(empty)}")
        return _split_classes(classes, root, notes, group_by)
    by_name = {child.name.casefold(): child for child in children}
    found: dict[Split, Classes] = {}
    notes = []
    for its, names in SPLITS.items():
        folder = next((by_name[n] for n in names if n in by_name), None)
        if folder is not None:
            found[its] = _list_classes(folder, _list_folders(folder))
            if its == split == "val" and folder.name.casefold().startswith("test"):
                notes.append(f"{root}: the folder {folder.name} serves for validation")
    if "val" not in found and "train" in found:
        return _split_classes(found["train"], root, notes, group_by)
    if group_by:
        raise DataError(f"{root}: --group-by: the folders in it state the splits")
    return found, notes


def _split_classes(
    classes: Classes, root: Path, notes: list[str], group_by: str
) -> tuple[dict[Split, Classes], list[str]]:
    """Choose a share of every class for validation."""
    train: Classes = {}
    val: Classes = {}
    rows = [(number, path) for number, paths in enumerate(classes.values()) for path in paths]
    numbers, names = [number for number, _ in rows], list(classes)
    if group_by:
        relative = [path.relative_to(root).as_posix() for _, path in rows]
        chosen = split_groups(group_names(relative, group_by, str(root)), numbers)
    else:
        chosen = split_validation([path.name for _, path in rows], numbers)
    for (number, path), is_val in zip(rows, chosen, strict=True):
        (val if is_val else train).setdefault(names[number], []).append(path)
    counts = [sum(map(len, split.values())) for split in (train, val)]
    how = f"in whole groups ({group_by})" if group_by else f"by a hash of names ({GROUPS_HINT})"
    note = (
        f"{root}: no folders train and val: {VALIDATION_SHARE:.0%} of every class is for "
        f"validation, {how}: {count_noun(counts[0], 'video')} to train, "
        f"{counts[1]} to validate"
    )
    return {"train": train, "val": val}, [*notes, note]


def _list_folders(root: Path) -> list[Path]:
    with reading(root, DataError):
        entries = sorted(root.iterdir())
    return [path for path in entries if is_folder(path) and not path.name.startswith(".")]


def _list_classes(root: Path, folders: Sequence[Path]) -> Classes:
    classes = {folder.name: videos for folder in folders if (videos := find_videos(folder))}
    if not classes:
        raise DataError(
            f"{root}: no videos in class folders",
            hint="expected one folder for each class with its videos in it: "
            f"{root}/<class>/<video>.mp4",
        )
    return classes


def _number_folders(classes: set[str], labels: Sequence[str], root: Path) -> dict[str, int]:
    """Folder name to class number."""
    exact = {label: number for number, label in enumerate(labels)}
    if classes <= exact.keys():
        return exact
    known = number_labels(labels)
    strange = sorted(label for label in classes if normalize_label(label) not in known)
    if strange:
        raise DataError(
            f"{root}: {len(strange)} folders are no class of this dataset: {name_first(strange)}",
            hint="name the folder itself as --dataset to take its folder names for classes",
        )
    return {label: known[normalize_label(label)] for label in classes}

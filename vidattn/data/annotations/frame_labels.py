"""Text files with a label for each frame, as MS-TCN distributes Breakfast, 50Salads and GTEA.

<root>/groundTruth/<video>.txt, <root>/mapping.txt, <root>/splits/<name>.bundle
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vidattn.data.annotations import annotation
from vidattn.data.labeled_dataset import name_first
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder

OTHER_FILES = frozenset({"mapping", "labels", "classes", "readme"})
"""Stems of text files that hold no labels of frames."""


def _matches(path: Path) -> bool:
    return bool(_find_texts(path)) if is_folder(path) else path.suffix.lower() == ".txt"


def _find_texts(folder: Path) -> list[Path]:
    """The files of a folder that may hold labels."""
    folder = folder / "groundTruth" if is_folder(folder / "groundTruth") else folder
    return [f for f in sorted(folder.glob("*.txt")) if f.stem.casefold() not in OTHER_FILES]


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    """split: a file of names, or the name of one in splits/."""
    files = _find_texts(path) if is_folder(path) else [path]
    folders = [files[0].parent, files[0].parent.parent]
    if split is not None:
        files = _select_files(files, _find_split_file(split, folders))
    names = _read_mapping(folders)
    return annotation.GroundTruth(
        tuple(
            annotation.AnnotatedVideo(file.stem, frames=_read_labels(file, names)) for file in files
        )
    )


FORMAT = annotation.Format(
    "a folder of .txt files with a label a line for each frame (mapping.txt beside them)",
    _matches,
    _read,
)


def _find_split_file(split: str, folders: Sequence[Path]) -> Path:
    places = [Path(split)]
    places += [f / "splits" / f"{split}{end}" for f in folders for end in ("", ".bundle", ".txt")]
    found = next((place for place in places if is_file(place)), None)
    if found is None:
        known = sorted({p.stem for f in folders for p in (f / "splits").glob("*.bundle")})
        raise DataError(
            f"--split {split}: neither a file nor a list in splits/",
            hint=f"there are {', '.join(known)}" if known else "name a file with a name a line",
        )
    return found


def _select_files(files: Sequence[Path], bundle: Path) -> list[Path]:
    by_stem = {file.stem: file for file in files}
    names = [
        Path(line.strip()).stem
        for line in annotation.read_text(bundle).splitlines()
        if line.strip()
    ]
    missing = [name for name in names if name not in by_stem]
    if missing:
        raise DataError(
            f"{bundle}: {len(missing)} of its videos have no ground truth: {name_first(missing)}"
        )
    return [by_stem[name] for name in dict.fromkeys(names)]


def _read_mapping(folders: Iterable[Path]) -> dict[str, str]:
    """Number -> label from the lines of mapping.txt; empty when there is none."""
    path = next((f / "mapping.txt" for f in folders if is_file(f / "mapping.txt")), None)
    if path is None:
        return {}
    rows = [line.split(None, 1) for line in annotation.read_text(path).splitlines() if line.strip()]
    if any(len(row) != 2 or not row[0].isdecimal() for row in rows):
        raise DataError(f"{path}: its lines are not `number label`")
    return {number: label.strip() for number, label in rows}


def _read_labels(path: Path, names: Mapping[str, str]) -> tuple[str, ...]:
    """The label of each frame, by name where the mapping knows its number."""
    labels = [line.strip() for line in annotation.read_text(path).splitlines()]
    while labels and not labels[-1]:
        labels.pop()
    known = {*names, *names.values()}
    for number, label in enumerate(labels, 1):
        if not label:
            raise DataError(f"{path}: line {number} is empty; there is a label for each frame")
        if names and label not in known:
            raise DataError(f"{path}: line {number}: {label!r} is no class of mapping.txt")
    if not labels:
        raise DataError(f"{path}: is empty; there is a label for each frame")
    return tuple(names.get(label, label) for label in labels)

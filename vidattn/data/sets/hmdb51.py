"""Layout: HMDB51, as it is published, in one of its three splits.

    testTrainMulti_7030_splits/<class>_test_split1.txt     <video>.avi 1; 1 train, 2 test, 0 unused
    <class>/<video>.avi                                    anywhere below, converted or not

or lists and class folders, see `named`. The test split serves for validation. Class folders without
split files are refused: the splits keep clips of one video together, a random share would not.
"""

from __future__ import annotations

from pathlib import Path

from vidattn.config.labels import load_labels
from vidattn.data.labeled_dataset import LabeledDataset, name_first
from vidattn.data.sets.named_dataset import LIST_FOLDERS, NamedDataset
from vidattn.data.sets.video_index import VideoKey, strip_suffix
from vidattn.data.tabular import parse_rows, read_lines
from vidattn.errors import DataError

LAYOUTS = (
    "the 51 files <class>_test_splitN.txt with <class>/<video>.avi anywhere below; or lists "
    "{train,val}.csv of `path label`; or train/<class>/ and val/<class>/"
)
FOLDERS = (
    *LIST_FOLDERS,
    "testTrainMulti_7030_splits",
    "test_train_splits",
    "test_train_splits/testTrainMulti_7030_splits",
)
MARKS = {"0": None, "1": "train", "2": "val"}


def open_hmdb51(dataset: NamedDataset) -> LabeledDataset:
    """Open a split of a fold; "val" is the published test split. Raises DataError."""
    labels, fold, root = load_labels("hmdb51"), dataset.fold, dataset.root
    files = {label: f"{label}_test_split{fold}.txt" for label in labels}
    found = {label: dataset.find_file((file,), FOLDERS) for label, file in files.items()}
    paths = [path for path in found.values() if path is not None]
    if not paths:
        return dataset.open_other_layout(labels, LAYOUTS, fold=fold)
    if len(paths) < len(labels):
        absent = [files[label] for label, path in found.items() if path is None]
        raise DataError(f"{root}: {len(absent)} split files are missing: {name_first(absent)}")
    wanted = [
        VideoKey((f"{label}/{video}",), number, suffix=".avi")
        for number, (label, path) in enumerate(zip(labels, paths, strict=True))
        for video, split in _read_split_file(path)
        if split == dataset.split
    ]
    where = paths[0].parent
    if not wanted:
        raise DataError(f"{where}: no line of split {fold} belongs to {dataset.split}")
    return dataset.match(wanted, labels, where)


def _read_split_file(path: Path) -> list[tuple[str, str | None]]:
    """The videos of one class, each with its split."""

    def parse(text: str) -> tuple[str, str | None]:
        video, _, mark = text.rpartition(" ")
        if not video or mark not in MARKS:
            raise ValueError(f"{text!r} does not end in 0, 1 or 2")
        return strip_suffix(video.strip()), MARKS[mark]

    return parse_rows(path, read_lines(path), parse, hint="lines are <video>.avi 0, 1 or 2")

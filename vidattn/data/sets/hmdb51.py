"""Layout: HMDB51, as it is published, in one of its three splits.

    testTrainMulti_7030_splits/<class>_test_split1.txt     <video>.avi 1; 1 train, 2 test, 0 unused
    <class>/<video>.avi                                    anywhere below, converted or not

or lists and class folders, see `lists`. The test half serves for validation. Class folders without
split files are refused: the splits keep clips of one film together, a share held back would not.
"""

from __future__ import annotations

from pathlib import Path

from vidattn.config.labels import load_labels as names_of
from vidattn.data.labeled_dataset import LabeledDataset, Split, name_first
from vidattn.data.sets.lists import FOLDERS, first_file, open_otherwise, says_fold
from vidattn.data.sets.video_index import VideoKey, frame_of, matched, without_suffix
from vidattn.data.tabular import RowErrors, read_lines
from vidattn.errors import DataError

LAYOUTS = (
    "the 51 files <class>_test_splitN.txt with <class>/<video>.avi anywhere below; or lists "
    "{train,val}.csv of `path label`; or train/<class>/ and val/<class>/"
)
PLACES = (
    *FOLDERS,
    "testTrainMulti_7030_splits",
    "test_train_splits",
    "test_train_splits/testTrainMulti_7030_splits",
)
MARKS = {"0": None, "1": "train", "2": "val"}


def open_hmdb51(
    name: str, root: Path, split: Split, max_missing: float, *, fold: int
) -> LabeledDataset:
    """One half of split number `fold` (1 to 3) below `root`; the test half is "val".

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, a class has no split file, more videos are missing, or lines are malformed.
    """
    names = names_of("hmdb51")
    files = {label: f"{label}_test_split{fold}.txt" for label in names}
    places = [first_file(root, (file,), PLACES) for file in files.values()]
    paths = [path for path in places if path is not None]
    if not paths:
        fits = says_fold(fold)
        return open_otherwise(name, root, split, names, max_missing, LAYOUTS, fits)
    if len(paths) < len(names):
        absent = [files[label] for label, path in zip(names, places, strict=True) if path is None]
        raise DataError(f"{root}: {len(absent)} split files are missing: {name_first(absent)}")
    wanted = [
        video for number, path in enumerate(paths) for video in _videos(path, number, names, split)
    ]
    if not wanted:
        raise DataError(f"{paths[0].parent}: no line of split {fold} belongs to {split}")
    return matched(wanted, frame_of(name, root, split, names), paths[0].parent, max_missing)


def _videos(path: Path, number: int, names: tuple[str, ...], split: Split) -> list[VideoKey]:
    """The videos of one class that are in a half."""
    problems = RowErrors(path, hint="lines are <video>.avi 0, 1 or 2")
    found = []
    for line, text in read_lines(path):
        video, _, mark = text.rpartition(" ")
        if not video or mark not in MARKS:
            problems.add(line, f"{text!r} does not end in 0, 1 or 2")
        elif MARKS[mark] == split:
            place = f"{names[number]}/{without_suffix(video.strip())}"
            found.append(VideoKey((place,), number, suffix=".avi"))
    problems.raise_if_any()
    return found

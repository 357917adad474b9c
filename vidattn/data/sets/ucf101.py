"""Layout: UCF101, as it is published, in one of its three splits.

    trainlist01.txt       <Class>/v_<Class>_g08_c01.avi 1      class numbers count from 1
    testlist01.txt        <Class>/v_<Class>_g01_c01.avi        serves for validation
    classInd.txt          1 ApplyEyeMakeup                     is checked where it is there
    UCF-101/<Class>/v_<Class>_g01_c01.avi                      anywhere below, converted or not

or lists and class folders, see `lists`. Splits keep the clips of a group, which are cut from one
film, together; a share of class folders held back at random would not, so that is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidattn.config.labels import load_labels as names_of
from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import LabeledDataset, Split, number_labels
from vidattn.data.sets.lists import FOLDERS, first_file, open_otherwise, says_fold
from vidattn.data.sets.video_index import VideoKey, frame_of, matched, without_suffix
from vidattn.data.tabular import RowErrors, read_lines
from vidattn.errors import DataError

LAYOUTS = (
    "{train,test}list0N.txt with <Class>/<video>.avi anywhere below; or lists {train,val}.csv of "
    "`path label`; or train/<Class>/ and val/<Class>/"
)
PLACES = (*FOLDERS, "ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist")
HINT = "lines are <Class>/<video>.avi, in training lists with the number of the class from 1 on"


def open_ucf101(
    name: str, root: Path, split: Split, max_missing: float, *, fold: int
) -> LabeledDataset:
    """One half of split number `fold` (1 to 3) below `root`; the test half is "val".

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, or lines are malformed.
    """
    names = names_of("ucf101")
    stem = "trainlist" if split == "train" else "testlist"
    path = first_file(root, (f"{stem}{fold:02d}.txt",), PLACES)
    if path is None:
        fits = says_fold(fold)
        return open_otherwise(name, root, split, names, max_missing, LAYOUTS, fits)
    _check_numbers(root, names)
    numbers = number_labels(names)
    problems = RowErrors(path, hint=HINT)
    wanted = []
    for line, text in read_lines(path):
        video, _, number = text.partition(" ")
        label = numbers.get(normalize_label(video.partition("/")[0]))
        if label is None or "/" not in video:
            problems.add(line, f"{video!r} does not begin with a class folder")
        elif number.strip() not in ("", str(label + 1)):
            problems.add(line, f"{video}: the number {number.strip()} is not that of its class")
        else:
            wanted.append(VideoKey((without_suffix(video),), label, suffix=".avi"))
    problems.raise_if_any()
    return matched(wanted, frame_of(name, root, split, names), path, max_missing)


def _check_numbers(root: Path, names: Sequence[str]) -> None:
    """classInd.txt, where it is there, has the published classes. Raises DataError."""
    path = first_file(root, ("classInd.txt", "classind.txt"), PLACES)
    if path is None:
        return
    expected = [f"{number} {normalize_label(label)}" for number, label in enumerate(names, 1)]
    for (line, text), wanted in zip(read_lines(path), expected, strict=False):
        if normalize_label(text) != wanted:
            raise DataError(f"{path}: line {line} is {text!r}, expected {wanted!r}")

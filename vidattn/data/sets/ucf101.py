"""Layout: UCF101, as it is published, in one of its three splits.

    trainlist01.txt       <Class>/v_<Class>_g08_c01.avi 1      class numbers count from 1
    testlist01.txt        <Class>/v_<Class>_g01_c01.avi        serves for validation
    classInd.txt          1 ApplyEyeMakeup                     is checked where it is there
    UCF-101/<Class>/v_<Class>_g01_c01.avi                      anywhere below, converted or not

or lists and class folders, see `named`. The published splits keep the clips of a group, which are
cut from one video, together; a random share of class folders would not, so that is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from vidattn.config.labels import load_labels, normalize_label
from vidattn.data.labeled_dataset import LabeledDataset, number_labels
from vidattn.data.sets.named_dataset import LIST_FOLDERS, NamedDataset
from vidattn.data.sets.video_index import VideoKey, strip_suffix
from vidattn.data.tabular import parse_rows, read_lines
from vidattn.errors import DataError

LAYOUTS = (
    "{train,test}list0N.txt with <Class>/<video>.avi anywhere below; or lists {train,val}.csv of "
    "`path label`; or train/<Class>/ and val/<Class>/"
)
FOLDERS = (
    *LIST_FOLDERS,
    "ucfTrainTestlist",
    "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist",
)
HINT = "lines are <Class>/<video>.avi, in training lists with the number of the class from 1 on"


def open_ucf101(dataset: NamedDataset) -> LabeledDataset:
    """Open a split of a fold; "val" is the published test split. Raises DataError."""
    labels, fold = load_labels("ucf101"), dataset.fold
    stem = "trainlist" if dataset.split == "train" else "testlist"
    path = dataset.find_file((f"{stem}{fold:02d}.txt",), FOLDERS)
    if path is None:
        return dataset.open_other_layout(labels, LAYOUTS, fold=fold)
    _require_numbers(dataset, labels)
    numbers = number_labels(labels)

    def parse(text: str) -> VideoKey:
        video, _, number = text.partition(" ")
        label = numbers.get(normalize_label(video.partition("/")[0]))
        if label is None or "/" not in video:
            raise ValueError(f"{video!r} does not begin with a class folder")
        if number.strip() not in ("", str(label + 1)):
            raise ValueError(f"{video}: the number {number.strip()} is not that of its class")
        return VideoKey((strip_suffix(video),), label, suffix=".avi")

    return dataset.match(parse_rows(path, read_lines(path), parse, hint=HINT), labels, path)


def _require_numbers(dataset: NamedDataset, labels: Sequence[str]) -> None:
    """Raise DataError where classInd.txt has other classes than the published ones."""
    path = dataset.find_file(("classInd.txt", "classind.txt"), FOLDERS)
    lines = read_lines(path) if path else []
    expected = [f"{number} {normalize_label(label)}" for number, label in enumerate(labels, 1)]
    for (line, text), wanted in zip(lines[: len(expected)], expected[: len(lines)], strict=True):
        if normalize_label(text) != wanted:
            raise DataError(f"{path}: line {line} is {text!r}, expected {wanted!r}")

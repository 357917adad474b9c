"""Layout: Diving-48 with its second, corrected labels (V2), as it is published.

    Diving48_V2_train.json    [{"vid_name", "label", "start_frame", "end_frame"}, ...]
    Diving48_V2_test.json     serves for validation
    rgb/<vid_name>.mp4        anywhere below

or lists and class folders, see `named`. Every published file is one dive, from frame 0 on, and is
shown whole; an entry that begins later is the part from its first frame to its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vidattn.config.labels import load_labels
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sets.named_dataset import NamedDataset
from vidattn.data.sets.video_index import VideoKey
from vidattn.data.tabular import parse_rows, read_entries, read_json
from vidattn.errors import DataError

LAYOUTS = (
    "Diving48_V2_{train,test}.json with <vid_name>.mp4 anywhere below; or lists {train,val}.csv of "
    "`path label`; or train/<class>/ and val/<class>/"
)
FILES = {"train": "Diving48_V2_train.json", "val": "Diving48_V2_test.json"}
HINT = "entries are {vid_name, label, start_frame, end_frame}; labels count from 0"


def open_diving48(dataset: NamedDataset) -> LabeledDataset:
    """Open a split; "val" is the published test split. Raises DataError."""
    labels = load_labels("diving48")
    path = dataset.find_file((FILES[dataset.split],))
    if path is None:
        return dataset.open_other_layout(labels, LAYOUTS)
    _require_vocabulary(dataset, labels)

    def parse(entry: Mapping[str, object]) -> VideoKey:
        video, label = str(entry.get("vid_name") or ""), entry.get("label")
        if not video:
            raise ValueError("no vid_name")
        if not isinstance(label, int) or not 0 <= label < len(labels):
            raise ValueError(f"the label {label!r} is none of 0 to {len(labels) - 1}")
        first, stop = entry.get("start_frame", 0), entry.get("end_frame")
        if first == 0:
            return VideoKey((video,), label)
        if not isinstance(first, int) or not isinstance(stop, int) or not 0 < first < stop:
            raise ValueError(f"start_frame {first} and end_frame {stop}: expected 0 <= start < end")
        return VideoKey((video,), label, (first, stop))

    entries = read_entries(path, "{vid_name, label}")
    return dataset.match(parse_rows(path, entries, parse, unit="entry", hint=HINT), labels, path)


def _require_vocabulary(dataset: NamedDataset, labels: Sequence[str]) -> None:
    """Raise DataError where the vocabulary has other classes than the published ones."""
    path = dataset.find_file(("Diving48_vocab.json",))
    if path is None:
        return
    plain = read_json(path)
    found = ["+".join(map(str, dive)) for dive in plain] if isinstance(plain, list) else []
    if found == list(labels):
        return
    shared = enumerate(found[: len(labels)])
    place = next((i for i, name in shared if name != labels[i]), 0)
    raise DataError(
        f"{path}: is not the vocabulary of Diving-48 V2: {len(found)} classes, number {place} is "
        f"{found[place] if found else 'missing'}, expected {labels[place]}",
        hint="for labels of another version name a list of them as --dataset",
    )

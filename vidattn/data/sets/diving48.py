"""Layout: Diving-48 with its second, corrected labels (V2), as it is published.

    Diving48_V2_train.json    [{"vid_name", "label", "start_frame", "end_frame"}, ...]
    Diving48_V2_test.json     serves for validation
    rgb/<vid_name>.mp4        anywhere below

or lists and class folders, see `lists`. Every published file is one dive, from frame 0 on, and is
shown whole; an entry that begins later is the part from its first frame to its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidattn.config.labels import load_labels as names_of
from vidattn.data.labeled_dataset import LabeledDataset, Split
from vidattn.data.sets.lists import first_file, open_otherwise
from vidattn.data.sets.video_index import VideoKey, frame_of, matched
from vidattn.data.tabular import RowErrors, entries, read_json
from vidattn.errors import DataError

LAYOUTS = (
    "Diving48_V2_{train,test}.json with <vid_name>.mp4 anywhere below; or lists {train,val}.csv of "
    "`path label`; or train/<class>/ and val/<class>/"
)
FILES = {"train": "Diving48_V2_train.json", "val": "Diving48_V2_test.json"}


def open_diving48(name: str, root: Path, split: Split, max_missing: float) -> LabeledDataset:
    """One half below `root`; the test half is "val".

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, an entry is malformed, or Diving48_vocab.json has
    other classes than the published ones.
    """
    names = names_of(name)
    path = first_file(root, (FILES[split],))
    if path is None:
        return open_otherwise(name, root, split, names, max_missing, LAYOUTS)
    _check_vocabulary(root, names)
    hint = "entries are {vid_name, label, start_frame, end_frame}; labels count from 0"
    problems = RowErrors(path, "entry", hint)
    wanted = []
    for place, entry in enumerate(entries(path, "{vid_name, label}"), 1):
        try:
            wanted.append(_dive(entry, len(names)))
        except ValueError as error:
            problems.add(place, str(error))
    problems.raise_if_any()
    return matched(wanted, frame_of(name, root, split, names), path, max_missing)


def _dive(entry: Mapping[str, object], classes: int) -> VideoKey:
    """One entry; raises ValueError that says what is wrong with it."""
    video, label = str(entry.get("vid_name") or ""), entry.get("label")
    if not video:
        raise ValueError("no vid_name")
    if not isinstance(label, int) or not 0 <= label < classes:
        raise ValueError(f"the label {label!r} is none of 0 to {classes - 1}")
    first, stop = entry.get("start_frame", 0), entry.get("end_frame")
    if first == 0:
        return VideoKey((video,), label)
    if not isinstance(first, int) or not isinstance(stop, int) or not 0 < first < stop:
        raise ValueError(f"start_frame {first} and end_frame {stop}: expected 0 <= start < end")
    return VideoKey((video,), label, (first, stop))


def _check_vocabulary(root: Path, names: Sequence[str]) -> None:
    """The numbers of the labels mean the published classes, where the vocabulary is there to say.

    Raises DataError when it says otherwise.
    """
    path = first_file(root, ("Diving48_vocab.json",))
    if path is None:
        return
    plain = read_json(path)
    found = ["+".join(map(str, dive)) for dive in plain] if isinstance(plain, list) else []
    if found == list(names):
        return
    place = next((i for i, (a, b) in enumerate(zip(found, names, strict=False)) if a != b), 0)
    raise DataError(
        f"{path}: is not the vocabulary of Diving-48 V2: {len(found)} classes, number {place} is "
        f"{found[place] if found else 'missing'}, expected {names[place]}",
        hint="for labels of another version name a list of them as --dataset",
    )

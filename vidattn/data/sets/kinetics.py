"""Layout: Kinetics-400, -600 and -700, as they are published and as people keep them.

The first of these below the folder of the dataset:

1. the official annotations, a csv with label, youtube_id, time_start, time_end[, split], and videos
   called <youtube_id>_<start>_<end>.mp4 (six digits each) or <youtube_id>.mp4 anywhere below, in
   class folders or not;
2. lists {train,val}.csv of `path label` or class folders in train/ and val/, see `named`;
3. class folders alone, a share of each of which is for validation, see `folder`.

Class numbers are those of the official, alphabetical list of names, whatever is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vidattn.config.labels import load_labels, normalize_label
from vidattn.data.labeled_dataset import LabeledDataset, find_videos, number_labels, parse_split
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.named_dataset import SPLIT_NAMES, NamedDataset, list_files, rank, video_id
from vidattn.data.sets.video_index import VideoIndex, VideoKey
from vidattn.data.tabular import number_rows, parse_rows, read_header, read_rows
from vidattn.errors import DataError

LAYOUTS = (
    "the official annotations {train,val}.csv with <youtube_id>_<start>_<end>.mp4 anywhere below; "
    "or lists {train,val}.csv of `path label`; or train/<class>/ and val/<class>/"
)


def open_kinetics(dataset: NamedDataset) -> LabeledDataset:
    """Open a split of the dataset, such as "k400". Raises DataError."""
    root, split, labels = dataset.root, dataset.split, load_labels(dataset.name)
    for path in list_files(root, split):
        columns = read_header(path)
        if "youtube_id" in columns and (rank(path, split) < 2 or "split" in columns):
            return _open_annotations(dataset, path, labels)
        if "youtube_id" not in columns and rank(path, split) < 2:
            break
    listed = any(rank(path, each) < 2 for each in SPLIT_NAMES for path in list_files(root, each))
    if not listed and find_videos(root):
        return open_folder(root, split, name=dataset.name, names=labels)
    return dataset.open_other_layout(labels, LAYOUTS)


def _open_annotations(dataset: NamedDataset, path: Path, labels: Sequence[str]) -> LabeledDataset:
    split = dataset.split
    rows = [
        row for row in read_rows(path) if parse_split(row.fields.get("split") or split) == split
    ]
    if not rows:
        raise DataError(f"{path}: no row belongs to {split}")
    numbers = number_labels(labels)

    def parse(fields: Mapping[str, str]) -> VideoKey:
        label = fields.get("label", "")
        if not label:
            raise ValueError("no label")
        names = _name_files(fields)
        if normalize_label(label) not in numbers:
            raise ValueError(f"the label {label!r} is no class of {dataset.name}")
        return VideoKey(names, numbers[normalize_label(label)])

    wanted = parse_rows(path, number_rows(rows), parse)
    # Without times in the annotations a file is known by its id, cut out or not.
    timed = any("end" in row.fields for row in rows)
    index = None if timed else VideoIndex(dataset.root, video_id)
    return dataset.match(wanted, labels, path, index)


def _name_files(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Possible names of the file of a row, without suffix. Raises ValueError."""
    video, start, end = (fields.get(key, "") for key in ("youtube_id", "start", "end"))
    if video and not start and not end:
        return (video,)
    try:
        times = f"{int(float(start)):06d}_{int(float(end)):06d}"
    except (ValueError, OverflowError):
        times = ""
    if not video or not times:
        raise ValueError("no youtube_id, or times that are not seconds")
    return (f"{video}_{times}", video)

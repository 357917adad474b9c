"""Layout: Kinetics-400, -600 and -700, as they are published and as people keep them.

What is looked for below the folder of the set, first found first taken:

1. the official annotations, a csv with label, youtube_id, time_start, time_end[, split], and videos
   called <youtube_id>_<start>_<end>.mp4 (six digits each) or <youtube_id>.mp4 anywhere below, in
   class folders or not;
2. lists {train,val}.csv of `path label` or class folders in train/ and val/, see `lists`;
3. class folders alone, of each of which a share is held back, see `folder`.

Class numbers are those of the official, alphabetical list of names, whatever is on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidattn.config.labels import load_labels as names_of
from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import (
    LabeledDataset,
    Split,
    find_videos,
    number_labels,
    parse_split,
)
from vidattn.data.sets.folder import open_folder
from vidattn.data.sets.lists import id_of, lists_of, open_otherwise, rank
from vidattn.data.sets.video_index import VideoIndex, VideoKey, frame_of, matched
from vidattn.data.tabular import Row, RowErrors, first_columns, read_rows
from vidattn.errors import DataError

LAYOUTS = (
    "the official annotations {train,val}.csv with <youtube_id>_<start>_<end>.mp4 anywhere below; "
    "or lists {train,val}.csv of `path label`; or train/<class>/ and val/<class>/"
)


HALVES: tuple[Split, Split] = ("train", "val")


def open_kinetics(name: str, root: Path, split: Split, max_missing: float) -> LabeledDataset:
    """One half of the Kinetics set `name` (such as "k400") below `root`.

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, or rows are malformed.
    """
    names = names_of(name)
    for path in lists_of(root, split):
        columns = first_columns(path) or {}
        if "youtube_id" in columns and (rank(path, split) < 2 or "split" in columns):
            return _open_annotations(name, root, path, split, names, max_missing)
        if "youtube_id" not in columns and rank(path, split) < 2:
            break
    listed = any(rank(path, half) < 2 for half in HALVES for path in lists_of(root, half))
    if not listed and find_videos(root):
        return open_folder(root, split, name=name, names=names)
    return open_otherwise(name, root, split, names, max_missing, LAYOUTS)


def _open_annotations(
    name: str, root: Path, path: Path, split: Split, names: Sequence[str], max_missing: float
) -> LabeledDataset:
    rows = [
        row for row in read_rows(path) if parse_split(row.fields.get("split") or split) == split
    ]
    if not rows:
        raise DataError(f"{path}: no row belongs to {split}")
    numbers = number_labels(names)
    problems = RowErrors(path)
    wanted = []
    for row in rows:
        number = numbers.get(normalize_label(row.fields.get("label", "")))
        stems = _stems(row)
        if number is None or not stems:
            problems.add(row.line, _complaint(row, name))
        else:
            wanted.append(VideoKey(stems, number))
    problems.raise_if_any()
    # Without times in the annotations a file is known by its id, cut out or not.
    index = None if any("end" in row.fields for row in rows) else VideoIndex(root, id_of)
    return matched(wanted, frame_of(name, root, split, names), path, max_missing, index)


def _stems(row: Row) -> tuple[str, ...]:
    """What the file of a row may be called, without suffix; nothing when the row is malformed."""
    video = row.fields.get("youtube_id", "")
    start, end = row.fields.get("start", ""), row.fields.get("end", "")
    if not video:
        return ()
    if not start and not end:
        return (video,)
    try:
        return (f"{video}_{int(float(start)):06d}_{int(float(end)):06d}", video)
    except (ValueError, OverflowError):
        return ()


def _complaint(row: Row, name: str) -> str:
    label = row.fields.get("label", "")
    if not label:
        return "no label"
    if not _stems(row):
        return "no youtube_id, or times that are not seconds"
    return f"the label {label!r} is no class of {name}"

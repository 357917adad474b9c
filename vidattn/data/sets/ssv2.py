"""Layout: Something-Something V2, as it is published.

    something-something-v2-train.json        or labels/train.json, as it is handed out today
    something-something-v2-validation.json   or labels/validation.json
    20bn-something-something-v2/<id>.webm    anywhere below, converted or not

or lists and class folders, see `lists`. The class of a video is its template without the brackets,
looked up in the list of 174 names, in the published order. The published test half has no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidattn.config.labels import load_labels as names_of
from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import LabeledDataset, Split, number_labels
from vidattn.data.sets.lists import first_file, open_otherwise
from vidattn.data.sets.video_index import VideoKey, frame_of, matched
from vidattn.data.tabular import RowErrors, entries

LAYOUTS = (
    "something-something-v2-{train,validation}.json, or labels/{train,validation}.json, with "
    "<id>.webm anywhere below; or lists {train,val}.csv of `path label`; or train/<class>/ and "
    "val/<class>/"
)
STEMS = {"train": "train", "val": "validation"}


def open_ssv2(name: str, root: Path, split: Split, max_missing: float) -> LabeledDataset:
    """One half below `root`; the validation half is "val".

    max_missing: share of listed videos that may be missing. Raises DataError when none of the
    layouts is there, more files are missing, or an entry is malformed.
    """
    names = names_of(name)
    stem = STEMS[split]
    path = first_file(root, (f"something-something-v2-{stem}.json", f"{stem}.json"))
    if path is None:
        return open_otherwise(name, root, split, names, max_missing, LAYOUTS)
    numbers = number_labels(names)
    problems = RowErrors(path, "entry", "entries are {id, template}; templates are those of V2")
    wanted = []
    for place, entry in enumerate(entries(path, "{id, template}"), 1):
        video, template = str(entry.get("id") or ""), _template(entry)
        if not video:
            problems.add(place, "no id")
        elif normalize_label(template) not in numbers:
            problems.add(place, f"the template {template!r} is no class of {name}")
        else:
            wanted.append(VideoKey((video,), numbers[normalize_label(template)], suffix=".webm"))
    problems.raise_if_any()
    return matched(wanted, frame_of(name, root, split, names), path, max_missing)


def _template(entry: Mapping[str, object]) -> str:
    """ "Pushing [something] from left to right" without its brackets."""
    return str(entry.get("template") or "").replace("[", "").replace("]", "")

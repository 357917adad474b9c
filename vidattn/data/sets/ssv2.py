"""Layout: Something-Something V2, as it is published.

    something-something-v2-train.json        or labels/train.json, as it is handed out today
    something-something-v2-validation.json   or labels/validation.json
    20bn-something-something-v2/<id>.webm    anywhere below, converted or not

or lists and class folders, see `named`. The class of a video is its template without the brackets,
looked up in the list of 174 names, in the published order. The published test split has no labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from vidattn.config.labels import load_labels, normalize_label
from vidattn.data.labeled_dataset import LabeledDataset, number_labels
from vidattn.data.sets.named_dataset import NamedDataset
from vidattn.data.sets.video_index import VideoKey
from vidattn.data.tabular import parse_rows, read_entries

LAYOUTS = (
    "something-something-v2-{train,validation}.json, or labels/{train,validation}.json, with "
    "<id>.webm anywhere below; or lists {train,val}.csv of `path label`; or train/<class>/ and "
    "val/<class>/"
)
STEMS = {"train": "train", "val": "validation"}


def open_ssv2(dataset: NamedDataset) -> LabeledDataset:
    """Open a split; "val" is the published validation. Raises DataError."""
    labels = load_labels("ssv2")
    stem = STEMS[dataset.split]
    path = dataset.find_file((f"something-something-v2-{stem}.json", f"{stem}.json"))
    if path is None:
        return dataset.open_other_layout(labels, LAYOUTS)
    numbers = number_labels(labels)

    def parse(entry: Mapping[str, object]) -> VideoKey:
        video = str(entry.get("id") or "")
        template = str(entry.get("template") or "").replace("[", "").replace("]", "")
        if not video:
            raise ValueError("no id")
        if normalize_label(template) not in numbers:
            raise ValueError(f"the template {template!r} is no class of ssv2")
        return VideoKey((video,), numbers[normalize_label(template)], suffix=".webm")

    hint = "entries are {id, template}; templates are those of V2"
    entries = read_entries(path, "{id, template}")
    return dataset.match(parse_rows(path, entries, parse, unit="entry", hint=hint), labels, path)

"""Trees of every layout that named sets are accepted in, small, with files of the caller's."""

import json
from collections.abc import Callable
from pathlib import Path

from vidattn.config.labels import load_labels

Place = Callable[[Path, str, int], None]
"""Puts a video of a kind ("across" or "down") and a number at a path."""
Splits = dict[str, dict[str, str]]
"""Half -> file name -> label."""

KINDS = ("across", "down")
SPLITS = {"train": range(4), "val": range(4, 6)}


def two(name: str) -> tuple[str, str]:
    """Two classes of a set that are far apart in its list."""
    known = load_labels(name)
    return known[3], known[-2]


def _each(name: str, place: Callable[[str, str, int], Path], put: Place) -> Splits:
    """Puts two classes of videos where `place(split, label, number)` says."""
    splits: Splits = {"train": {}, "val": {}}
    for split, numbers in SPLITS.items():
        for label, kind in zip(two(name), KINDS, strict=True):
            for number in numbers:
                path = place(split, label, number)
                put(path, kind, number)
                splits[split][path.name] = label
    return splits


def _id(name: str, label: str, number: int) -> str:
    return f"-{'ab'[two(name).index(label)]}_{number}cdefgh"[:11]


def official_kinetics(root: Path, put: Place, name: str, where: str = "{split}/{label}") -> Splits:
    rows: dict[str, list[str]] = {"train": [], "val": []}

    def place(split: str, label: str, number: int) -> Path:
        video = _id(name, label, number)
        rows[split].append(f"{label},{video},{number},{number + 10},{split}")
        folder = root / where.format(split=split, label=label.replace(" ", "_"))
        return folder / f"{video}_{number:06d}_{number + 10:06d}.mp4"

    splits = _each(name, place, put)
    for split, lines in rows.items():
        text = "label,youtube_id,time_start,time_end,split\n" + "\n".join(lines) + "\n"
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{split}.csv").write_text(text)
    return splits


def one_annotation_file(root: Path, put: Place, name: str) -> Splits:
    splits = official_kinetics(root, put, name, "")
    lines = [(root / "annotations" / f"{split}.csv").read_text().splitlines() for split in SPLITS]
    (root / f"kinetics_{name[1:]}.csv").write_text("\n".join(lines[0] + lines[1][1:]) + "\n")
    for split in SPLITS:
        (root / "annotations" / f"{split}.csv").unlink()
    return splits


def ids_and_labels(root: Path, put: Place, name: str) -> Splits:
    """As the authors hand out their lists: `youtube_id label`."""
    splits = official_kinetics(root, put, name, "videos")
    for split in SPLITS:
        path = root / "annotations" / f"{split}.csv"
        rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
        known = load_labels(name)
        (root / f"{split}.csv").write_text("".join(f"{r[1]} {known.index(r[0])}\n" for r in rows))
        path.unlink()
    return splits


def lists(
    root: Path, put: Place, name: str, separator: str = " ", title: str = "{split}.csv"
) -> Splits:
    """`path label` with numbers, or with names where the separator is no space."""
    rows: dict[str, list[str]] = {"train": [], "val": []}

    def place(split: str, label: str, number: int) -> Path:
        shown = str(load_labels(name).index(label)) if separator == " " else label
        path = f"videos_{split}/{label.replace('/', '_')}/clip {number}{label[:1]}.mp4"
        rows[split].append(separator.join([path, shown]))
        return root / path

    splits = _each(name, place, put)
    for split, lines in rows.items():
        (root / title.format(split=split)).write_text("\n".join(lines) + "\n")
    return splits


def folders(root: Path, put: Place, name: str) -> Splits:
    def place(split: str, label: str, number: int) -> Path:
        return root / split / label.replace(" ", "_") / f"{number}{label[0]}.mp4"

    return _each(name, place, put)


def ssv2(root: Path, put: Place, prefix: str, where: str) -> Splits:
    entries: dict[str, list[dict[str, object]]] = {"train": [], "val": []}

    def place(split: str, label: str, number: int) -> Path:
        video = str(100 * number + two("ssv2").index(label))
        template = label.replace("something", "[something]", 1)
        words = label.replace("something", "a cup")
        entries[split].append({"id": video, "label": words, "template": template})
        return root / where / f"{video}.webm"

    splits = _each("ssv2", place, put)
    for split, title in (("train", "train"), ("val", "validation")):
        path = root / f"{prefix}{title}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(entries[split]))
    return splits


def diving48(root: Path, put: Place) -> Splits:
    entries: dict[str, list[dict[str, object]]] = {"train": [], "val": []}

    def place(split: str, label: str, number: int) -> Path:
        video = f"{_id('diving48', label, number)}_{number:05d}"
        numbered = load_labels("diving48").index(label)
        plain = {"vid_name": video, "label": numbered, "start_frame": 0, "end_frame": 9}
        entries[split].append(plain)
        return root / "rgb" / f"{video}.mp4"

    splits = _each("diving48", place, put)
    for split, title in (("train", "train"), ("val", "test")):
        (root / f"Diving48_V2_{title}.json").write_text(json.dumps(entries[split]))
    vocabulary = [name.split("+") for name in load_labels("diving48")]
    (root / "Diving48_vocab.json").write_text(json.dumps(vocabulary))
    return splits


def ucf101(root: Path, put: Place, fold: int = 1) -> Splits:
    lines: dict[str, list[str]] = {"train": [], "val": []}

    def place(split: str, label: str, number: int) -> Path:
        path = f"{label}/v_{label}_g{number:02d}_c01.avi"
        index = f" {load_labels('ucf101').index(label) + 1}" * (split == "train")
        lines[split].append(path + index)
        return root / "UCF-101" / path

    splits = _each("ucf101", place, put)
    folder = root / "ucfTrainTestlist"
    folder.mkdir()
    (folder / f"trainlist{fold:02d}.txt").write_text("\n".join(lines["train"]) + "\n")
    (folder / f"testlist{fold:02d}.txt").write_text("\r\n".join(lines["val"]) + "\r\n")
    names = "".join(f"{i} {label}\n" for i, label in enumerate(load_labels("ucf101"), 1))
    (folder / "classInd.txt").write_text(names)
    return splits


def hmdb51(root: Path, put: Place, fold: int = 1) -> Splits:
    lines: dict[str, list[str]] = {label: ["unused_clip.avi 0 "] for label in load_labels("hmdb51")}

    def place(split: str, label: str, number: int) -> Path:
        video = f"#{number}_Some_Video!_{label}_u_nm_np1_ba_goo_0.avi"
        lines[label].append(f"{video} {1 if split == 'train' else 2} ")
        return root / "hmdb51_org" / label / video

    splits = _each("hmdb51", place, put)
    folder = root / "testTrainMulti_7030_splits"
    folder.mkdir()
    for label, rows in lines.items():
        (folder / f"{label}_test_split{fold}.txt").write_text("\n".join(rows) + "\n")
    return splits


def howto100m(root: Path, put: Place) -> Splits:
    """Lists that count the classes as published weights do, with ids for paths."""
    splits: Splits = {}
    for split, numbers in SPLITS.items():
        rows = []
        splits[split] = {}
        for number in numbers:
            for task, kind in zip((2, 5), KINDS, strict=True):
                video = f"{number}_{task}-abcdef"
                put(root / "videos" / f"{video}.webm", kind, number)
                rows.append(f"{video},{task}")
                splits[split][f"{video}.webm"] = f"class {task}"
        (root / f"{split}.csv").write_text("video_id,label\n" + "\n".join(rows) + "\n")
    return splits


NAMED: dict[str, Callable[[Path, Place], Splits]] = {
    "k400 official": lambda root, put: official_kinetics(root, put, "k400"),
    "k400 official-flat": lambda root, put: official_kinetics(
        root, put, "k400", "compress/{split}_256"
    ),
    "k400 one-file": lambda root, put: one_annotation_file(root, put, "k400"),
    "k400 ids": lambda root, put: ids_and_labels(root, put, "k400"),
    "k400 lists": lambda root, put: lists(root, put, "k400"),
    "k400 lists-tab": lambda root, put: lists(root, put, "k400", "\t"),
    "k400 lists-mmaction2": lambda root, put: lists(
        root, put, "k400", " ", "k400_{split}_list.txt"
    ),
    "k400 folders": lambda root, put: folders(root, put, "k400"),
    "k600": lambda root, put: official_kinetics(root, put, "k600"),
    "k700": lambda root, put: official_kinetics(root, put, "k700"),
    "ssv2": lambda root, put: ssv2(root, put, "something-something-v2-", ""),
    "ssv2 labels": lambda root, put: ssv2(root, put, "labels/", "20bn-something-something-v2"),
    "ssv2 lists": lambda root, put: lists(root, put, "ssv2", ",", "sthv2_{split}_list_videos.txt"),
    "ssv2 folders": lambda root, put: folders(root, put, "ssv2"),
    "diving48": diving48,
    "diving48 lists": lambda root, put: lists(root, put, "diving48"),
    "howto100m": howto100m,
    "ucf101": ucf101,
    "ucf101-2": lambda root, put: ucf101(root, put, 2),
    "ucf101 lists": lambda root, put: lists(root, put, "ucf101", " ", "ucf101_{split}_split_1.txt"),
    "ucf101 folders": lambda root, put: folders(root, put, "ucf101"),
    "hmdb51": hmdb51,
    "hmdb51-3": lambda root, put: hmdb51(root, put, 3),
    "hmdb51 lists": lambda root, put: lists(root, put, "hmdb51"),
}
"""The name of a set, perhaps with a word on its layout -> how a tree of it is made."""

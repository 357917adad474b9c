"""Every published model: location, license and score.

A plain name stands for the copy with the freest license, then for the one on the Hugging Face hub.
Other copies of the same model carry their origin at the end of the name: see `SUFFIXES`.
"""

from __future__ import annotations

import difflib
from dataclasses import replace

from vidattn.errors import WeightsError
from vidattn.weights.catalog_entry import CatalogEntry, WeightsSource
from vidattn.weights.conv_catalog import list_networks

DEFAULT = "timesformer-k400"
LONG_DEFAULT = "timesformer-l-k400"
"""The default for 96 frames."""
SECOND_DEFAULT = "stam-16-k400"
"""From another host."""
BUNDLED = "motion-tiny"
MOTION_WARNING = (
    f"CAMERA MOTION, NOT ACTIONS: labels are of {BUNDLED} and say how the camera moves, "
    "not what happens in the video"
)


SUFFIXES = {
    "-meta": "the authors' own file",
    "-hf": "its copy on the Hugging Face hub",
    "-mmaction2": "trained and published by mmaction2",
    "-fair": "published with PySlowFast instead of PyTorchVideo",
    "-v1": "the first version of the authors",
}
"""Endings of names, where several models or copies have the same one."""

NC = "CC-BY-NC-4.0"
BGR = "frames are fed as BGR, as the official code trained Something-Something"
TASKS = "1059 numbered task categories; the score averages clips that tile the whole video"
UNCHECKED = "converted by another party, which has not compared it with the original weights"
UNLICENSED = "this copy states no license; the original weights are CC-BY-NC-4.0"
K600_ORDER = "class names are in the order of Kinetics, as the authors say on their issue tracker"
ZOO = "https://www.dropbox.com/s/"
STAM_ZOO = "https://miil-public-eu.oss-eu-central-1.aliyuncs.com/model-zoo/STAM/"
LONG_ENOUGH = "the score is on the validation videos of at least ten seconds"
MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/recognition/timesformer/"

# The official model zoo (README of the code); the hub has each file converted, too.
# model size, dataset, frames x frame step, pixels, top-1, top-5, key of the file in the zoo
OFFICIAL = (
    ("base", "k400", "8x32", 224, 77.9, 93.2, "g5t24we9gl5yk88"),
    ("hr", "k400", "16x16", 448, 79.6, 94.0, "6f0x172lpqy3oxt"),
    ("large", "k400", "96x4", 224, 80.6, 94.7, "r1iuxahif3sgimo"),
    ("base", "k600", "8x32", 224, 79.1, 94.4, "4h2qt41m2z3aqrb"),
    ("hr", "k600", "16x16", 448, 81.8, 95.8, "ft1e92g2vhvxecv"),
    ("large", "k600", "96x4", 224, 82.2, 95.6, "857rx6xeclxfhdg"),
    ("base", "ssv2", "8", 224, 59.1, 85.6, "tybhuml57y24wpm"),
    ("hr", "ssv2", "16", 448, 61.8, 86.9, "9t68uzk8w2fpfnv"),
    ("large", "ssv2", "64", 224, 62.0, 87.5, "3f1rm2al8mhprwa"),
    ("howto", "howto100m", "8x32", 224, 56.8, None, "9v8hcm88b9tc6ff"),
    ("howto", "howto100m", "32x32", 224, 61.2, None, "4roflx4q1gscu85"),
    ("howto", "howto100m", "64x32", 224, 62.2, None, "15bvqltl1j5vyp3"),
    ("howto", "howto100m", "96x32", 224, 62.6, None, "t2mzgahnfhgakma"),
)
STAM = ((8, 77.5), (16, 79.3), (32, 79.95), (64, 80.5))  # frames, top-1 (README, version 2)
STAM_FIRST = ((16, 77.8), (32, None), (64, 79.2))  # frames, top-1 (the paper's first version)
NAMED = {"k400": "K400", "k600": "K600", "ssv2": "SSv2", "howto100m": "HowTo100M"}
VARIANT = {"base": "timesformer", "hr": "timesformer-hr", "large": "timesformer-l"}


def _make_mmaction2(name: str, variant: str, digits: str, top1: float, top5: float) -> CatalogEntry:
    stem = f"timesformer_{variant}_8xb8-8x32x1-15e_kinetics400-rgb"
    return CatalogEntry(
        name=name,
        location=f"{MMACTION2}{stem}/{stem}_20220815-{digits}.pth",
        frames=8,
        dataset="k400",
        license="Apache-2.0",
        frame_interval=32,
        attention={"divST": "divided", "jointST": "joint", "spaceOnly": "space"}[variant],
        top1=top1,
        top5=top5,
        sha256=digits,
    )


def _make_official(row: tuple[str, str, str, int, float, float | None, str]) -> CatalogEntry:
    """An entry for a file of the official zoo."""
    model, dataset, clip, size, top1, top5, key = row
    frames, _, rate = clip.partition("x")
    tiled = dataset == "howto100m"
    return CatalogEntry(
        name=f"timesformer-{dataset}-{frames}" if tiled else f"{VARIANT[model]}-{dataset}-meta",
        location=f"{ZOO}{key}/TimeSformer_divST_{clip}_{size}_{NAMED[dataset]}.pyth?dl=1",
        frames=int(frames),
        dataset=dataset,
        license=NC,
        frame_interval=int(rate or 0),
        size=size,
        top1=top1,
        top5=top5,
        views="tiled" if tiled else "3x1",
        channels="bgr" if dataset == "ssv2" else "rgb",
        note={"ssv2": BGR, "k600": K600_ORDER, "howto100m": TASKS}.get(dataset, ""),
    )


def _make_hub(row: tuple[str, str, str, int, float, float | None, str]) -> CatalogEntry:
    """An entry for the same model on the Hugging Face hub, with class names in the file.

    Where that is unavailable, the official file is taken; where it has no license, the other way.
    """
    model, dataset = row[:2]
    name, official = f"{VARIANT[model]}-{dataset}", _make_official(row)
    owner = "fcakyon" if model == "large" else "facebook"
    notes = UNCHECKED if model == "large" else ""
    notes += f"; {UNLICENSED}" * (name == "timesformer-l-k600")
    places = [
        WeightsSource(f"{owner}/timesformer-{model}-finetuned-{dataset}", note=notes),
        *official.sources,
    ]
    if UNLICENSED in notes:
        places.reverse()
    first, second = places
    return replace(
        official,
        name=f"{name}-hf" if name == DEFAULT else name,
        location=first.location,
        source_note=first.note,
        mirrors=(second,),
    )


def _make_stam(frames: int, top1: float | None, first: bool = False) -> CatalogEntry:
    return CatalogEntry(
        name=f"stam-{frames}-k400" + "-v1" * first,
        location=f"{STAM_ZOO}{'' if first else 'v2/'}stam_{frames}.pth",
        frames=frames,
        dataset="k400",
        license="Apache-2.0",
        attention="stam",
        top1=top1,
        views="1x1",
        note=LONG_ENOUGH if top1 else "no score was published",
    )


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(BUNDLED, f"{BUNDLED}.safetensors", 8, "motion", "Apache-2.0", size=48),
        _make_mmaction2(DEFAULT, "divST", "a4d0d01f", 77.69, 93.45),
        _make_mmaction2("timesformer-joint-k400", "jointST", "8022d1c0", 76.95, 93.28),
        _make_mmaction2("timesformer-space-k400", "spaceOnly", "78f05367", 76.93, 92.88),
        *(_make_hub(row) for row in OFFICIAL if row[0] != "howto"),
        *(_make_official(row) for row in OFFICIAL),
        *(_make_stam(frames, top1) for frames, top1 in STAM),
        *(_make_stam(frames, top1, True) for frames, top1 in STAM_FIRST),
        *list_networks(),
    )
}
"""The entries by name. Where no digest is published, that of the first download is pinned."""


def find_entry(name: str) -> CatalogEntry:
    """The entry of a name. Raises WeightsError that suggests similar names."""
    if name in CATALOG:
        return CATALOG[name]
    close = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    message = f"{name}: no such file and no model of that name"
    raise WeightsError(message, hint=f"{hint}vidattn models list")

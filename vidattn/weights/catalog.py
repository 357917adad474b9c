"""Every published TimeSformer, by a short name: where it lies, what it may be used for, its score.

A plain name stands for the copy that is easiest to use: under the freer licence, then on the
Hugging Face hub. The same model from elsewhere has the place at the end of its name.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from vidattn.errors import WeightsError

DEFAULT = "timesformer-k400"
LONG = "timesformer-l-k400"
"""Stands in for the default when 96 frames are asked for."""
BUNDLED = "motion-tiny"


@dataclass(frozen=True)
class Entry:
    """One model that can be named."""

    name: str
    where: str
    """A URL, a Hugging Face hub id (owner/name), or the name of a file that ships with us."""
    frames: int
    """Length of its clips; 0: as the file says."""
    dataset: str
    """The training data, a name in `vidattn.weights.classes.COUNTS` or "howto100m" or "motion"."""
    license: str
    rate: int = 0
    """One frame in so many at 30 fps in training; 0: spread over the whole video, or in the file."""
    size: int = 224
    attention: str = "divided"
    top1: float | None = None
    """Published accuracy in percent, one clip and three crops unless `note` says otherwise."""
    top5: float | None = None
    views: str = "3x1"
    sha256: str = ""
    """The digest of the file, or its first digits, where somebody has published them."""
    channels: str = "rgb"
    note: str = ""

    @property
    def is_url(self) -> bool:
        """Whether `where` is a URL."""
        return self.where.startswith("https://")

    @property
    def is_bundled(self) -> bool:
        """Whether the weights ship with the package."""
        return not self.is_url and "/" not in self.where

    @property
    def expect(self) -> str:
        """The published score in words, such as "k400 top-1 77.69, top-5 93.45 (views 3x1)"."""
        if self.top1 is None:
            return ""
        top5 = "" if self.top5 is None else f", top-5 {self.top5:g}"
        return f"{self.dataset} top-1 {self.top1:g}{top5} (views {self.views})"


NC = "CC-BY-NC-4.0"
BGR = "frames are fed as BGR: the official code trained Something-Something so"
ORDER = "class names are taken to be in alphabetical order: the file has none"
TASKS = "1059 numbered task categories; the score averages clips that tile the whole video"
ZOO = "https://www.dropbox.com/s/{}?dl=1"
MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/recognition/timesformer/"

# The official model zoo (README of the code), each file also converted on the hub.
# variant, dataset, frames, rate, size, top-1, top-5, file in the zoo, hub id
OFFICIAL: tuple[tuple[str, str, int, int, int, float, float, str, str], ...] = (
    # fmt: off
    (
        "",
        "k400",
        8,
        32,
        224,
        77.9,
        93.2,
        "g5t24we9gl5yk88/TimeSformer_divST_8x32_224_K400.pyth",
        "facebook/timesformer-base-finetuned-k400",
    ),
    (
        "hr",
        "k400",
        16,
        16,
        448,
        79.6,
        94.0,
        "6f0x172lpqy3oxt/TimeSformer_divST_16x16_448_K400.pyth",
        "facebook/timesformer-hr-finetuned-k400",
    ),
    (
        "l",
        "k400",
        96,
        4,
        224,
        80.6,
        94.7,
        "r1iuxahif3sgimo/TimeSformer_divST_96x4_224_K400.pyth",
        "fcakyon/timesformer-large-finetuned-k400",
    ),
    (
        "",
        "k600",
        8,
        32,
        224,
        79.1,
        94.4,
        "4h2qt41m2z3aqrb/TimeSformer_divST_8x32_224_K600.pyth",
        "facebook/timesformer-base-finetuned-k600",
    ),
    (
        "hr",
        "k600",
        16,
        16,
        448,
        81.8,
        95.8,
        "ft1e92g2vhvxecv/TimeSformer_divST_16x16_448_K600.pyth",
        "facebook/timesformer-hr-finetuned-k600",
    ),
    (
        "l",
        "k600",
        96,
        4,
        224,
        82.2,
        95.6,
        "857rx6xeclxfhdg/TimeSformer_divST_96x4_224_K600.pyth",
        "fcakyon/timesformer-large-finetuned-k600",
    ),
    (
        "",
        "ssv2",
        8,
        0,
        224,
        59.1,
        85.6,
        "tybhuml57y24wpm/TimeSformer_divST_8_224_SSv2.pyth",
        "facebook/timesformer-base-finetuned-ssv2",
    ),
    (
        "hr",
        "ssv2",
        16,
        0,
        448,
        61.8,
        86.9,
        "9t68uzk8w2fpfnv/TimeSformer_divST_16_448_SSv2.pyth",
        "facebook/timesformer-hr-finetuned-ssv2",
    ),
    (
        "l",
        "ssv2",
        64,
        0,
        224,
        62.0,
        87.5,
        "3f1rm2al8mhprwa/TimeSformer_divST_64_224_SSv2.pyth",
        "fcakyon/timesformer-large-finetuned-ssv2",
    ),
    # fmt: on
)
# frames, top-1, file in the zoo
HOWTO100M = (
    (8, 56.8, "9v8hcm88b9tc6ff/TimeSformer_divST_8x32_224_HowTo100M.pyth"),
    (32, 61.2, "4roflx4q1gscu85/TimeSformer_divST_32x32_224_HowTo100M.pyth"),
    (64, 62.2, "15bvqltl1j5vyp3/TimeSformer_divST_64x32_224_HowTo100M.pyth"),
    (96, 62.6, "t2mzgahnfhgakma/TimeSformer_divST_96x32_224_HowTo100M.pyth"),
)


def _mmaction2(name: str, variant: str, digits: str, top1: float, top5: float) -> Entry:
    stem = f"timesformer_{variant}_8xb8-8x32x1-15e_kinetics400-rgb"
    return Entry(
        name=name,
        where=f"{MMACTION2}{stem}/{stem}_20220815-{digits}.pth",
        frames=8,
        dataset="k400",
        license="Apache-2.0",
        rate=32,
        attention={"divST": "divided", "jointST": "joint", "spaceOnly": "space"}[variant],
        top1=top1,
        top5=top5,
        sha256=digits,
    )


def _official() -> list[Entry]:
    entries = []
    for variant, dataset, frames, rate, size, top1, top5, file, hub_id in OFFICIAL:
        name = "-".join(part for part in ("timesformer", variant, dataset) if part)
        moving = dataset == "ssv2"
        hub = Entry(
            name=f"{name}-hf" if name == DEFAULT else name,
            where=hub_id,
            frames=frames,
            dataset=dataset,
            license=NC,
            rate=rate,
            size=size,
            top1=top1,
            top5=top5,
            channels="bgr" if moving else "rgb",
            note=BGR if moving else "",
        )
        note = ORDER if dataset == "k600" else hub.note
        entries += [hub, replace(hub, name=f"{name}-meta", where=ZOO.format(file), note=note)]
    return entries


def _howto100m(frames: int, top1: float, file: str) -> Entry:
    return Entry(
        name=f"timesformer-howto100m-{frames}",
        where=ZOO.format(file),
        frames=frames,
        dataset="howto100m",
        license=NC,
        rate=32,
        top1=top1,
        views="tiled",
        note=TASKS,
    )


CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(BUNDLED, f"{BUNDLED}.safetensors", 0, "motion", "Apache-2.0", size=0),
        _mmaction2(DEFAULT, "divST", "a4d0d01f", 77.69, 93.45),
        _mmaction2("timesformer-joint-k400", "jointST", "8022d1c0", 76.95, 93.28),
        _mmaction2("timesformer-space-k400", "spaceOnly", "78f05367", 76.93, 92.88),
        *_official(),
        *(_howto100m(*row) for row in HOWTO100M),
    )
}
"""The entries by name. No digest of Meta's files is known; the hub checks its own downloads."""


def entry(name: str) -> Entry:
    """The entry of that name. Raises WeightsError with the closest names."""
    if name in CATALOG:
        return CATALOG[name]
    close = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(close)}? " if close else ""
    raise WeightsError(
        f"{name}: no such file and no model of that name", hint=f"{known}vidattn models list"
    )

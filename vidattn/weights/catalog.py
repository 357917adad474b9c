"""Every published model: location, license and score.

A plain name stands for the copy with the freest license, then for the one on the Hugging Face hub.
Other copies of the same model carry their origin at the end of the name: see `SUFFIXES`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from vidattn.errors import WeightsError

MEGABYTES = {
    "divided": 487, "joint": 344, "space": 344, "stam": 477, "i3d-r50": 112,
    "slowfast-r50-4x16": 138, "slowfast-r50-8x8": 139,
    "slowfast-r101-8x8": 252, "slowfast-r101-16x8": 216,
    "x3d-xs": 15, "x3d-s": 15, "x3d-m": 15, "x3d-l": 25, "tsm-r50": 98, "tsm-r50-nl": 127,
}  # fmt: skip
"""The size of the weights of each shape in float32; a published file may hold more."""


@dataclass(frozen=True)
class WeightsSource:
    """A place that has the weights of a model."""

    location: str
    """A URL, or a Hugging Face hub id (owner/name)."""
    sha256: str = ""
    """The digest of the file, or its first digits, if published."""
    note: str = ""
    """What is to be known of weights from there."""

    @property
    def is_url(self) -> bool:
        """Whether `location` is a URL."""
        return self.location.startswith(("https://", "http://"))


@dataclass(frozen=True)
class CatalogEntry:
    """A model that can be loaded by name."""

    name: str
    sources: tuple[WeightsSource, ...]
    """All places with the weights, in the order in which they are tried; none: bundled."""
    frames: int
    """Frames per clip."""
    dataset: str
    """The training data: a name in `vidattn.config.labels.COUNTS`, "howto100m" or "motion"."""
    license: str
    frame_interval: int = 0
    """Frame step at 30 fps; 0: spread over the whole video, or as given in the file."""
    size: int = 224
    """Side in pixels of the crop that `views` were scored with."""
    attention: str = "divided"
    """The scheme of a TimeSformer, "stam", or a name in `vidattn.models.classifier.VARIANTS`."""
    top1: float | None = None
    """Published accuracy in percent, for `views`."""
    top5: float | None = None
    views: str = "3x1"
    channels: str = "rgb"
    note: str = ""

    @property
    def is_bundled(self) -> bool:
        """Whether the weights ship with the package."""
        return not self.sources

    @property
    def location(self) -> str:
        """The first place with the weights, or the name of the bundled file."""
        return f"{self.name}.safetensors" if self.is_bundled else self.sources[0].location

    @property
    def megabytes(self) -> int:
        """The size of the weights, about."""
        return 1 if self.is_bundled else MEGABYTES[self.attention]

    @property
    def expect(self) -> str:
        """The published score, such as "k400 top-1 77.69, top-5 93.45 (views 3x1)"."""
        if self.top1 is None:
            return ""
        top5 = "" if self.top5 is None else f", top-5 {self.top5:g}"
        return f"{self.dataset} top-1 {self.top1:g}{top5} (views {self.views})"


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
MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/recognition/"

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
ALPHABETICAL = "class names are assumed to be in alphabetical order: the file has none"
PYTORCHVIDEO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/"
VIDEO, X3D = f"{PYTORCHVIDEO}kinetics/", "https://dl.fbaipublicfiles.com/pyslowfast/x3d_models/"
TSM_ZOOS = (
    "https://hanlab18.mit.edu/projects/tsm/models/TSM_",
    "https://file.lzhu.me/projects/tsm/models/TSM_",
    "https://hanlab.mit.edu/projects/tsm/models/TSM_",
)
"""All of the authors, whose READMEs of different times name them for the same files."""
R101 = "slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb"
R101_URL = f"{MMACTION2}slowfast/{R101}/{R101}_20220818-9c0e09bd.pth"

# Scores of PyTorchVideo's files are its own; those of PySlowFast's and TSM's are in their zoos.
# name, variant, file, frames, step at 30 fps, crop of the test, top-1
R101_DEEP = "SLOWFAST_16x8_R101_50_50"
KINETICS = (
    ("i3d-k400", "i3d-r50", "I3D_8x8_R50", 8, 8, 256, 73.27),
    ("slowfast-4x16-k400", "slowfast-r50-4x16", "SLOWFAST_4x16_R50", 32, 2, 256, 75.34),
    ("slowfast-k400", "slowfast-r50-8x8", "SLOWFAST_8x8_R50", 32, 2, 256, 76.94),
    ("slowfast-r101-k400", "slowfast-r101-8x8", "SLOWFAST_8x8_R101", 32, 2, 256, 77.90),
    ("slowfast-r101-16x8-k400", "slowfast-r101-16x8", R101_DEEP, 64, 2, 256, 78.70),
    ("x3d-xs-k400", "x3d-xs", "X3D_XS", 4, 12, 182, 69.12),
    ("x3d-s-k400", "x3d-s", "X3D_S", 13, 6, 182, 73.33),
    ("x3d-m-k400", "x3d-m", "X3D_M", 16, 5, 256, 75.94),
    ("x3d-l-k400", "x3d-l", "X3D_L", 16, 5, 356, 77.44),
    ("x3d-xs-k400-fair", "x3d-xs", "x3d_xs", 4, 12, 182, 69.5),
    ("x3d-s-k400-fair", "x3d-s", "x3d_s", 13, 6, 182, 73.5),
    ("x3d-m-k400-fair", "x3d-m", "x3d_m", 16, 5, 256, 76.2),
    ("x3d-l-k400-fair", "x3d-l", "x3d_l", 16, 5, 356, 77.5),
)
# name, variant, dataset, file, frames, step (0: spread over the video), crop, views, top-1
SHIFT = (
    ("tsm-k400", "tsm-r50", "k400", "segment8_e50", 8, 0, 224, "1x1", 71.2),
    ("tsm-16-k400", "tsm-r50", "k400", "segment16_e50", 16, 0, 224, "1x1", 72.6),
    ("tsm-dense-k400", "tsm-r50", "k400", "segment8_e100_dense", 8, 8, 256, "3x10", 74.1),
    ("tsm-nl-k400", "tsm-r50-nl", "k400", "segment8_e100_dense_nl", 8, 8, 256, "3x10", 75.6),
    ("tsm-ssv2", "tsm-r50", "ssv2", "segment8_e45", 8, 0, 256, "3x2", 61.2),
    ("tsm-16-ssv2", "tsm-r50", "ssv2", "segment16_e45", 16, 0, 256, "3x2", 63.1),
)
SHIFT_DATA = {"k400": "kinetics", "ssv2": "somethingv2"}


def _make_mmaction2(name: str, variant: str, digits: str, top1: float, top5: float) -> CatalogEntry:
    stem = f"timesformer_{variant}_8xb8-8x32x1-15e_kinetics400-rgb"
    url = f"{MMACTION2}timesformer/{stem}/{stem}_20220815-{digits}.pth"
    return CatalogEntry(
        name=name,
        sources=(WeightsSource(url, digits),),
        frames=8,
        dataset="k400",
        license="Apache-2.0",
        frame_interval=32,
        attention={"divST": "divided", "jointST": "joint", "spaceOnly": "space"}[variant],
        top1=top1,
        top5=top5,
    )


def _make_official(row: tuple[str, str, str, int, float, float | None, str]) -> CatalogEntry:
    """An entry for a file of the official zoo."""
    model, dataset, clip, size, top1, top5, key = row
    frames, _, rate = clip.partition("x")
    tiled = dataset == "howto100m"
    url = f"{ZOO}{key}/TimeSformer_divST_{clip}_{size}_{NAMED[dataset]}.pyth?dl=1"
    return CatalogEntry(
        name=f"timesformer-{dataset}-{frames}" if tiled else f"{VARIANT[model]}-{dataset}-meta",
        sources=(WeightsSource(url),),
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
    name = f"{name}-hf" if name == DEFAULT else name
    return replace(official, name=name, sources=tuple(places))


def _make_stam(frames: int, top1: float | None, first: bool = False) -> CatalogEntry:
    return CatalogEntry(
        name=f"stam-{frames}-k400" + "-v1" * first,
        sources=(WeightsSource(f"{STAM_ZOO}{'' if first else 'v2/'}stam_{frames}.pth"),),
        frames=frames,
        dataset="k400",
        license="Apache-2.0",
        attention="stam",
        top1=top1,
        views="1x1",
        note=LONG_ENOUGH if top1 else "no score was published",
    )


def _make_kinetics(
    name: str, variant: str, file: str, frames: int, step: int, size: int, top1: float
) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        sources=(WeightsSource(f"{X3D if name.endswith('-fair') else VIDEO}{file}.pyth"),),
        frames=frames,
        dataset="k400",
        license="Apache-2.0",
        frame_interval=step,
        size=size,
        attention=variant,
        top1=top1,
        views="3x10",
        note=ALPHABETICAL,
    )


def _make_shift(row: tuple[str, str, str, str, int, int, int, str, float]) -> CatalogEntry:
    name, variant, dataset, file, frames, step, size, views, top1 = row
    path = f"{SHIFT_DATA[dataset]}_RGB_resnet50_shift8_blockres_avg_{file}.pth"
    return CatalogEntry(
        name=name,
        sources=tuple(WeightsSource(zoo + path) for zoo in TSM_ZOOS),
        frames=frames,
        dataset=dataset,
        license="MIT",
        frame_interval=step,
        size=size,
        attention=variant,
        top1=top1,
        views=views,
        note=ALPHABETICAL if dataset == "k400" else "",
    )


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(BUNDLED, (), 8, "motion", "Apache-2.0", size=48),
        _make_mmaction2(DEFAULT, "divST", "a4d0d01f", 77.69, 93.45),
        _make_mmaction2("timesformer-joint-k400", "jointST", "8022d1c0", 76.95, 93.28),
        _make_mmaction2("timesformer-space-k400", "spaceOnly", "78f05367", 76.93, 92.88),
        *(_make_hub(row) for row in OFFICIAL if row[0] != "howto"),
        *(_make_official(row) for row in OFFICIAL),
        *(_make_stam(frames, top1) for frames, top1 in STAM),
        *(_make_stam(frames, top1, True) for frames, top1 in STAM_FIRST),
        *(_make_kinetics(*row) for row in KINETICS),
        *(_make_shift(row) for row in SHIFT),
        CatalogEntry(
            name="slowfast-ssv2",
            sources=(WeightsSource(f"{PYTORCHVIDEO}ssv2/SLOWFAST_8x8_R50.pyth"),),
            frames=32,
            dataset="ssv2",
            license="Apache-2.0",
            size=256,
            attention="slowfast-r50-8x8",
            top1=61.68,
            top5=86.92,
        ),
        replace(
            _make_kinetics(
                "slowfast-r101-k400-mmaction2", "slowfast-r101-8x8", "", 32, 2, 256, 78.65
            ),
            sources=(WeightsSource(R101_URL, "9c0e09bd"),),
        ),
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

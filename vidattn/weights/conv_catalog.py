"""Published convolutional networks: location, license and score.

Scores of PyTorchVideo's files are its own; those of PySlowFast's and TSM's are in their model zoos.
"""

from __future__ import annotations

from dataclasses import replace

from vidattn.weights.catalog_entry import CatalogEntry, WeightsSource

ORDER = "class names are assumed to be in alphabetical order: the file has none"
VIDEO_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/"
X3D_ZOO = "https://dl.fbaipublicfiles.com/pyslowfast/x3d_models/"
TSM_ZOO = "https://hanlab18.mit.edu/projects/tsm/models/TSM_"
TSM_MIRRORS = (
    "https://file.lzhu.me/projects/tsm/models/TSM_",
    "https://hanlab.mit.edu/projects/tsm/models/TSM_",
)
"""Other hosts of the authors, which READMEs of other times name for the same files."""
MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/recognition/slowfast/"
ALL_VIEWS = "3x10"

R101_DEEP = "SLOWFAST_16x8_R101_50_50"
# name, variant, file, frames, step at 30 fps, crop of the test, top-1
VIDEO = (
    ("i3d-k400", "i3d-r50", "I3D_8x8_R50", 8, 8, 256, 73.27),
    ("slowfast-4x16-k400", "slowfast-r50-4x16", "SLOWFAST_4x16_R50", 32, 2, 256, 75.34),
    ("slowfast-k400", "slowfast-r50-8x8", "SLOWFAST_8x8_R50", 32, 2, 256, 76.94),
    ("slowfast-r101-k400", "slowfast-r101-8x8", "SLOWFAST_8x8_R101", 32, 2, 256, 77.90),
    ("slowfast-r101-16x8-k400", "slowfast-r101-16x8", R101_DEEP, 64, 2, 256, 78.70),
    ("x3d-xs-k400", "x3d-xs", "X3D_XS", 4, 12, 182, 69.12),
    ("x3d-s-k400", "x3d-s", "X3D_S", 13, 6, 182, 73.33),
    ("x3d-m-k400", "x3d-m", "X3D_M", 16, 5, 256, 75.94),
    ("x3d-l-k400", "x3d-l", "X3D_L", 16, 5, 356, 77.44),
)
X3D = (
    ("xs", (4, 12, 182), 69.5),
    ("s", (13, 6, 182), 73.5),
    ("m", (16, 5, 256), 76.2),
    ("l", (16, 5, 356), 77.5),
)
# name, variant, dataset, file, frames, step (0: spread over the video), crop, views, top-1
SHIFT = (
    ("tsm-k400", "tsm-r50", "k400", "segment8_e50", 8, 0, 224, "1x1", 71.2),
    ("tsm-16-k400", "tsm-r50", "k400", "segment16_e50", 16, 0, 224, "1x1", 72.6),
    ("tsm-dense-k400", "tsm-r50", "k400", "segment8_e100_dense", 8, 8, 256, ALL_VIEWS, 74.1),
    ("tsm-nl-k400", "tsm-r50-nl", "k400", "segment8_e100_dense_nl", 8, 8, 256, ALL_VIEWS, 75.6),
    ("tsm-ssv2", "tsm-r50", "ssv2", "segment8_e45", 8, 0, 256, "3x2", 61.2),
    ("tsm-16-ssv2", "tsm-r50", "ssv2", "segment16_e45", 16, 0, 256, "3x2", 63.1),
)
SHIFT_DATA = {"k400": "kinetics", "ssv2": "somethingv2"}
R101 = "slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb"


SSV2 = CatalogEntry(
    name="slowfast-ssv2",
    location=f"{VIDEO_ZOO}ssv2/SLOWFAST_8x8_R50.pyth",
    frames=32,
    dataset="ssv2",
    license="Apache-2.0",
    size=256,
    attention="slowfast-r50-8x8",
    top1=61.68,
    top5=86.92,
)


def list_networks() -> list[CatalogEntry]:
    """The entries of all files that can be downloaded."""
    video = [
        _make_kinetics(
            name, variant, f"{VIDEO_ZOO}kinetics/{file}.pyth", (frames, step, size), top1
        )
        for name, variant, file, frames, step, size, top1 in VIDEO
    ]
    fair = [
        _make_kinetics(
            f"x3d-{size}-k400-fair", f"x3d-{size}", f"{X3D_ZOO}x3d_{size}.pyth", clip, top1
        )
        for size, clip, top1 in X3D
    ]
    url = f"{MMACTION2}{R101}/{R101}_20220818-9c0e09bd.pth"
    mmaction2 = _make_kinetics(
        "slowfast-r101-k400-mmaction2", "slowfast-r101-8x8", url, (32, 2, 256), 78.65
    )
    shift = [_make_shift(row) for row in SHIFT]
    return [*video, *fair, *shift, SSV2, replace(mmaction2, sha256="9c0e09bd")]


def _make_kinetics(
    name: str, variant: str, location: str, clip: tuple[int, int, int], top1: float
) -> CatalogEntry:
    """clip: frames, their step at 30 fps, and the crop of the test."""
    frames, step, size = clip
    return CatalogEntry(
        name=name,
        location=location,
        frames=frames,
        dataset="k400",
        license="Apache-2.0",
        frame_interval=step,
        size=size,
        attention=variant,
        top1=top1,
        views=ALL_VIEWS,
        note=ORDER,
    )


def _make_shift(row: tuple[str, str, str, str, int, int, int, str, float]) -> CatalogEntry:
    name, variant, dataset, file, frames, step, size, views, top1 = row
    path = f"{SHIFT_DATA[dataset]}_RGB_resnet50_shift8_blockres_avg_{file}.pth"
    return CatalogEntry(
        name=name,
        location=TSM_ZOO + path,
        mirrors=tuple(WeightsSource(zoo + path) for zoo in TSM_MIRRORS),
        frames=frames,
        dataset=dataset,
        license="MIT",
        frame_interval=step,
        size=size,
        attention=variant,
        top1=top1,
        views=views,
        note=ORDER if dataset == "k400" else "",
    )

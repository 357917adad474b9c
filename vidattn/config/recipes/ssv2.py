"""TimeSformer on Something-Something V2: one frame of each of 8, 16 or 64 bins of a video.

Source: official code, configs/SSv2/TimeSformer_divST_*.yaml. Left and right are classes of their
own, so no clip is mirrored; the inverse of the short side is uniform. Frames are BGR, as the
official code reads them: its switch to RGB has no effect on this model. Top-1 is that of the paper
from ImageNet-21k (Table 3), and that of the official model zoo; 3x1 views. From ImageNet-1k
(`--init deit-b16-in1k`) the paper has 59.5, 62.2 and 62.4.

    vidattn train --dataset ssv2 --data-root /data/ssv2
    vidattn train --dataset ssv2 -m timesformer-hr-ssv2
"""

from dataclasses import replace

from vidattn.config.recipes.kinetics import DIVIDED
from vidattn.config.schema import ClipConfig, Expected, Recipe

SECONDS = 4
"""About the mean length of a video, over which all frames of a clip are spread."""

BASE = replace(
    DIVIDED,
    name="timesformer-ssv2",
    source="official code, TimeSformer_divST_8_224.yaml",
    expect=Expected(59.5, zoo_top1=59.1),
    model=replace(DIVIDED.model, classes=174),
    clip=ClipConfig(
        frames=8,
        step_seconds=SECONDS / 8,
        channels="bgr",
        train_sampling="bins",
        sampling="uniform",
    ),
    data=replace(
        DIVIDED.data, dataset="ssv2", workers=4, flip=False, short_side_sampling="inverse"
    ),
)

HIGH_RESOLUTION = replace(
    BASE,
    name="timesformer-hr-ssv2",
    source="official code, TimeSformer_divST_16_448.yaml",
    expect=Expected(62.5, zoo_top1=61.8),
    model=replace(BASE.model, frames=16, size=448),
    clip=replace(BASE.clip, frames=16, step_seconds=SECONDS / 16, short_side=448, crop=448),
    data=replace(BASE.data, short_side_range=(448, 512)),
)

LONG = replace(
    BASE,
    name="timesformer-l-ssv2",
    source="official code, TimeSformer_divST_64_224.yaml",
    expect=Expected(62.3, zoo_top1=62.0),
    model=replace(BASE.model, frames=64),
    clip=replace(BASE.clip, frames=64, step_seconds=SECONDS / 64),
)

RECIPES: tuple[Recipe, ...] = (BASE, HIGH_RESOLUTION, LONG)

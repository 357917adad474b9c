"""Convolutional networks, as their authors trained them, and small ones beside `small`.

Sources: PySlowFast's configs/Kinetics and configs/SSv2 (I3D arXiv:1711.07971, SlowFast 1812.03982,
X3D 2004.04730), and the scripts of TSM (1811.08383). The statistics of batch norm are those of
training; PySlowFast estimates them anew before each test, and warms up from 0.01 instead of 0. TSM
trains its head with five times the rate, and without Nesterov's momentum. The scores are those of
the papers or of the authors' model zoos.

    vidattn train --dataset k400 -m slowfast-k400
    vidattn train --dataset ./my_clips -m small-x3d
"""

from dataclasses import replace

from vidattn.config.models import Conv2dConfig, Conv3dConfig, ModelConfig
from vidattn.config.recipes.small import SMALL
from vidattn.config.schema import ClipConfig, DataConfig, Expected, OptimConfig, Recipe, ViewConfig

TEN_CLIPS = ViewConfig(spatial=3, clips=10)
FROM_SCRATCH = OptimConfig(
    lr=0.1, batch_size=64, epochs=196, schedule="cosine", warmup_epochs=34, evaluate_every=10
)
KINETICS = DataConfig(dataset="k400", workers=8, flip=True, short_side_range=(256, 320))

SLOWFAST = Recipe(
    name="slowfast-k400",
    source="PySlowFast, SLOWFAST_8x8_R50.yaml",
    expect=Expected(77.0),
    model=Conv3dConfig("slowfast"),
    clip=ClipConfig(frames=32, step_seconds=2 / 30, short_side=256, crop=224),
    optim=FROM_SCRATCH,
    data=KINETICS,
    views=TEN_CLIPS,
    averaging="probability",
)
SLOWFAST_4X16 = replace(
    SLOWFAST,
    name="slowfast-4x16-k400",
    source="PySlowFast, SLOWFAST_4x16_R50.yaml",
    expect=Expected(75.6),
    model=Conv3dConfig("slowfast", slow_step=8, lateral_kernel=5),
)
I3D = replace(
    SLOWFAST,
    name="i3d-k400",
    source="PySlowFast, I3D_8x8_R50.yaml",
    expect=Expected(73.5),
    model=Conv3dConfig("i3d", frames=8),
    clip=replace(SLOWFAST.clip, frames=8, step_seconds=8 / 30),
)
X3D_M = replace(
    SLOWFAST,
    name="x3d-m-k400",
    source="PySlowFast, X3D_M.yaml",
    expect=Expected(76.2),
    model=Conv3dConfig("x3d", frames=16, stem=24, widths=(24, 48, 96, 192), blocks=(3, 5, 11, 7)),
    clip=replace(SLOWFAST.clip, frames=16, step_seconds=5 / 30),
    optim=replace(FROM_SCRATCH, batch_size=128, epochs=300, warmup_epochs=35, weight_decay=5e-5),
)
TSM = Recipe(
    name="tsm-dense-k400",
    source="TSM, kinetics RGB resnet50 8 frames dense",
    expect=Expected(74.1),
    model=Conv2dConfig("tsm"),
    clip=ClipConfig(
        frames=8,
        step_seconds=8 / 30,
        short_side=256,
        crop=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    optim=OptimConfig(
        lr=0.02, batch_size=128, epochs=100, milestones=(40, 80), clip_norm=20, evaluate_every=5
    ),
    data=KINETICS,
    views=TEN_CLIPS,
)
TSM_SSV2 = replace(
    TSM,
    name="tsm-ssv2",
    source="TSM, something RGB resnet50 8 frames",
    expect=Expected(61.2),
    model=Conv2dConfig("tsm", classes=174),
    clip=replace(TSM.clip, step_seconds=0.5, train_sampling="bins"),
    optim=replace(
        TSM.optim, lr=0.01, batch_size=64, epochs=50, milestones=(20, 40), weight_decay=5e-4
    ),
    data=replace(KINETICS, dataset="ssv2", flip=False),
    views=ViewConfig(spatial=3, clips=2),
)

SMALL_NETS: dict[str, ModelConfig] = {
    "i3d": Conv3dConfig("i3d", 10, 8, 48, stem=16, widths=(12, 24, 40, 64), blocks=(1, 2, 2, 1)),
    "slowfast": Conv3dConfig(
        "slowfast", 10, 8, 48, stem=16, widths=(8, 24, 40, 56), blocks=(1, 2, 2, 1), slow_step=2
    ),
    "x3d": Conv3dConfig("x3d", 10, 8, 48, stem=16, widths=(16, 24, 32, 40), blocks=(1, 2, 3, 2)),
    "tsm": Conv2dConfig("tsm", 10, 8, 48, width=10, blocks=(1, 2, 2, 1)),
}
"""Shapes of about as many parameters as `small`, for the same clips."""

RECIPES = (
    *(SLOWFAST, SLOWFAST_4X16, I3D, X3D_M, TSM, TSM_SSV2),
    *(replace(SMALL, name=f"small-{name}", model=net) for name, net in SMALL_NETS.items()),
)

"""A small model for a folder of short clips, trained on one computer.

It has the shape of motion-tiny and starts from its weights: from nothing, two dozen clips are
learned by heart, and motion is not seen in others. It learns windows of one length inside each
clip, chosen from the durations of the clips: those that `segment` will show it.

Training takes about 1,200 steps for any dataset: from nothing it stays at chance level for the
first 150 to 400. Axial attention needs half the learning rate. Measurements:
examples/benchmarks/README.md.

`small-stam` is a STAM of that shape: frames meet only above its blocks, so that overlapping windows
share nearly all of the work. `small-backbone` puts its transformer over time on an image model of
timm, which stays as it is: a ResNet-18 of ImageNet, or another that `model.backbone` and `--init`
name.

    vidattn train --dataset ./my_clips
    vidattn train --dataset ./my_clips -m small-stam
    vidattn train --dataset ./my_clips -m small-backbone
"""

from dataclasses import replace

from vidattn.config.models import BackboneStamConfig, StamConfig
from vidattn.config.recipes.motion import MOTION_TINY
from vidattn.config.schema import ClipConfig, DataConfig, Recipe, ViewConfig

SMALL = Recipe(
    name="small",
    source="ours",
    model=MOTION_TINY.model,
    clip=replace(MOTION_TINY.clip, step_seconds=0.0),
    optim=replace(
        MOTION_TINY.optim, lr=1e-3, batch_size=16, epochs=20, warmup_epochs=1.5, flow_weight=0.0
    ),
    data=DataConfig(
        dataset="",
        clips_per_epoch=960,
        workers=1,
        flip=False,
        short_side_range=(48, 52),
        cache_mb=1024,
    ),
    views=ViewConfig(spatial=1, clips=12),
    init_scheme="scratch",
    init=MOTION_TINY.name,
)

SMALL_STAM = replace(
    SMALL,
    name="small-stam",
    init="",
    model=StamConfig(
        classes=10,
        frames=8,
        size=48,
        patch=12,
        width=64,
        depth=4,
        heads=4,
        mlp_ratio=2.0,
        time_depth=2,
        time_heads=4,
        time_hidden=128,
    ),
)

SMALL_BACKBONE = replace(
    SMALL,
    name="small-backbone",
    source="ours",
    model=BackboneStamConfig("resnet18", classes=10, frames=8, size=112),
    clip=ClipConfig(
        frames=8,
        step_seconds=0.0,
        short_side=128,
        crop=112,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    optim=replace(SMALL.optim, trainable="temporal"),
    data=replace(SMALL.data, short_side_range=(112, 128)),
    init_scheme="paper",
    init="timm/resnet18.a1_in1k",
)

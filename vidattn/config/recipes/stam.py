"""STAM on Kinetics-400: 16, 32 or 64 frames spread over the whole video.

Its training code was never released. What the authors said of it: AdamW, learning rate 1e-5 for
batches of 64 (2.5e-6 for 16 with 64 frames), weight decay 1e-3, cosine over 100 epochs, 10 of them
warm-up, a running mean of the weights (official repository, issue 9); spatial part from a ViT-B/16
of ImageNet-21k, transformer over time from random values (its README); pixels from 0 to 1, one
crop of one clip (official code). Ours: the decay of that mean, the short side and flip. The
published scores are of models that also learned from an unnamed teacher, which is not part of
this, and on validation videos of 10 seconds.

    vidattn train --dataset k400 -m stam-16-k400
"""

from dataclasses import replace

from vidattn.config.models import StamConfig
from vidattn.config.schema import ClipConfig, DataConfig, OptimConfig, Recipe, ViewConfig

SOURCE = "official repository, issue 9 (code never released); with a teacher top-1 "


def clips(frames: int) -> ClipConfig:
    """One frame of each of `frames` bins of a video."""
    return ClipConfig(
        frames=frames,
        step_seconds=10 / frames,
        short_side=256,
        crop=224,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        train_sampling="bins",
    )


STAM_16 = Recipe(
    name="stam-16-k400",
    source=SOURCE + "79.3",
    model=StamConfig(frames=16),
    clip=clips(16),
    optim=OptimConfig(
        kind="adamw",
        lr=1e-5,
        batch_size=64,
        epochs=100,
        weight_decay=1e-3,
        betas=(0.9, 0.999),
        schedule="cosine",
        warmup_epochs=10,
        ema=0.9999,
    ),
    data=DataConfig(dataset="k400", workers=8, flip=True, short_side_range=(256, 320)),
    views=ViewConfig(spatial=1, clips=1),
    init="vit-b16-miil-in21k",
)

STAM_32 = replace(
    STAM_16,
    name="stam-32-k400",
    source=SOURCE + "79.95",
    model=StamConfig(frames=32),
    clip=clips(32),
)

STAM_64 = replace(
    STAM_16,
    name="stam-64-k400",
    source=SOURCE + "80.5",
    model=StamConfig(frames=64),
    clip=clips(64),
    optim=replace(STAM_16.optim, lr=2.5e-6, batch_size=16),
)

RECIPES = (STAM_16, STAM_32, STAM_64)

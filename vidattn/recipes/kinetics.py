"""TimeSformer on Kinetics-400: divided attention, 8x32, 16x16 at 448 pixels, and 96x4.

Source: arXiv:2102.05095, Sec. 4 and official code, configs/Kinetics/TimeSformer_*.yaml; scores from
the paper (Table 5). All start from ViT-B/16 image weights (`--init`); from random values they
converge slowly or not at all.

    vidattn train --dataset k400 --data-root /data/k400 --init vit-b16-in21k
"""

from dataclasses import replace

from vidattn.config import (
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    TimeSformerConfig,
    ViewConfig,
)

DIVIDED = Recipe(
    name="timesformer-k400",
    source="official code, TimeSformer_divST_8x32_224.yaml; paper: 78.0 top-1",
    model=TimeSformerConfig(),
    clip=ClipConfig(frames=8, step_seconds=32 / 30, short_side=224, crop=224),
    optim=OptimConfig(
        kind="sgd",
        lr=0.005,
        batch_size=64,
        epochs=15,
        weight_decay=1e-4,
        momentum=0.9,
        schedule="steps",
        milestones=(11, 14),
    ),
    data=DataConfig(dataset="k400", workers=8),
    views=ViewConfig(spatial=3, clips=1),
)

HIGH_RESOLUTION = replace(
    DIVIDED,
    name="timesformer-hr-k400",
    source="official code, TimeSformer_divST_16x16_448.yaml; paper: 79.7 top-1",
    model=TimeSformerConfig(frames=16, size=448),
    clip=ClipConfig(frames=16, step_seconds=16 / 30, short_side=448, crop=448),
    data=replace(DIVIDED.data, jitter=(448, 512)),
)

LONG = replace(
    DIVIDED,
    name="timesformer-l-k400",
    source="official code, TimeSformer_divST_96x4_224.yaml; paper: 80.7 top-1",
    model=TimeSformerConfig(frames=96),
    clip=ClipConfig(frames=96, step_seconds=4 / 30, short_side=224, crop=224),
)

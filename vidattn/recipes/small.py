"""Clips of your own, on a computer of your own: a small TimeSformer for a folder of short clips.

The shape is that of motion-tiny, so that training can start from it; frames are drawn from the
whole of each clip, since its label speaks of all of it.

However small the set, training takes about 1,200 steps: from nothing it stays at chance level for
the first 150 to 400. Axial attention learns at half the rate only. What was tried and measured:
examples/benchmarks/README.md.

    vidattn train --dataset ./my_clips --init motion-tiny
"""

from dataclasses import replace

from vidattn.config import DataConfig, OptimConfig, Recipe
from vidattn.recipes.motion import MOTION_TINY

SMALL = Recipe(
    name="small",
    source="ours",
    model=MOTION_TINY.model,
    clip=replace(MOTION_TINY.clip, drawn="bins", sampling="uniform"),
    optim=OptimConfig(
        kind="adamw",
        lr=1e-3,
        batch_size=16,
        epochs=20,
        weight_decay=0.03,
        schedule="cosine",
        warmup_epochs=1.5,
        clip_norm=1.0,
    ),
    data=DataConfig(dataset="", clips_per_epoch=960, workers=1, jitter=(48, 52), keep_mb=1024),
    start="scratch",
)

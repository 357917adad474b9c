"""Clips of your own, on a computer of your own: a small TimeSformer for a folder of short clips.

The shape is that of motion-tiny, so that training can start from it; frames are drawn from the
whole of each clip, since its label speaks of all of it.

    vidattn train --dataset ./my_clips --init motion-tiny
"""

from dataclasses import replace

from vidattn.config import DataConfig, OptimConfig, Recipe
from vidattn.recipes.motion import MOTION_TINY

SMALL = Recipe(
    name="small",
    source="ours",
    model=replace(MOTION_TINY.model, drop_path=0.1),
    clip=replace(MOTION_TINY.clip, drawn="bins", sampling="uniform"),
    optim=OptimConfig(
        kind="adamw",
        lr=5e-4,
        batch_size=16,
        epochs=60,
        weight_decay=0.03,
        schedule="cosine",
        warmup_epochs=2,
        clip_norm=1.0,
    ),
    data=DataConfig(dataset="", workers=1),
    start="scratch",
)

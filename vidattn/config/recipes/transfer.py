"""UCF101 and HMDB51: small datasets of short clips, from a model of Kinetics.

Source: ours; the authors of TimeSformer did not try these datasets, and we state no score. For few
videos and a trained model: a low learning rate, lower still in the lower layers, smoothed labels.
Frames are drawn from the whole of each video, which is shorter than a clip of Kinetics.

    vidattn train --dataset ucf101 --data-root /data/ucf101
    vidattn train --dataset hmdb51-2 --data-root /data/hmdb51
"""

from dataclasses import replace

from vidattn.config.recipes.kinetics import DIVIDED, retarget
from vidattn.config.schema import ClipConfig, OptimConfig, Recipe, ViewConfig

KINETICS = "timesformer-k400"
OURS = "ours, from a model of Kinetics-400; no score is known"
FINE = OptimConfig(
    kind="adamw",
    lr=1e-4,
    batch_size=64,
    epochs=20,
    weight_decay=0.05,
    betas=(0.9, 0.999),
    schedule="cosine",
    warmup_epochs=2,
    clip_norm=1.0,
    label_smoothing=0.1,
    layer_decay=0.75,
)
HALF = (0.5, 0.5, 0.5)  # mean and deviation of the initial model
WHOLE = replace(
    DIVIDED,
    optim=FINE,
    clip=ClipConfig(frames=8, step_seconds=0.0, mean=HALF, std=HALF, train_sampling="bins"),
    views=ViewConfig(spatial=1, clips=1),
)

RECIPES: tuple[Recipe, ...] = (
    retarget(WHOLE, "ucf101", 101, OURS, init=KINETICS),
    retarget(WHOLE, "hmdb51", 51, OURS, init=KINETICS),
)

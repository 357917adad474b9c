"""One label for a whole film: a small transformer over what a model saw of each of its windows.

The paper's long-video setting (arXiv:2102.05095, Sec. 4.5, Table 8) averages the answers to clips
that tile a video. A head that has learned from the films sees in which order things happen, and
what happens once.

    vidattn segment films/ --embeddings -o seen
    vidattn train --task long --dataset films.csv
"""

from vidattn.config.schema import DataConfig, OptimConfig, Recipe, TemporalConfig, ViewConfig

TEMPORAL_HEAD = Recipe(
    name="temporal-head",
    source="ours",
    temporal_head=TemporalConfig(),
    optim=OptimConfig(
        kind="adamw",
        lr=1e-3,
        batch_size=16,
        epochs=40,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=2,
        clip_norm=1.0,
    ),
    data=DataConfig(dataset="", clips_per_epoch=256),
    views=ViewConfig(1, 1),
)

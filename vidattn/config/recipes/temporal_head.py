"""One label for a whole video: a small transformer over the embeddings of its windows.

The paper's long-video setting (arXiv:2102.05095, Sec. 4.5, Table 8) averages the predictions of
clips that tile a video. A trained head also uses the order of events, and rare ones.

    vidattn segment videos/ --embeddings -o embeddings
    vidattn train --task temporal-head --dataset videos.csv
"""

from vidattn.config.models import TemporalConfig
from vidattn.config.schema import DataConfig, OptimConfig, Recipe, ViewConfig

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

"""TimeSformer on Kinetics: divided attention 8x32, 16x16 at 448 pixels, and 96x4; joint and space.

Source: arXiv:2102.05095, Sec. 4 and official code, configs/Kinetics/TimeSformer_*.yaml. There is
none for Kinetics-600, which the paper trains alike (Table 6), and nothing at all was published for
Kinetics-700. The scores are those of the paper (Tables 1, 5 and 6), top-1 also that of the official
model zoo; 3x1 views. All start from ViT-B/16 weights of ImageNet-21k; from random values they
converge slowly or not at all. The first takes about 55 hours on 8 V100, in fp32.

    vidattn train --dataset k400 --data-root /data/k400
    vidattn train --dataset k400 -m timesformer-hr-k400
    vidattn train --dataset k600 -m timesformer-l-k600
"""

from dataclasses import replace

from vidattn.config.models import TimeSformerConfig
from vidattn.config.schema import ClipConfig, DataConfig, Expected, OptimConfig, Recipe, ViewConfig

DIVIDED = Recipe(
    name="timesformer-k400",
    source="official code, TimeSformer_divST_8x32_224.yaml",
    expect=Expected(78.0, 93.7, zoo_top1=77.9),
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
        evaluate_every=5,
    ),
    data=DataConfig(dataset="k400", workers=8, flip=True, short_side_range=(256, 320)),
    views=ViewConfig(spatial=3, clips=1),
    init="vit-b16-in21k",
)

JOINT = replace(
    DIVIDED,
    name="timesformer-joint-k400",
    source="official code, TimeSformer_jointST_8x32_224.yaml",
    expect=Expected(77.4),
    model=TimeSformerConfig(attention="joint"),
)

SPACE = replace(
    DIVIDED,
    name="timesformer-space-k400",
    source="official code, TimeSformer_spaceOnly_8x32_224.yaml",
    expect=Expected(76.9),
    model=TimeSformerConfig(attention="space"),
)

HIGH_RESOLUTION = replace(
    DIVIDED,
    name="timesformer-hr-k400",
    source="official code, TimeSformer_divST_16x16_448.yaml",
    expect=Expected(79.7, 94.4, zoo_top1=79.6),
    model=TimeSformerConfig(frames=16, size=448),
    clip=ClipConfig(frames=16, step_seconds=16 / 30, short_side=448, crop=448),
    data=replace(DIVIDED.data, short_side_range=(448, 512)),
)

LONG = replace(
    DIVIDED,
    name="timesformer-l-k400",
    source="official code, TimeSformer_divST_96x4_224.yaml",
    expect=Expected(80.7, 94.7, zoo_top1=80.6),
    model=TimeSformerConfig(frames=96),
    clip=ClipConfig(frames=96, step_seconds=4 / 30, short_side=224, crop=224),
)


def retarget(
    recipe: Recipe,
    dataset: str,
    classes: int,
    source: str,
    expect: Expected | None = None,
    init: str = DIVIDED.init,
) -> Recipe:
    """A recipe of Kinetics-400 for another dataset of the same kind."""
    return replace(
        recipe,
        name=recipe.name.replace("k400", dataset),
        source=source,
        expect=expect,
        init=init,
        model=replace(recipe.model, classes=classes),
        data=replace(recipe.data, dataset=dataset),
    )


ALIKE = "arXiv:2102.05095, Table 6, trained as Kinetics-400"
K600 = retarget(DIVIDED, "k600", 600, ALIKE, Expected(79.1, 94.4, zoo_top1=79.1))
K600_HIGH_RESOLUTION = retarget(
    HIGH_RESOLUTION, "k600", 600, ALIKE, Expected(81.8, 95.8, zoo_top1=81.8)
)
K600_LONG = retarget(LONG, "k600", 600, ALIKE, Expected(82.2, 95.6, zoo_top1=82.2))
K700 = retarget(DIVIDED, "k700", 700, "ours, as Kinetics-400; nothing was published")

RECIPES = (
    *(DIVIDED, JOINT, SPACE, HIGH_RESOLUTION, LONG),
    *(K600, K600_HIGH_RESOLUTION, K600_LONG, K700),
)

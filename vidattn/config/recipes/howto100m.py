"""TimeSformer on the tasks of HowTo100M: clips of 8, 32, 64 or 96 frames, one frame in 32.

Source: arXiv:2102.05095, Sec. 4.5 and Table 8; there is no configuration file, but the authors say
that everything but the clips is as on Kinetics (official repository, issue 9). Starts from a model
of Kinetics-400. At test time the clips that tile a video of average length (410 s) are averaged;
three crops of each, as elsewhere: the paper does not state them.

    vidattn train --dataset howto100m --data-root /data/howto100m
    vidattn train --dataset howto100m -m timesformer-howto100m-96
"""

from dataclasses import replace

from vidattn.config.recipes.kinetics import DIVIDED
from vidattn.config.schema import Expected, Recipe, ViewConfig

CLASSES = 1059


def make_recipe(frames: int, clips: int, top1: float) -> Recipe:
    """A row of Table 8. clips: of a video at test time."""
    return replace(
        DIVIDED,
        name=f"timesformer-howto100m-{frames}",
        source="arXiv:2102.05095, Table 8",
        expect=Expected(top1),
        model=replace(DIVIDED.model, classes=CLASSES, frames=frames),
        clip=replace(DIVIDED.clip, frames=frames, sampling="dense"),
        data=replace(DIVIDED.data, dataset="howto100m"),
        views=ViewConfig(spatial=3, clips=clips),
        init="timesformer-k400-meta",
    )


RECIPES: tuple[Recipe, ...] = (
    make_recipe(8, clips=48, top1=56.8),
    make_recipe(32, clips=12, top1=61.2),
    make_recipe(64, clips=6, top1=62.2),
    make_recipe(96, clips=4, top1=62.6),
)

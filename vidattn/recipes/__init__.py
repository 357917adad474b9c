"""What we train and how: values only. `RECIPES` lists them by name."""

from __future__ import annotations

from dataclasses import replace

from vidattn.config import Recipe
from vidattn.errors import RecipeError
from vidattn.recipes.kinetics import DIVIDED, HIGH_RESOLUTION, LONG
from vidattn.recipes.motion import MOTION_TINY
from vidattn.recipes.small import SMALL

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (MOTION_TINY, SMALL, DIVIDED, HIGH_RESOLUTION, LONG)
}

START = {"motion": MOTION_TINY, "k400": DIVIDED, "k600": DIVIDED}


def named(name: str) -> Recipe:
    """The recipe of that name. Raises RecipeError that lists what there is."""
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}", hint="there are: " + ", ".join(RECIPES))
    return RECIPES[name]


def for_dataset(dataset: str) -> Recipe:
    """What training on a data set starts from: its own recipe, or `small` for one of yours."""
    recipe = START.get(dataset, SMALL)
    return replace(recipe, data=replace(recipe.data, dataset=dataset))

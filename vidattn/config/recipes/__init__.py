"""Training recipes; `RECIPES` lists them by name."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from pathlib import Path

from vidattn.config.recipes import conv, diving48, howto100m, kinetics, ssv2, stam, transfer
from vidattn.config.recipes.motion import MOTION_TINY
from vidattn.config.recipes.small import SMALL, SMALL_BACKBONE, SMALL_STAM
from vidattn.config.recipes.temporal_head import TEMPORAL_HEAD
from vidattn.config.schema import Recipe
from vidattn.config.serialization import from_plain
from vidattn.errors import RecipeError

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(MOTION_TINY, SMALL, SMALL_STAM, SMALL_BACKBONE, TEMPORAL_HEAD),
        *kinetics.RECIPES,
        *stam.RECIPES,
        *ssv2.RECIPES,
        *diving48.RECIPES,
        *howto100m.RECIPES,
        *transfer.RECIPES,
        *conv.RECIPES,
    )
}
SPLITS = re.compile(r"(ucf101|hmdb51)-[23]")
"""Names of further splits of the dataset before the dash."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises RecipeError with the closest names."""
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=3)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise RecipeError(f"no recipe {name!r}", hint=f"{meant}vidattn recipe list")
    return RECIPES[name]


def recipe_for(dataset: str) -> Recipe:
    """The default recipe for a dataset: the first for it, or `small` for others."""
    name = _published_name(dataset)
    recipe = next((r for r in RECIPES.values() if r.data.dataset == name), SMALL)
    return fit_to_dataset(recipe, dataset)


def fit_to_dataset(recipe: Recipe, dataset: str) -> Recipe:
    """The recipe for a dataset; for another one than its own, what may destroy a label is off.

    Left and right, colors and small objects may be what tells classes apart: a recipe that mirrors,
    changes colors and shapes or mixes in boxes does so for the dataset on which it was published.
    For a dataset without a recipe windows of one length are learned, see `clip.step_seconds`.
    """
    expect = recipe.expect if dataset == recipe.data.dataset else None
    data, optim = replace(recipe.data, dataset=dataset), recipe.optim
    if _published_name(dataset) != _published_name(recipe.data.dataset):
        data, optim = replace(data, flip=False, randaugment=""), replace(optim, cutmix=0.0)
    clip, known = recipe.clip, {r.data.dataset for r in RECIPES.values()}
    if dataset != recipe.data.dataset and _published_name(dataset) not in known:
        clip = replace(clip, step_seconds=0.0, train_sampling="dense", sampling="dense")
        recipe = replace(recipe, views=SMALL.views)
    return replace(recipe, clip=clip, data=data, optim=optim, expect=expect)


def _published_name(dataset: str) -> str:
    """The dataset of which this is a further split, or itself."""
    split = SPLITS.fullmatch(dataset)
    return split[1] if split else dataset


MOST_BYTES = 1 << 22
"""A longer recipe is cut off, and then not JSON: an endless file must not fill the memory."""


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file. Raises RecipeError that names the file and the bad key or value.

    Every key must be known; a key that is missing has its default. See
    `vidattn.config.serialization`.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
        plain = json.loads(text)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"{path}: not JSON: {error}", hint="vidattn recipe show small prints one that is"
        ) from error
    try:
        return from_plain(Recipe, plain)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.message}", hint=error.hint) from error

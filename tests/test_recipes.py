"""Shipped recipes are values that survive a trip through JSON and fit their models."""

import json

import pytest

from vidattn.config import Recipe, from_plain, to_plain
from vidattn.data.camera import LABELS
from vidattn.errors import RecipeError
from vidattn.recipes import RECIPES, for_dataset, named


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert from_plain(Recipe, json.loads(json.dumps(to_plain(recipe)))) == recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_clips_fit_the_model(recipe: Recipe) -> None:
    assert recipe.clip.frames == recipe.model.frames
    assert recipe.clip.crop == recipe.model.size
    assert recipe.source


def test_a_data_set_has_a_recipe_to_start_from() -> None:
    assert for_dataset("motion").name == "motion-tiny"
    assert for_dataset("motion").model.classes == len(LABELS)
    assert for_dataset("k400") == RECIPES["timesformer-k400"]
    assert for_dataset("./mine").data.dataset == "./mine"


def test_an_unknown_recipe_is_answered_with_what_there_is() -> None:
    with pytest.raises(RecipeError) as caught:
        named("motion-huge")
    assert "motion-tiny" in str(caught.value.hint)


def test_clips_of_ones_own_start_small_and_are_seen_whole() -> None:
    recipe = for_dataset("./mine")
    assert recipe.name == "small"
    assert recipe.clip.drawn == "bins"
    assert recipe.clip.sampling == "uniform"

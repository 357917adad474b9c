"""Recipes: listed, printed, changed, and described by the options of `vidattn train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import Run
from vidattn.cli.commands.train import RecipeOptions
from vidattn.config import Recipe
from vidattn.config.recipes import RECIPES, find_recipe
from vidattn.config.recipes.small import SMALL
from vidattn.config.serialization import from_plain
from vidattn.errors import RecipeError, UsageError, VidattnError


def test_the_list_has_datasets_and_expected_scores(vidattn: Run) -> None:
    done = vidattn("recipe", "list")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows.keys() == RECIPES.keys()
    expected = "expected top-1 78.0 (model zoo: 77.9), top-5 93.7, views 3x1"
    assert rows["timesformer-k400"].endswith(f".yaml; {expected}")
    assert rows["small"].endswith("ours")
    assert "your own" in rows["small"]


def test_show_prints_the_recipe(quick: Run, tmp_path: Path) -> None:
    shown = quick("recipe", "show", "timesformer-hr-ssv2")
    assert from_plain(Recipe, json.loads(shown.stdout)) == RECIPES["timesformer-hr-ssv2"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(shown.stdout)
    again = quick("recipe", "show", run, "--set", "optim.lr=0.5", "--set", "name=mine")
    changed = json.loads(again.stdout)
    assert (changed["optim"]["lr"], changed["name"]) == (0.5, "mine")
    assert quick("recipe", "show", run / "recipe.json").stdout == shown.stdout


def test_the_learning_rate_follows_the_batch_unless_it_is_given() -> None:
    recipe, notes = RecipeOptions("x", batch_size="32").build()
    assert recipe.optim.lr == pytest.approx(2 * SMALL.optim.lr)
    assert "for batches of 32" in notes[0]
    recipe, notes = RecipeOptions("x", batch_size="32", settings=["optim.lr=0.5"]).build()
    assert (recipe.optim.lr, notes) == (0.5, [])


def test_options_change_their_settings() -> None:
    recipe, _ = RecipeOptions("x", frames=4, trainable="head").build()
    assert (recipe.clip.frames, recipe.model.frames, recipe.optim.trainable) == (4, 4, "head")
    assert recipe.optim.epochs == SMALL.optim.epochs


def test_a_recipe_says_where_to_look() -> None:
    recipe, _ = RecipeOptions("x", crop="0,0,9,9", mask=["0,0,9,2", "0%,0%,9%,2%"]).build()
    assert (recipe.clip.area, recipe.clip.mask) == ("0,0,9,9", "0,0,9,2;0%,0%,9%,2%")
    with pytest.raises(UsageError, match="X,Y,W,H"):
        RecipeOptions("x", mask=["1,2"]).build()
    with pytest.raises(VidattnError, match=r"clip.area"):
        RecipeOptions("x", settings=["clip.area=0,0,0,1"]).build()


def test_options_and_settings_are_checked_together() -> None:
    settings = ["optim.accumulate=2", "clip.crop=96", "clip.short_side=96"]
    recipe, _ = RecipeOptions("x", batch_size="2", settings=settings).build()
    assert (recipe.optim.batch_size, recipe.optim.accumulate, recipe.clip.crop) == (2, 2, 96)
    assert recipe.optim.lr == pytest.approx(SMALL.optim.lr / 8)


def test_the_name_of_a_folder_may_end_with_a_slash() -> None:
    assert RecipeOptions("./x/").build() == RecipeOptions("./x").build()


def test_a_score_is_expected_on_the_dataset_of_the_recipe_alone() -> None:
    for dataset, expect in (("k400", find_recipe("timesformer-k400").expect), ("./mine", None)):
        recipe, _ = RecipeOptions(dataset, model="timesformer-k400").build()
        assert (recipe.data.dataset, recipe.expect) == (dataset.removeprefix("./"), expect)


def test_what_may_destroy_a_label_is_off_on_datasets_of_others() -> None:
    for model in (None, "timesformer-k400"):
        assert not RecipeOptions("./mine", model=model).build()[0].data.flip
    assert not RecipeOptions("ssv2", model="timesformer-k400").build()[0].data.flip
    assert RecipeOptions("k400").build()[0].data.flip
    assert RecipeOptions("ucf101-2").build()[0].data.flip
    recipe, _ = RecipeOptions("./mine", settings=["data.flip=true", "optim.cutmix=1"]).build()
    assert (recipe.data.flip, recipe.optim.cutmix) == (True, 1)


def test_contradictions_and_missing_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        RecipeOptions().build()
    with pytest.raises(UsageError, match="both name a recipe"):
        RecipeOptions("x", model="small", recipe=tmp_path / "x.json").build()
    with pytest.raises(RecipeError, match="cannot be read"):
        RecipeOptions("x", recipe=tmp_path / "x.json").build()
    with pytest.raises(UsageError, match="neither a number above 0 nor auto"):
        RecipeOptions("x", batch_size="many").build()

"""Shipped recipes are values that survive a trip through JSON and fit their models."""

import json

import pytest

from vidattn.config import Recipe
from vidattn.data.camera import LABELS
from vidattn.errors import RecipeError
from vidattn.plain import from_plain, to_plain, with_settings
from vidattn.recipes import RECIPES, for_dataset, named
from vidattn.weights import read_header
from vidattn.weights.source import BUNDLED_FOLDER


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


@pytest.mark.parametrize(
    "setting",
    [
        *("optim.lr=-1", "optim.lr=NaN", "optim.lr=Infinity", "optim.lr=1" + "0" * 400),
        *("optim.batch_size=0", "optim.epochs=-1", "optim.weight_decay=-1", "optim.momentum=1"),
        *("optim.milestones=[14,11]", "optim.warmup_epochs=-1", "optim.clip_norm=-0.1"),
        *("optim.accumulate=0", "optim.accumulate=17", "optim.layer_decay=0", "optim.ema=1"),
        *("optim.mixup=-1", "optim.cutmix=NaN", "optim.betas=[0.9,1]", "optim.eps=0"),
        *("data.randaugment=weak", "data.randaugment=rand-m9-tweights", "data.randaugment=rand-"),
        *("optim.label_smoothing=1", "data.clips_per_epoch=-1", "data.val_clips=0"),
        *("data.workers=-1", "data.jitter=[9,8]", "data.jitter=[-1,8]", "data.ramp=2"),
        *("clip.step_seconds=Infinity", "clip.step_seconds=3601", "clip.frames=100001"),
        *("model.mlp_ratio=Infinity", "seed=-1", f"seed={2**63}"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(setting: str) -> None:
    with pytest.raises(RecipeError) as caught:
        with_settings(named("small"), [setting])
    name = setting.partition("=")[0]
    assert caught.value.message.startswith(f"{name} must be ")
    assert caught.value.hint or name.startswith("model.")


def test_a_number_too_long_to_read_is_no_number() -> None:
    with pytest.raises(RecipeError, match="seed: expected a whole number"):
        with_settings(named("small"), ["seed=" + "1" * 5000])


@pytest.mark.parametrize("text", ["", "rand", "rand-m9-n2-mstd0.5", "rand-m7-n4-mstd0.5-inc1-p0.5"])
def test_randaugment_is_written_as_in_timm(text: str) -> None:
    assert with_settings(named("small"), [f"data.randaugment={text}"]).data.randaugment == text


def test_a_recipe_written_before_a_setting_existed_still_loads() -> None:
    plain = to_plain(named("small"))
    del plain["optim"]["ema"], plain["data"]["randaugment"]
    assert from_plain(Recipe, plain) == named("small")
    bundled = read_header(BUNDLED_FOLDER / "motion-tiny.safetensors").recipe
    assert from_plain(Recipe, bundled).name == "motion-tiny"

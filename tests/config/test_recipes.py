"""Shipped recipes are values that survive a trip through JSON and fit their models."""

import importlib
import json
import re
from pathlib import Path

import pytest

from vidattn.config import DataConfig, OptimConfig, Recipe, TemporalConfig
from vidattn.config.labels import COUNTS
from vidattn.config.recipes import RECIPES, find_recipe, read_recipe, recipe_for
from vidattn.config.serialization import apply_settings, from_plain, to_plain
from vidattn.data.motion.camera import LABELS
from vidattn.data.sets import DATASETS
from vidattn.errors import RecipeError, UsageError
from vidattn.weights import key_maps, read_header
from vidattn.weights.catalog import CATALOG
from vidattn.weights.loading import BUNDLED_FOLDER


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert from_plain(Recipe, json.loads(json.dumps(to_plain(recipe)))) == recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_clips_fit_the_model(recipe: Recipe) -> None:
    assert (recipe.clip.frames, recipe.clip.crop) == (recipe.model.frames, recipe.model.size)
    assert recipe.source


def test_a_dataset_has_a_default_recipe() -> None:
    assert recipe_for("motion").name == "motion-tiny"
    assert recipe_for("motion").model.classes == len(LABELS)
    assert recipe_for("k400") == RECIPES["timesformer-k400"]
    assert recipe_for("./mine").data.dataset == "./mine"


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        find_recipe("motion-huge")
    assert caught.value.hint == "did you mean motion-tiny? vidattn recipe list"


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_known_dataset_has_a_recipe_with_its_classes(dataset: str) -> None:
    recipe, name = recipe_for(dataset), dataset.partition("-")[0]
    assert recipe.name != "small"
    assert recipe.data.dataset == dataset
    assert recipe.model.classes == {"howto100m": 1059, **COUNTS}[name]


def test_the_official_settings_are_those_of_the_configuration_files() -> None:
    large = [
        r for r in RECIPES.values() if getattr(r.model, "attention", "") and r.model.width == 768
    ]
    official = [r for r in large if "ours" not in r.source]
    assert len(official) == 18
    for recipe in official:
        optim = recipe.optim
        assert (optim.kind, optim.lr, optim.batch_size, optim.epochs) == ("sgd", 0.005, 64, 15)
        assert (optim.momentum, optim.weight_decay, optim.milestones) == (0.9, 1e-4, (11, 14))
        assert (optim.warmup_epochs, optim.clip_norm, optim.label_smoothing) == (0, 0, 0)
        assert optim.evaluate_every == 5
        assert (recipe.clip.mean, recipe.clip.std) == ((0.45,) * 3, (0.225,) * 3)
        assert recipe.data.short_side_range == (
            (448, 512) if recipe.clip.crop == 448 else (256, 320)
        )
        ssv2 = recipe.data.dataset == "ssv2"
        clip, data = recipe.clip, recipe.data
        shown = (clip.channels, clip.train_sampling, data.flip, data.short_side_sampling)
        assert shown == (
            ("bgr", "bins", False, "inverse") if ssv2 else ("rgb", "dense", True, "uniform")
        )
        assert recipe.expect is not None
        assert recipe.init
    seconds = {r.name: r.clip.span_seconds for r in official}
    assert (
        seconds["timesformer-k400"] == seconds["timesformer-hr-k400"] == pytest.approx(8.533, 1e-3)
    )
    assert seconds["timesformer-l-k400"] == pytest.approx(12.8)
    assert seconds["timesformer-howto100m-96"] == pytest.approx(102.4)


def test_the_scores_to_expect_are_the_published_ones() -> None:
    """arXiv:2102.05095, Tables 1, 3, 5, 6, 7 and 8; the model zoo is also in the catalog."""
    transformers = [r for r in RECIPES.values() if r.model.kind in ("timesformer", "stam")]
    rows = {r.name: r.expect for r in transformers if r.expect and r.name != "motion-tiny"}
    assert len(rows) == 18
    assert {name: e.top1 for name, e in rows.items() if e.top5 is None} == {
        "timesformer-joint-k400": 77.4,
        "timesformer-space-k400": 76.9,
        "timesformer-ssv2": 59.5,
        "timesformer-hr-ssv2": 62.5,
        "timesformer-l-ssv2": 62.3,
        "timesformer-diving48": 74.9,
        "timesformer-hr-diving48": 78.0,
        "timesformer-l-diving48": 81.0,
        "timesformer-howto100m-8": 56.8,
        "timesformer-howto100m-32": 61.2,
        "timesformer-howto100m-64": 62.2,
        "timesformer-howto100m-96": 62.6,
    }
    assert {name: (e.top1, e.top5) for name, e in rows.items() if e.top5 is not None} == {
        "timesformer-k400": (78.0, 93.7),
        "timesformer-hr-k400": (79.7, 94.4),
        "timesformer-l-k400": (80.7, 94.7),
        "timesformer-k600": (79.1, 94.4),
        "timesformer-hr-k600": (81.8, 95.8),
        "timesformer-l-k600": (82.2, 95.6),
    }
    zoo = {name: e.zoo_top1 for name, e in rows.items() if e.zoo_top1 is not None}
    assert (zoo, len(zoo)) == ({name: CATALOG[f"{name}-meta"].top1 for name in zoo}, 9)


def test_stam_learns_as_its_authors_said() -> None:
    for frames, lr, batch_size in ((16, 1e-5, 64), (32, 1e-5, 64), (64, 2.5e-6, 16)):
        recipe = find_recipe(f"stam-{frames}-k400")
        optim = recipe.optim
        assert (recipe.model.frames, optim.lr, optim.batch_size) == (frames, lr, batch_size)
        assert (optim.kind, optim.weight_decay) == ("adamw", 1e-3)
        assert (optim.schedule, optim.epochs, optim.warmup_epochs) == ("cosine", 100, 10)
        assert recipe.clip == key_maps.stam_clip(recipe.model)  # as the published weights have it


@pytest.mark.parametrize("module", ["kinetics", "ssv2", "diving48", "howto100m", "transfer",
                                    "motion", "small", "stam"])  # fmt: skip
def test_the_commands_a_recipe_states_exist(module: str) -> None:
    text = importlib.import_module(f"vidattn.config.recipes.{module}").__doc__ or ""
    commands = re.findall(
        r"^ {4}vidattn train --dataset (\S+)(?: .*?-m (\S+))?", text, re.MULTILINE
    )
    assert commands
    for dataset, name in commands:
        recipe = find_recipe(name) if name else recipe_for(dataset)
        assert recipe.data.dataset in (dataset, "")


def test_a_recipe_file_is_read_as_it_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "optim": {"lr": 0.25, "milestones": [1, 2]}}))
    assert read_recipe(path).optim == OptimConfig(lr=0.25, milestones=(1, 2))
    for recipe in RECIPES.values():
        path.write_text(json.dumps(to_plain(recipe)))
        assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('{"name": "x", "optim": {"larning_rate": 1}}', "optim.larning_rate: no such setting",
         "known: "),
        ('{"name": "x", "optim": {"epoch": 1}}', "optim.epoch: no such setting",
         "did you mean optim.epochs?"),
        ('{"name": "x", "seed": 1.5}', "seed: expected a whole number, got 1.5", ""),
        ('{"name": "x", "optim": {"lr": -1}}', "optim.lr must be > 0 and finite", "the default is"),
        ('{"name": "x", "expect": {"top1": 101}}', "expect.top1 must be from 0 to 100", ""),
        ('{"seed": 1}', "name: missing", ""),
        ("[]", "Recipe: expected an object", ""),
        ("{", "not JSON", "vidattn recipe show small"),
        ("[" * 100_000, "not JSON", ""),
    ],
)  # fmt: skip
def test_a_wrong_recipe_file_is_refused(text: str, message: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert caught.value.message.startswith(f"{path}: {message}")
    assert hint in str(caught.value.hint)


def test_a_recipe_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.json: cannot be read: No such file"):
        read_recipe(tmp_path / "gone.json")


def test_own_clips_train_the_small_recipe_on_windows_chosen_later() -> None:
    recipe = recipe_for("./mine")
    assert (recipe.optim.evaluate_every, recipe.name) == (1, "small")
    assert (recipe.clip.train_sampling, recipe.clip.step_seconds) == ("dense", 0)


@pytest.mark.parametrize(
    "setting",
    [
        *("optim.lr=-1", "optim.lr=NaN", "optim.lr=Infinity", "optim.lr=1" + "0" * 400),
        *("optim.batch_size=0", "optim.epochs=-1", "optim.weight_decay=-1", "optim.momentum=1"),
        *("optim.milestones=[14,11]", "optim.warmup_epochs=-1", "optim.clip_norm=-0.1"),
        *("optim.accumulate=0", "optim.accumulate=17", "optim.layer_decay=0", "optim.ema=1"),
        *(
            "optim.evaluate_every=0",
            "optim.mixup=-1",
            "optim.cutmix=NaN",
            "optim.betas=[0.9,1]",
            "optim.eps=0",
        ),
        *("data.randaugment=weak", "data.randaugment=rand-m9-tweights", "data.randaugment=rand-"),
        *("optim.label_smoothing=1", "data.clips_per_epoch=-1", "data.val_clips=0"),
        *(
            "data.workers=-1",
            "data.short_side_range=[9,8]",
            "data.short_side_range=[-1,8]",
            "data.curriculum=2",
        ),
        *("clip.step_seconds=Infinity", "clip.step_seconds=3601", "clip.frames=100001"),
        *("model.mlp_ratio=Infinity", "seed=-1", f"seed={2**63}"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_settings(find_recipe("small"), [setting])
    name = setting.partition("=")[0]
    assert caught.value.message.startswith(f"{name} must be ")
    assert caught.value.hint or name.startswith("model.")


@pytest.mark.parametrize("crop", [24, 96])  # below and above the 48 of the recipe
def test_settings_are_checked_against_one_another_after_all_are_applied(crop: int) -> None:
    settings = [f"clip.crop={crop}", f"clip.short_side={crop}", "clip.frames=4"]
    one, other = (
        apply_settings(find_recipe("small"), order) for order in (settings, settings[::-1])
    )
    assert one == other
    assert (one.clip.crop, one.clip.short_side, one.clip.frames) == (crop, crop, 4)
    with pytest.raises(UsageError, match=r"clip\.crop 96 exceeds clip\.short_side 48"):
        apply_settings(find_recipe("small"), ["clip.crop=96"])


def test_the_last_setting_of_a_name_counts_also_of_a_whole_section() -> None:
    assert apply_settings(find_recipe("small"), ["seed=1", "seed=2"]).seed == 2
    recipe = apply_settings(find_recipe("small"), ["views.clips=9", 'views={"spatial": 1}'])
    assert (recipe.views.spatial, recipe.views.clips) == (1, 1)
    recipe = apply_settings(find_recipe("small"), ['views={"spatial": 1}', "views.clips=9"])
    assert (recipe.views.spatial, recipe.views.clips) == (1, 9)
    with pytest.raises(UsageError, match="seed has no settings below it"):
        apply_settings(find_recipe("small"), ["seed.x=1"])


def test_a_number_too_long_to_read_is_no_number() -> None:
    with pytest.raises(UsageError, match="seed: expected a whole number"):
        apply_settings(find_recipe("small"), ["seed=" + "1" * 5000])


@pytest.mark.parametrize("text", ["", "rand", "rand-m9-n2-mstd0.5", "rand-m7-n4-mstd0.5-inc1-p0.5"])
def test_randaugment_is_written_as_in_timm(text: str) -> None:
    assert (
        apply_settings(find_recipe("small"), [f"data.randaugment={text}"]).data.randaugment == text
    )


def test_a_recipe_written_before_a_setting_existed_still_loads() -> None:
    plain = to_plain(find_recipe("small"))
    del plain["optim"]["ema"], plain["optim"]["evaluate_every"]
    del plain["data"]["randaugment"], plain["expect"]
    assert from_plain(Recipe, plain) == find_recipe("small")
    bundled = read_header(BUNDLED_FOLDER / "motion-tiny.safetensors").recipe
    assert from_plain(Recipe, bundled).name == "motion-tiny"


def test_a_recipe_with_former_names_of_settings_still_loads() -> None:
    plain = json.loads(FORMER_RECIPE)
    recipe = from_plain(Recipe, plain)
    assert recipe.clip.train_sampling == "bins"
    assert recipe.data == DataConfig(
        "motion", 0, 9, "", 0, 7, True, (3, 4), "inverse", "", 0, 0.2, 0.4
    )
    assert (recipe.optim.activation_checkpointing, recipe.optim.trainable) == (True, "head")
    assert (recipe.init_scheme, recipe.temporal_head) == ("scratch", TemporalConfig(depth=1))
    assert "drawn" not in json.dumps(to_plain(recipe))
    with pytest.raises(RecipeError, match=r"clip\.drawn: no such setting"):
        from_plain(Recipe, plain | {"clip": {"drawn": "bins", "train_sampling": "bins"}})
    with pytest.raises(RecipeError, match=r"data\.cache_mb: expected a whole number"):
        from_plain(Recipe, plain | {"data": {"keep_mb": "much"}})


FORMER_RECIPE = """{
    "name": "long",
    "clip": {"drawn": "bins"},
    "optim": {"checkpoint": true, "tune": "head"},
    "data": {"dataset": "motion", "val_clips": 9, "keep_mb": 7, "jitter": [3, 4],
             "jitter_drawn": "inverse", "easiest": 0.2, "ramp": 0.4, "max_unreadable": 0},
    "start": "scratch",
    "long": {"depth": 1}
}"""

"""Models of other kinds train like TimeSformer: distributed, resumed, initialized."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.together import together
from tests.training import test_fit, test_trainer
from tests.training.test_fit import STAM as TINY
from tests.training.test_trainer import BATCHES, train
from vidattn import weights
from vidattn.config import ClipConfig, Recipe, StamConfig, TaughtConfig, TimeSformerConfig
from vidattn.config.recipes import RECIPES, find_recipe
from vidattn.config.serialization import apply_settings, from_plain, to_plain
from vidattn.errors import RecipeError, UsageError, WeightsError
from vidattn.models.classifier import Classifier
from vidattn.models.layers import RngDropout
from vidattn.models.stam import Stam, TimeLayer
from vidattn.models.taught import TaughtModel
from vidattn.models.timesformer import TimeSformer
from vidattn.training import fit
from vidattn.training.trainer import Trainer, new_state
from vidattn.weights.loading import load, read_training_recipe

changed = partial(test_trainer.changed, TINY)


def test_what_is_dropped_counts() -> None:
    keeping, dropping = new_state(TINY, None), new_state(TINY, None)
    for drop in (m for m in keeping.model.modules() if isinstance(m, RngDropout)):
        drop.rate = 0.0
    trainers = [Trainer(state, TINY, per_epoch=2) for state in (keeping, dropping)]
    losses = [trainer.train_step(BATCHES[0]).loss for trainer in trainers]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_layer_over_time_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = TimeLayer(16, 2, 24)
    theirs = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, 16)
    for drop in (m for m in ours.modules() if isinstance(m, RngDropout)):
        drop.rate = 0.0
    assert_close(ours(x), theirs(x))  # in training mode
    with torch.no_grad():
        assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)


def test_the_motion_of_patches_is_not_learned_by_frames_alone() -> None:
    with pytest.raises(RecipeError, match="a Stam does not follow patches over time") as caught:
        new_state(changed(flow_weight=1.0), None)
    assert caught.value.hint == "--set optim.flow_weight=0"


def test_a_run_resumes_exactly_and_leaves_a_model_that_loads(tmp_path: Path) -> None:
    recipe, whole, parts = changed(ema=0.9), tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    test_fit.run(whole, recipe)
    test_fit.run_until(3, parts, recipe, options=fit.RunOptions(save_every=1))
    test_fit.run(parts, recipe, resume=True)
    for name in ("log.jsonl", "model.safetensors", "checkpoints/00000004.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    classifier = load(whole)
    assert isinstance(classifier.model, Stam)
    assert (classifier.model.config, classifier.clip) == (TINY.model, recipe.clip)
    assert read_training_recipe(whole) == recipe


TOGETHER = """
from pathlib import Path
from vidattn.training import fit
from vidattn.config import Recipe
from vidattn.config.serialization import from_plain

recipe = from_plain(Recipe, json.loads(sys.argv[1]))
strategy = sys.argv[3]
folder = Path(sys.argv[2], strategy)
*_, last = fit.fit(recipe, folder, device="cpu", options=fit.RunOptions(strategy))
print(json.dumps(type(last).__name__))
"""


@pytest.mark.slow
def test_two_processes_learn_the_same_as_one(tmp_path: Path) -> None:
    recipe = changed(kind="sgd", lr=0.05, epochs=1)
    test_fit.run(tmp_path / "one", recipe)
    one = load(tmp_path / "one").model.state_dict()
    words = json.dumps(to_plain(recipe)), tmp_path
    for strategy in ("ddp", "fsdp"):
        events = together(TOGETHER, tmp_path / f"printed-{strategy}", *words, strategy)
        assert events == ["Verdict", "CheckpointSaved"]  # the first process alone judges the run
        assert_close(load(tmp_path / strategy).model.state_dict(), one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "tuned"),
    [
        (test_trainer.changed(trainable="head"), {"head"}),
        (changed(trainable="temporal"), {"over_time", "time", "time_cls", "time_cls_pos", "head"}),
    ],
    ids=("head of TimeSformer", "time of STAM"),
)
def test_only_what_is_tuned_changes(recipe: Recipe, tuned: set[str]) -> None:
    state, _ = train(recipe)
    before = new_state(recipe, None).model.state_dict()
    moved = {k for k, v in state.model.state_dict().items() if not torch.equal(v, before[k])}
    assert {name.partition(".")[0] for name in moved} == tuned


def as_elsewhere(model: Stam) -> Stam:
    """With the eps of timm and TimeSformer, so that only the weights count."""
    for norm in (m for m in model.modules() if isinstance(m, nn.LayerNorm)):
        norm.eps = 1e-6
    return model


LABELS = ("a", "b", "c")
WIDE = StamConfig(classes=3, frames=4, size=64, width=192, depth=2, heads=3, time_depth=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("biased", [True, False])  # the ViT of MIIL has no biases there
@torch.no_grad()
def test_a_frame_has_the_embedding_of_the_vit_of_timm(biased: bool, tmp_path: Path) -> None:
    timm = importlib.import_module("timm")
    torch.manual_seed(0)
    options = {"depth": 2, "img_size": 64, "num_classes": 5, "qkv_bias": biased}
    vit = timm.create_model("vit_tiny_patch16_224", **options).eval()
    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    started = Stam(WIDE).eval()
    assert weights.start_from(started, tmp_path / "vit.pth", LABELS) == (
        "the transformer over time starts from random values",
        "the head starts from random values: the classes differ",
    )
    picture = torch.randn(2, 3, 64, 64)
    expected = vit.forward_features(picture)[:, 0]
    assert_close(as_elsewhere(started).encode_frames(picture), expected)


@pytest.mark.parametrize("attention", ["divided", "joint", "space"])
@torch.no_grad()
def test_a_timesformer_lends_its_spatial_part(attention: str, tmp_path: Path) -> None:
    given = TimeSformer(TimeSformerConfig(attention, 3, 4, 64, width=192, depth=2, heads=3)).eval()
    path = weights.save(Classifier(given, ClipConfig(), LABELS), tmp_path / "w.safetensors")
    started = Stam(WIDE).eval()
    notes = weights.start_from(started, path, LABELS)
    assert notes == ("the transformer over time starts from random values",)
    assert torch.equal(started.head.weight, given.head.weight)
    if attention == "space":
        picture = torch.randn(2, 3, 64, 64)
        expected = given.norm(given.encode_frames(picture))
        assert_close(as_elsewhere(started).encode_frames(picture), expected)


def test_a_stam_initializes_one_of_other_frames_but_no_timesformer(tmp_path: Path) -> None:
    given = Stam(WIDE)
    path = weights.save(Classifier(given, ClipConfig(), LABELS), tmp_path / "w.safetensors")
    started = Stam(replace(WIDE, frames=6))
    assert weights.start_from(started, path, LABELS) == ("times are resized from 4 to 6 frames",)
    for name, value in started.state_dict().items():
        assert name == "time" or torch.equal(value, given.state_dict()[name]), name
    deeper = Stam(replace(WIDE, time_depth=2))
    assert weights.start_from(deeper, path, LABELS) == (
        "the transformer over time starts from random values: model.time_depth differs",
    )
    taught = TaughtModel(TaughtConfig(WIDE, 3, frames=4, size=64), given)
    other = weights.save(Classifier(taught, ClipConfig(), LABELS), tmp_path / "taught.safetensors")
    with pytest.raises(WeightsError, match="training begins with models of clips that vidattn"):
        weights.start_from(started, other, LABELS)
    with pytest.raises(WeightsError, match="a STAM cannot start a TimeSformer"):
        weights.start_from(
            TimeSformer(TimeSformerConfig(width=192, depth=2, heads=3)), path, LABELS
        )


def test_a_recipe_says_which_kind_of_model_it_is_of() -> None:
    for recipe in RECIPES.values():
        assert from_plain(Recipe, to_plain(recipe)) == recipe
    plain = to_plain(find_recipe("small-stam"))
    assert plain["model"]["kind"] == "stam"
    with pytest.raises(
        RecipeError, match=r"model.kind: expected one of timesformer, stam, .*, got"
    ):
        from_plain(Recipe, plain | {"model": {"kind": "resnet"}})
    with pytest.raises(RecipeError, match=r"model.time_depth: no such setting"):
        from_plain(Recipe, plain | {"model": {"time_depth": 2}})


def test_settings_of_a_recipe_do_not_change_the_kind_of_its_model() -> None:
    changed = apply_settings(find_recipe("small-stam"), ["model.time_depth=3", "model.kind=stam"])
    assert changed.model == replace(find_recipe("small-stam").model, time_depth=3)
    with pytest.raises(UsageError, match="the kind of model is that of the recipe") as caught:
        apply_settings(find_recipe("small"), ["model.kind=stam"])
    assert "vidattn recipe list" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"model.attention: no such setting"):
        apply_settings(find_recipe("stam-16-k400"), ["model.attention=joint"])


def test_a_small_convolutional_network_trains_and_its_run_loads(tmp_path: Path) -> None:
    recipe = RECIPES["small-x3d"]
    recipe = replace(
        recipe,
        data=replace(recipe.data, dataset="motion", clips_per_epoch=8, val_clips=4, workers=0),
        clip=replace(recipe.clip, step_seconds=0.125),
        optim=replace(recipe.optim, epochs=1, batch_size=4, warmup_epochs=0.0),
    )
    events = list(fit.fit(recipe, tmp_path))
    assert any(isinstance(event, fit.EpochDone) for event in events)
    model = weights.load(tmp_path).model
    assert model.config == recipe.model
    assert not torch.equal(model.state_dict()["stems.0.time.norm.running_mean"], torch.zeros(16)), (
        "the statistics of batch norm are learned and saved"
    )

"""Learning rates at known moments, which parameters decay or learn, and the mean of weights."""

import importlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from vidattn.config import OptimConfig, StamConfig, TimeSformerConfig
from vidattn.config.recipes import find_recipe
from vidattn.errors import RecipeError
from vidattn.models.classifier import build_model
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.training.optim import (
    WeightAverage,
    build_optimizer,
    freeze_except,
    layer_depths,
    lr_at,
    parameter_groups,
    scale_lr,
    set_lr,
    training_mode,
)

STEPS = OptimConfig(lr=0.005, epochs=15, milestones=(11, 14), schedule="steps")
COSINE = OptimConfig(lr=1.0, epochs=10, schedule="cosine", warmup_epochs=1.0, kind="adamw")
TINY = TimeSformerConfig(classes=3, frames=2, size=32, width=16, depth=2, heads=2)
TINY_STAM = StamConfig(
    classes=3, frames=2, size=32, width=16, depth=2, heads=2, time_depth=2, time_heads=2
)


def tiny(**changes: Any) -> TimeSformer:
    return TimeSformer(TimeSformerConfig(**{**vars(TINY), **changes}))


def learning(model: nn.Module) -> set[str]:
    return {name for name, value in model.named_parameters() if value.requires_grad}


def named_groups(
    model: nn.Module, groups: Iterable[Mapping[str, Any]], key: str
) -> dict[str, tuple[float, float]]:
    """Parameter -> (scale of learning rate, weight decay)."""
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)]: (g[key], g["weight_decay"]) for g in groups for p in g["params"]}


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.005), (10.99, 0.005), (11, 0.0005), (13.99, 0.0005), (14, 0.00005)]
)
def test_steps_divide_by_ten_at_the_milestones(epoch: float, lr: float) -> None:
    assert lr_at(STEPS, round(epoch * 100), 100) == pytest.approx(lr)


def test_warm_up_rises_evenly_and_cosine_ends_at_nothing() -> None:
    rates = [lr_at(COSINE, step, 100) for step in range(1001)]
    assert (rates[0], rates[49]) == (pytest.approx(0.01), pytest.approx(0.5, abs=0.01))
    assert (max(rates), rates[1000]) == (pytest.approx(rates[100], rel=0.01), pytest.approx(0))
    assert all(a >= b for a, b in pairwise(rates[100:]))


def test_adamw_spares_norms_biases_and_embeddings() -> None:
    model = tiny(depth=1)
    names = {id(p): n for n, p in model.named_parameters()}
    decays, others = parameter_groups([model], OptimConfig(kind="adamw"))
    spared = {names[id(p)] for p in others["params"]}
    assert {"pos", "time", "cls", "cls_pos", "patch.bias", "norm.weight"} <= spared
    assert "head.weight" in {names[id(p)] for p in decays["params"]}
    assert len(decays["params"]) + len(others["params"]) == len(names)


def test_sgd_spares_batch_norms() -> None:
    model = nn.Sequential(build_model(find_recipe("small-x3d").model), nn.BatchNorm3d(4))
    groups = named_groups(model, parameter_groups([model], OptimConfig(kind="sgd")), "scale")
    spared = {name for name, (_, decay) in groups.items() if not decay}
    assert {name for name in groups if "norm." in name} | {"1.weight", "1.bias"} == spared


def test_sgd_decays_everything_like_the_official_code() -> None:
    optimizer = build_optimizer([nn.Linear(2, 2)], OptimConfig(kind="sgd"))
    assert [g["weight_decay"] for g in optimizer.param_groups] == [1e-4]
    assert optimizer.param_groups[0]["nesterov"]


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    (group,) = parameter_groups([layer], OptimConfig(kind="sgd"))
    assert group["params"] == [layer.weight]


def test_the_learning_rate_follows_the_batch_and_says_so() -> None:
    lr, note = scale_lr(OptimConfig(lr=0.005, batch_size=64), 16)
    assert lr == 0.00125
    assert (
        note == "learning rate 0.00125 for batches of 16: the recipe's 0.005 is for batches of 64"
    )
    assert scale_lr(OptimConfig(lr=lr, batch_size=16), 16) == (lr, "")


def test_every_group_learns_at_its_scale() -> None:
    optimizer = build_optimizer([tiny()], OptimConfig(kind="adamw", layer_decay=0.5))
    set_lr(optimizer, 0.8)
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx([0.1, 0.2, 0.4, 0.8])


@pytest.mark.filterwarnings("ignore")
def test_layer_decay_scales_a_divided_model_as_timm_scales_a_vit() -> None:
    timm = importlib.import_module("timm")
    vit = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=3)
    theirs = named_groups(
        vit,
        importlib.import_module("timm.optim").param_groups_layer_decay(
            vit, 0.05, no_weight_decay_list=vit.no_weight_decay(), layer_decay=0.6
        ),
        "lr_scale",
    )
    model = tiny()
    optim = OptimConfig(kind="adamw", weight_decay=0.05, layer_decay=0.6)
    ours = named_groups(model, parameter_groups([model], optim), "scale")
    pairs = {
        "patch.weight": "patch_embed.proj.weight",
        "patch.bias": "patch_embed.proj.bias",
        "cls": "cls_token",
        **dict.fromkeys(("cls_pos", "pos", "time"), "pos_embed"),
        **{
            f"blocks.{i}.steps.{step}.{name}": f"blocks.{i}.{name.replace('norm.', 'norm1.')}"
            for i in (0, 1)
            for step in ("time", "space")
            for name in ("norm.bias", "attn.qkv.weight")
        },
        "blocks.0.steps.time.out.weight": "blocks.0.attn.proj.weight",
        "blocks.1.mlp.2.weight": "blocks.1.mlp.fc2.weight",
        "norm.weight": "norm.weight",
        "head.weight": "head.weight",
        "head.bias": "head.bias",
    }
    assert {o: ours[o] for o in pairs} == {o: pytest.approx(theirs[t]) for o, t in pairs.items()}
    assert {scale for scale, _ in ours.values()} == {scale for scale, _ in theirs.values()}


def test_the_layers_of_stam_over_the_frames_stand_above_its_blocks() -> None:
    above = layer_depths(Stam(TINY_STAM))
    assert above["head.weight"] == 0
    assert above["over_time.norm.weight"] == above["over_time.layers.1.linear1.weight"] == 1
    assert above["over_time.layers.0.linear1.weight"] == 2
    assert above["blocks.1.attn.qkv.weight"] == above["time"] == above["norm.weight"] == 3
    assert above["blocks.0.attn.qkv.weight"] == 4
    assert above["patch.weight"] == above["pos"] == 5


def test_what_stands_beside_the_model_learns_at_full_rate() -> None:
    beside = nn.Linear(2, 2)
    groups = parameter_groups([tiny(), beside], OptimConfig(layer_decay=0.5))
    (group,) = (g for g in groups if any(p is beside.weight for p in g["params"]))
    assert group["scale"] == 1


def test_only_the_head_learns_and_nothing_below_it_is_disturbed() -> None:
    torch.manual_seed(0)
    model, clips = tiny(drop_path=0.9, depth=4), torch.randn(2, 3, 2, 32, 32)
    freeze_except(model, "head")
    assert learning(model) == {"head.weight", "head.bias"}
    training_mode(model)
    assert torch.equal(model(clips), model(clips))
    optimizer = build_optimizer([model], OptimConfig(lr=0.1))
    model(clips).sum().backward()
    optimizer.step()
    assert len(optimizer.state) == 2
    freeze_except(model, "full")
    training_mode(model)
    assert all(module.training for module in model.modules())
    assert not torch.equal(model(clips), model(clips))


def test_what_joins_frames_learns_and_the_image_model_stays() -> None:
    model = tiny(drop_path=0.5)
    freeze_except(model, "temporal")
    step = {"norm.weight", "norm.bias", "out.weight", "out.bias", "attn.qkv.weight",
            "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"}  # fmt: skip
    expected = {f"blocks.{i}.steps.time.{name}" for i in (0, 1) for name in step}
    assert learning(model) == {"time", "head.weight", "head.bias", *expected}
    training_mode(model)
    steps = model.get_submodule("blocks.1.steps")
    assert steps.get_submodule("time").training
    assert not steps.get_submodule("space").training
    stam = Stam(TINY_STAM)
    freeze_except(stam, "temporal")
    parts = {name.split(".")[0] for name in learning(stam)}
    assert parts == {"time", "time_cls", "time_cls_pos", "over_time", "head"}


@pytest.mark.parametrize("attention", ["space", "joint", "local-global"])
def test_a_model_without_attention_over_time_alone_says_so(attention: str) -> None:
    with pytest.raises(RecipeError, match="no attention over time alone"):
        freeze_except(tiny(attention=attention), "temporal")


def test_the_mean_of_weights_is_the_sum_written_out() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average, mean = WeightAverage(layer, 0.5), 0.0
    for number in range(30):
        layer.weight.data.fill_(float(number))
        average.update()
        share = min(0.5, (1 + number) / (10 + number)) if number else 0.0  # the first is taken over
        mean = share * mean + (1 - share) * number
        assert average.model.weight.item() == pytest.approx(mean, rel=1e-5)
    assert layer.weight.item() == 29
    assert not average.model.training
    assert not average.model.weight.requires_grad

"""Learning rates at known moments, and which parameters decay."""

from itertools import pairwise

import pytest
from torch import nn

from vidattn.config import OptimConfig, TimeSformerConfig
from vidattn.models.timesformer import TimeSformer
from vidattn.optim import groups, lr_at, optimizer

STEPS = OptimConfig(lr=0.005, epochs=15, milestones=(11, 14), schedule="steps")
COSINE = OptimConfig(lr=1.0, epochs=10, schedule="cosine", warmup_epochs=1.0, kind="adamw")


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.005), (10.99, 0.005), (11, 0.0005), (13.99, 0.0005), (14, 0.00005)]
)
def test_steps_divide_by_ten_at_the_milestones(epoch: float, lr: float) -> None:
    assert lr_at(STEPS, round(epoch * 100), 100) == pytest.approx(lr)


def test_warm_up_rises_evenly_and_cosine_ends_at_nothing() -> None:
    rates = [lr_at(COSINE, step, 100) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[49] == pytest.approx(0.5, abs=0.01)
    assert max(rates) == pytest.approx(rates[100], rel=0.01)
    assert rates[1000] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(rates[100:]))


def test_adamw_spares_norms_biases_and_embeddings() -> None:
    model = TimeSformer(TimeSformerConfig(classes=3, size=32, width=16, depth=1, heads=2))
    names = {id(p): n for n, p in model.named_parameters()}
    decays, others = groups([model], OptimConfig(kind="adamw"))
    spared = {names[id(p)] for p in others["params"]}
    assert {"pos", "time", "cls", "cls_pos", "patch.bias", "norm.weight"} <= spared
    assert "head.weight" in {names[id(p)] for p in decays["params"]}
    assert len(decays["params"]) + len(others["params"]) == len(names)


def test_sgd_decays_everything_like_the_official_code() -> None:
    made = optimizer([nn.Linear(2, 2)], OptimConfig(kind="sgd"))
    assert [g["weight_decay"] for g in made.param_groups] == [1e-4]
    assert made.param_groups[0]["nesterov"]


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    (group,) = groups([layer], OptimConfig(kind="sgd"))
    assert group["params"] == [layer.weight]

"""Training convolutional networks."""

from dataclasses import replace
from pathlib import Path

import torch

from vidattn import weights
from vidattn.config.recipes import RECIPES
from vidattn.training.fit import EpochDone, fit


def test_a_small_network_trains_and_its_run_loads(tmp_path: Path) -> None:
    recipe = RECIPES["small-x3d"]
    recipe = replace(
        recipe,
        data=replace(recipe.data, dataset="motion", clips_per_epoch=8, val_clips=4, workers=0),
        clip=replace(recipe.clip, step_seconds=0.125),
        optim=replace(recipe.optim, epochs=1, batch_size=4, warmup_epochs=0.0),
    )
    events = list(fit(recipe, tmp_path))
    assert any(isinstance(event, EpochDone) for event in events)
    model = weights.load(tmp_path).model
    assert model.config == recipe.model
    assert not torch.equal(model.state_dict()["stems.0.time.norm.running_mean"], torch.zeros(16)), (
        "the statistics of batch norm are learned and saved"
    )

"""Training on the procedural set, small enough for seconds."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from vidattn import train
from vidattn.config import ClipConfig, DataConfig, OptimConfig, Recipe, TimeSformerConfig
from vidattn.data.camera import LABELS
from vidattn.data.motion import Batch, MotionBatches
from vidattn.errors import DataError, DivergenceError, OutputError, RecipeError, WeightsError
from vidattn.weights.source import load

TINY = Recipe(
    name="tiny",
    model=TimeSformerConfig(
        classes=10, frames=4, size=16, patch=8, width=16, depth=2, heads=2, drop_path=0.1
    ),
    clip=ClipConfig(frames=4, step_seconds=0.125, short_side=16, crop=16),
    optim=OptimConfig(
        kind="adamw", lr=3e-3, batch_size=8, epochs=3, schedule="cosine", flow_weight=1.0
    ),
    data=DataConfig("motion", clips_per_epoch=16, val_clips=4),
    start="scratch",
)


def run(folder: Path, recipe: Recipe = TINY, **options: object) -> list[train.Event]:
    return list(train.fit(recipe, folder, device="cpu", **options))  # type: ignore[arg-type]


def test_a_run_tells_its_steps_epochs_and_checkpoints(tmp_path: Path) -> None:
    events = run(tmp_path / "run")
    kinds = [type(e).__name__ for e in events]
    assert kinds == ["Step", "Step", "Epoch", "Saved"] * 3
    assert [e.step for e in events if isinstance(e, train.Step)] == [1, 2, 3, 4, 5, 6]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "recipe.json",
        "log.jsonl",
        "state.safetensors",
        "model.safetensors",
    }
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["epoch"] * 3


def test_the_model_of_a_run_loads_with_its_labels_and_clip(tmp_path: Path) -> None:
    run(tmp_path)
    classifier = load(str(tmp_path / "model.safetensors"))
    assert classifier.labels == LABELS
    assert classifier.clip == TINY.clip
    assert not any("flow" in name for name in classifier.model.state_dict())


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    events = train.fit(TINY, tmp_path / "parts", device="cpu")
    for event in events:
        if isinstance(event, train.Saved):
            break
    next(events)  # a step that is lost
    events.close()  # type: ignore[attr-defined]
    torch.manual_seed(123)
    rest = run(tmp_path / "parts", resume=True)
    assert next(e.step for e in rest if isinstance(e, train.Step)) == 3
    whole = load(str(tmp_path / "whole" / "model.safetensors")).model.state_dict()
    parts = load(str(tmp_path / "parts" / "model.safetensors")).model.state_dict()
    assert_close(parts, whole, rtol=0, atol=0)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(OutputError, match="already holds a run"):
        run(tmp_path)


def test_resuming_with_another_recipe_is_refused_but_more_epochs_are_fine(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(RecipeError, match="another recipe"):
        run(tmp_path, replace(TINY, seed=1), resume=True)
    longer = replace(TINY, optim=replace(TINY.optim, epochs=4))
    assert sum(isinstance(e, train.Epoch) for e in run(tmp_path, longer, resume=True)) == 1


def begin(folder: Path) -> None:
    """A run that ends before its first checkpoint."""
    events = train.fit(TINY, folder, device="cpu")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert {p.name for p in folder.iterdir()} == {"recipe.json", "log.jsonl"}


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_a_checkpoint_begins_anew(tmp_path: Path, resume: bool) -> None:
    begin(tmp_path)
    events = run(tmp_path, resume=resume)
    assert sum(isinstance(e, train.Epoch) for e in events) == 3
    said = [e.text for e in events if isinstance(e, train.Note)]
    assert any("begins anew" in text for text in said) == resume
    assert "begins anew" not in (tmp_path / "recipe.json").read_text()


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no run") as caught:
        run(tmp_path / "nowhere", resume=True)
    assert "--run-dir" in (caught.value.hint or "")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_model_whose_state_is_gone_is_not_overwritten(tmp_path: Path, resume: bool) -> None:
    run(tmp_path)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(OutputError, match="already holds a model"):
        run(tmp_path, resume=resume)


def test_resuming_for_fewer_epochs_says_so_and_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fewer = replace(TINY, optim=replace(TINY.optim, epochs=1))
    (note,) = run(tmp_path, fewer, resume=True)
    assert isinstance(note, train.Note)
    assert "3 epochs are done and 1 were asked for" in note.text
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_torn_lines_of_the_log_are_dropped_on_resuming(tmp_path: Path) -> None:
    run(tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"event": "epo\xc3\n7\n{"event": "ste')
    run(tmp_path, replace(TINY, optim=replace(TINY.optim, epochs=4)), resume=True)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["epoch"] * 4


def test_fewer_clips_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="clips_per_epoch 7 is less than one batch of 8"):
        run(tmp_path, replace(TINY, data=replace(TINY.data, clips_per_epoch=7)))


def test_smoothed_labels_cost_a_sure_model_more() -> None:
    batch = MotionBatches(TINY)[0]
    found = []
    for smoothing in (0.0, 0.5):
        recipe = replace(TINY, optim=replace(TINY.optim, label_smoothing=smoothing))
        state = train.new_state(recipe, None, torch.device("cpu"))
        with torch.no_grad():
            state.model.head.bias.copy_(torch.arange(10.0))
        (step,) = train.steps(state, [batch], recipe, per_epoch=1)
        found.append(step.loss)
    assert abs(found[0] - found[1]) > 0.1


def test_a_model_of_our_own_data_is_free_and_named_after_recipe_or_run(tmp_path: Path) -> None:
    run(tmp_path / "mine")
    card = load(tmp_path / "mine").card
    assert (card.name, card.license, card.training_data) == ("mine", "Apache-2.0", "motion")
    run(tmp_path / "theirs", replace(TINY, name="motion-tiny"))
    assert load(tmp_path / "theirs").card.name == "motion-tiny"
    run(tmp_path / "tuned", init=tmp_path / "mine")
    card = load(tmp_path / "tuned").card
    assert card.license == ""
    assert card.source == f"vidattn train --dataset motion --init {tmp_path / 'mine'}"


def test_learning_lowers_the_loss_on_one_batch() -> None:
    batch = MotionBatches(replace(TINY, data=replace(TINY.data, easiest=0.0, ramp=1.0)))[0]
    still = replace(TINY, optim=replace(TINY.optim, epochs=60))
    state = train.new_state(still, None, torch.device("cpu"))
    found = [s.loss for s in train.steps(state, [batch] * 100, still, per_epoch=2)]
    assert sum(found[-5:]) < 0.5 * sum(found[:5])


def test_a_loss_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    def broken() -> Iterator[Batch]:
        batch = MotionBatches(TINY)[0]
        yield batch._replace(clips=batch.clips * float("nan"))

    state = train.new_state(TINY, None, torch.device("cpu"))
    with pytest.raises(DivergenceError, match="step 1"):
        list(train.steps(state, broken(), TINY, per_epoch=2))


def test_the_same_seed_starts_from_the_same_weights() -> None:
    one, other = (train.new_state(TINY, None, torch.device("cpu")) for _ in range(2))
    assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)


def test_weights_are_taken_over_and_a_head_of_other_classes_is_not(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "model.safetensors"
    given = load(str(path)).model.state_dict()
    other = replace(TINY, model=replace(TINY.model, classes=3))
    started = train.new_state(other, path, torch.device("cpu")).model.state_dict()
    assert started["head.weight"].shape[0] == 3
    assert_close(started["blocks.0.mlp.0.weight"], given["blocks.0.mlp.0.weight"], rtol=0, atol=0)
    wider = replace(TINY, model=replace(TINY.model, width=32))
    with pytest.raises(WeightsError, match="cannot start a model of width 32"):
        train.new_state(wider, path, torch.device("cpu"))


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        run(tmp_path, replace(TINY, data=replace(TINY.data, dataset="nowhere")))

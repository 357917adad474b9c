"""Training on files: `train.fit` on a folder of clips, and what it makes of broken ones."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidattn import train
from vidattn.config import (
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    TimeSformerConfig,
    ViewConfig,
)
from vidattn.data.sets import open_set
from vidattn.device import Runtime
from vidattn.errors import DataError
from vidattn.evaluate_set import SetEvaluation, evaluate_set
from vidattn.weights.source import load

from .data.conftest import CLASSES, moving_square, write_video

TINY = Recipe(
    name="tiny",
    model=TimeSformerConfig(
        classes=400, frames=4, size=32, patch=8, width=32, depth=2, heads=2, drop_path=0.0
    ),
    clip=ClipConfig(frames=4, step_seconds=0.4, short_side=32, crop=32),
    optim=OptimConfig(kind="adamw", lr=2e-3, batch_size=5, epochs=2, schedule="cosine"),
    data=DataConfig(flip=False, jitter=(32, 34)),
    start="scratch",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mine")
    for number in range(6):
        for i, label in enumerate(CLASSES):
            write_video(root / label / f"{number}.mp4", moving_square(label, 10 * number + i))
    return root


def run(folder: Path, run_dir: Path, recipe: Recipe = TINY, **options: bool) -> list[train.Event]:
    recipe = replace(recipe, data=replace(recipe.data, dataset=str(folder)))
    return list(train.fit(recipe, run_dir, device="cpu", **options))


def test_a_folder_of_clips_becomes_a_classifier_of_its_classes(
    folder: Path, tmp_path: Path
) -> None:
    events = run(folder, tmp_path)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Note", "Step", "Step", "Epoch", "Saved", "Step", "Step", "Epoch", "Saved"]
    classifier = load(str(tmp_path / "model.safetensors"))
    assert classifier.labels == CLASSES
    card = classifier.card
    assert (card.name, card.license, card.training_data) == (tmp_path.name, "", str(folder))
    assert card.source == f"vidattn train --dataset {folder}"
    assert json.loads((tmp_path / "recipe.json").read_text())["model"]["classes"] == 2
    *_, found = evaluate_set(
        classifier, open_set(str(folder), None, "val"), ViewConfig(1, 1), runtime=Runtime("cpu")
    )
    assert isinstance(found, SetEvaluation)
    epochs = [event for event in events if isinstance(event, train.Epoch)]
    assert found.scores.top1 == epochs[-1].scores["top1"]


def test_a_run_goes_on_in_the_middle_as_if_nothing_had_happened(
    folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "whole")
    half = replace(TINY, data=replace(TINY.data, dataset=str(folder)))
    for event in train.fit(half, tmp_path / "halves", device="cpu"):
        if isinstance(event, train.Saved):
            break
    run(folder, tmp_path / "halves", resume=True)
    whole, halves = (
        load(str(tmp_path / name / "model.safetensors")).model for name in ("whole", "halves")
    )
    for one, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_set_of_one_class_is_refused(folder: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    shutil.copytree(folder, above / "clips")
    with pytest.raises(DataError, match="all videos are of one class, clips: there is nothing to"):
        run(above, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_videos_are_told_and_do_not_stop_a_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mine")
    for half in ("train", "val"):
        items = open_set(str(tmp_path / "mine"), None, half).items  # type: ignore[arg-type]
        Path(items[0].path).write_bytes(b"broken")
    recipe = replace(TINY, optim=replace(TINY.optim, epochs=1))
    events = run(tmp_path / "mine", tmp_path / "run", recipe)
    notes = [event.text for event in events if isinstance(event, train.Note)]
    assert sum("replaced by another (E_NOT_VIDEO)" in note for note in notes) == 1
    assert sum("not counted (E_NOT_VIDEO)" in note for note in notes) == 1


def test_small_sets_are_gone_through_until_an_epoch_is_full(folder: Path, tmp_path: Path) -> None:
    data = replace(TINY.data, dataset=str(folder), clips_per_epoch=23)
    events = list(train.fit(replace(TINY, data=data), tmp_path, device="cpu"))
    steps = [event for event in events if isinstance(event, train.Step)]
    # Ten videos make two batches of five; three passes reach 23 clips.
    assert [step.epoch for step in steps] == [1] * 6 + [2] * 6
    assert [e.epoch for e in events if isinstance(e, train.Epoch)] == [1, 2]


def test_nothing_is_written_when_the_set_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        run(tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_motion_is_learned_from_files(folder: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, optim=replace(TINY.optim, lr=1e-3, epochs=40))
    events = run(folder, tmp_path, recipe)
    losses = [event.loss for event in events if isinstance(event, train.Step)]
    assert sum(losses[-4:]) / 4 < 0.65 < sum(losses[:4]) / 4  # log 2 is .69

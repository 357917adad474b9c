"""Training on files: `train.fit` on a folder of clips, and what it makes of broken ones."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vidattn
from tests.data.conftest import CLASSES, write_classes
from tests.together import together
from vidattn.config import (
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    TimeSformerConfig,
    ViewConfig,
)
from vidattn.config.serialization import to_plain
from vidattn.data.sets import open_dataset
from vidattn.errors import DataError, OutputError
from vidattn.models.device import Runtime
from vidattn.training import artifacts, fit
from vidattn.weights.loading import load

TINY = Recipe(
    name="tiny",
    model=TimeSformerConfig(
        classes=400, frames=4, size=32, patch=8, width=32, depth=2, heads=2, drop_path=0.0
    ),
    clip=ClipConfig(frames=4, step_seconds=0.4, short_side=32, crop=32),
    optim=OptimConfig(kind="adamw", lr=2e-3, batch_size=5, epochs=2, schedule="cosine"),
    data=DataConfig(flip=False, short_side_range=(32, 34)),
    init_scheme="scratch",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("mine"))


def run(folder: Path, run_dir: Path, recipe: Recipe = TINY, **options: bool) -> list[fit.Event]:
    recipe = replace(recipe, data=replace(recipe.data, dataset=str(folder)))
    return list(fit.fit(recipe, run_dir, device="cpu", **options))


def test_a_folder_of_clips_trains_a_classifier(folder: Path, tmp_path: Path) -> None:
    events = run(folder, tmp_path)
    kinds = [type(event).__name__ for event in events]
    assert kinds == [
        "TrainingNote", "TrainingNote", "StepDone", "StepDone", "EpochDone", "CheckpointSaved",
        "StepDone", "StepDone", "EpochDone", "CheckpointSaved", "Verdict",
    ]  # fmt: skip
    classifier = load(str(tmp_path / "model.safetensors"))
    assert classifier.labels == CLASSES
    card = classifier.card
    assert (card.name, card.license, card.training_data) == (tmp_path.name, "", folder.name)
    assert card.source == f"vidattn train --dataset {folder.name}"
    assert json.loads((tmp_path / "recipe.json").read_text())["model"]["classes"] == 2
    measured = vidattn.evaluate(tmp_path, folder, views=ViewConfig(1, 1), runtime=Runtime("cpu"))
    epochs = [event for event in events if isinstance(event, fit.EpochDone)]
    assert measured["top1"] == epochs[-1].scores["top1"]


def test_all_commands_score_a_clip_alike(folder: Path, tmp_path: Path) -> None:
    """Training, eval, classify and segment: the same windows of 0.8 s in clips of 2 s."""
    clip = replace(TINY.clip, step_seconds=0.2, sampling="dense")
    recipe = replace(TINY, clip=clip, views=ViewConfig(1, 12))
    epochs = [e for e in run(folder, tmp_path, recipe) if isinstance(e, fit.EpochDone)]
    classifier, val = load(str(tmp_path)), open_dataset(str(folder), None, "val")
    assert classifier.clip.span_seconds == pytest.approx(0.8)
    measured = vidattn.evaluate(tmp_path, folder, device="cpu")
    assert measured == vidattn.evaluate(vidattn.load(tmp_path), folder, device="cpu")
    assert measured["nll"] == pytest.approx(epochs[-1].scores["nll"], abs=1e-4)
    losses = []
    for item in val.items:
        whole = vidattn.classify(item.path, classifier)
        parts = vidattn.segment(item.path, classifier, overlap=0)
        assert len(parts.windows) == 3
        logs = np.log(parts.scores).mean(0)
        assert np.exp(logs) / np.exp(logs).sum() == pytest.approx(whole.scores[0], abs=1e-4)
        losses.append(-np.log(whole.scores[0, item.label]))
    assert np.mean(losses) == pytest.approx(measured["nll"], abs=1e-4)


def test_the_verdict_says_how_sure_it_is_and_what_guessing_gives() -> None:
    row = {"epoch": 1, "scores": {"top1": 11 / 24}, "clips": 24, "majority": 0.4, "train_top1": 0.5}
    last = {**row, "epoch": 2, "scores": {"top1": 10 / 24}, "train_top1": 0.99}
    assert artifacts.describe_result([row, last]) == (
        "validation clips right: 41.7 % of 24, between 22 and 63 % (95 %); always guessing the "
        "largest class: 40.0 %, which may be as good; best.safetensors: 45.8 % after epoch 1, "
        "chosen by this score; it has learned its training clips by heart (99.0 % right): more "
        "clips, or fewer epochs, would help"
    )
    assert "by heart" not in artifacts.describe_result([row])
    assert artifacts.describe_result([{"epoch": 1, "scores": {}}]) == ""


def test_a_dataset_of_one_class_is_refused(folder: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    shutil.copytree(folder, above / "clips")
    with pytest.raises(DataError, match="all videos are of one class: clips"):
        run(above, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    items = open_dataset(str(folder)).items
    for name, times, noun in (("one", "", "videos"), ("spans", ",0,0.5", "samples")):
        path, header = tmp_path / f"{name}.csv", "path,label,start,end" if times else "path,label"
        path.write_text("\n".join([header, *(f"{item.path},groom{times}" for item in items)]))
        wrong = f"{path}: all {noun} are of one class: groom"
        with pytest.raises(DataError, match=re.escape(wrong)) as caught:
            run(path, tmp_path / "run")
        assert "labeled other or background" in (caught.value.hint or "")


@pytest.fixture(scope="module")
def damaged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which one video to train on and one that is validation are broken."""
    root = tmp_path_factory.mktemp("damaged") / "mine"
    shutil.copytree(folder, root)
    for half in ("train", "val"):
        items = open_dataset(str(root), None, half).items  # type: ignore[arg-type]
        Path(items[0].path).write_bytes(b"broken")
    return root


def rows(run_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]


def test_broken_videos_are_reported_once_and_stop_no_run(damaged: Path, tmp_path: Path) -> None:
    events = run(damaged, tmp_path / "run")
    assert events[-1] == fit.IncompleteValidation(1, 1, tmp_path / "run" / "log.jsonl")
    unreadable = [event for event in events if isinstance(event, fit.UnreadableVideo)]
    assert [(event.fate, event.code) for event in unreadable] == [
        ("replaced", "E_NOT_VIDEO"),
        ("not counted", "E_NOT_VIDEO"),
    ]
    assert unreadable[0].text.startswith(
        f"{unreadable[0].path}: replaced by another (E_NOT_VIDEO): "
    )
    named = [row["path"] for row in rows(tmp_path / "run") if row["event"] == "lost"]
    assert named == [event.path for event in unreadable]  # in two epochs


def test_broken_videos_before_an_interruption_are_reported(damaged: Path, tmp_path: Path) -> None:
    run(damaged, tmp_path / "whole" / "run")
    whole, parts = tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    recipe = replace(TINY, data=replace(TINY.data, dataset=str(damaged)))
    for event in fit.fit(recipe, parts, device="cpu"):
        if isinstance(event, fit.CheckpointSaved):
            break
    rest = run(damaged, parts, resume=True)
    assert not any(isinstance(event, fit.UnreadableVideo) for event in rest)
    assert rest[-1] == fit.IncompleteValidation(1, 1, parts / "log.jsonl")
    for name in ("log.jsonl", "model.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


TOGETHER = """
from pathlib import Path
import torch
from vidattn.training import fit
from vidattn.config import Recipe
from vidattn.models.distributed import join_world
from vidattn.config.serialization import from_plain

with join_world(torch.device("cpu")):
    recipe = from_plain(Recipe, json.loads(sys.argv[1]))
    *_, last = fit.fit(recipe, Path(sys.argv[2]), device="cpu")
    print(json.dumps([type(last).__name__, last.replaced, last.not_counted]))
"""


@pytest.mark.slow
def test_all_processes_report_broken_videos(damaged: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, optim=replace(TINY.optim, epochs=1))
    recipe = replace(recipe, data=replace(TINY.data, dataset=str(damaged)))
    words = json.dumps(to_plain(recipe)), tmp_path / "run"
    assert together(TOGETHER, tmp_path / "told", *words) == [["IncompleteValidation", 1, 1]] * 2
    kinds = [row["event"] for row in rows(tmp_path / "run")]
    assert kinds == ["note", "note", "lost", "lost", "epoch", "verdict"]


def test_an_unwritable_run_dir_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for run_dir in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(OutputError, match=f"{run_dir}: cannot be written") as caught:
            run(tmp_path / "nowhere", run_dir)
        assert caught.value.hint == "choose another --run-dir"


def test_small_datasets_are_repeated_until_an_epoch_is_full(folder: Path, tmp_path: Path) -> None:
    data = replace(TINY.data, dataset=str(folder), clips_per_epoch=23)
    events = list(fit.fit(replace(TINY, data=data), tmp_path, device="cpu"))
    steps = [event for event in events if isinstance(event, fit.StepDone)]
    # Ten videos make two batches of five; three passes reach 23 clips.
    assert [step.epoch for step in steps] == [1] * 6 + [2] * 6
    assert [e.epoch for e in events if isinstance(e, fit.EpochDone)] == [1, 2]


def test_nothing_is_written_when_the_dataset_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        run(tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_motion_is_learned_from_files(folder: Path, tmp_path: Path) -> None:
    events = run(folder, tmp_path, replace(TINY, optim=replace(TINY.optim, lr=1e-3, epochs=40)))
    losses = [event.loss for event in events if isinstance(event, fit.StepDone)]
    assert sum(losses[-4:]) / 4 < 0.65 < sum(losses[:4]) / 4  # log 2 is .69

"""Training on the procedural dataset, in seconds."""

import fcntl
import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from tests.helpers import read_csv
from tests.together import together
from vidattn.config import (
    ClipConfig,
    DataConfig,
    OptimConfig,
    Recipe,
    StamConfig,
    TimeSformerConfig,
)
from vidattn.config.recipes import read_recipe
from vidattn.config.serialization import to_plain
from vidattn.data.motion.camera import LABELS
from vidattn.errors import OutputError, RecipeError, UsageError, WeightsError
from vidattn.training import fit
from vidattn.training.artifacts import make_card
from vidattn.training.checkpoint import load_state, save_state
from vidattn.training.data import MotionDataset, open_training_dataset
from vidattn.training.run_dir import LOCK, checkpoints, lock_run_dir
from vidattn.training.trainer import Trainer, new_state
from vidattn.weights.loading import load

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
    init_scheme="scratch",
)
STAM = replace(
    TINY,
    model=StamConfig(10, 4, 16, 8, 16, 2, 2, time_depth=2, time_heads=2, time_hidden=24),
    optim=replace(TINY.optim, flow_weight=0.0, epochs=2),
)


def run(folder: Path, recipe: Recipe = TINY, **options: object) -> list[fit.Event]:
    return list(fit.fit(recipe, folder, device="cpu", **options))  # type: ignore[arg-type]


def run_until(last: int | type, folder: Path, recipe: Recipe = TINY, **options: object) -> None:
    """Stop a run after an event of the type, or after the step of the number."""
    events = fit.fit(recipe, folder, device="cpu", **options)  # type: ignore[arg-type]
    for event in events:
        if isinstance(event, last) if isinstance(last, type) else getattr(event, "step", 0) == last:
            break
    events.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[fit.Event]]:
    """The folder and the events of a run of TINY."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    return folder, run(folder)


@pytest.fixture
def whole(finished_run: tuple[Path, list[fit.Event]]) -> Path:
    """The folder of that run, not to be touched."""
    return finished_run[0]


@pytest.fixture
def done(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return shutil.copytree(whole, tmp_path / "done" / "run")


def test_a_run_yields_steps_and_checkpoints(finished_run: tuple[Path, list[fit.Event]]) -> None:
    folder, events = finished_run
    kinds = [type(e).__name__ for e in events]
    assert kinds == ["StepDone", "StepDone", "EpochDone", "CheckpointSaved"] * 3 + ["Verdict"]
    assert [e.step for e in events if isinstance(e, fit.StepDone)] == [1, 2, 3, 4, 5, 6]
    assert {p.name for p in folder.iterdir()} == {
        *("recipe.json", "log.jsonl", "metrics.csv", "curves.svg", "curves.html", "checkpoints"),
        *("model.safetensors", "best.safetensors"),
    }
    snapshots = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert snapshots == ["00000004.safetensors", "00000006.safetensors"]
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [*["epoch"] * 3, "verdict"]


def test_the_model_of_a_run_loads_with_its_labels_and_clip(whole: Path) -> None:
    classifier = load(str(whole / "model.safetensors"))
    assert (classifier.labels, classifier.clip) == (LABELS, TINY.clip)
    assert not any("flow" in name for name in classifier.model.state_dict())


def test_a_resumed_run_names_videos_that_have_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(1, tmp_path)
    monkeypatch.setattr(MotionDataset, "videos", 3)
    first = next(fit.fit(TINY, tmp_path, device="cpu", resume=True))
    assert first == fit.TrainingNote("the dataset has changed: 3 videos to train on were 0")


def test_a_run_is_not_overwritten(done: Path) -> None:
    before = contents(done)
    with pytest.raises(OutputError, match="already holds a run") as caught:
        run(done)
    assert contents(done) == before
    assert (caught.value.exit_code, "--resume to continue it" in str(caught.value.hint)) == (
        5,
        True,
    )


def test_resuming_with_another_recipe_is_refused_but_more_epochs_are_fine(done: Path) -> None:
    other = replace(TINY, seed=1, optim=replace(TINY.optim, lr=0.5))
    with pytest.raises(RecipeError, match=r"(?m)optim.lr was 0.003, is 0.5; seed was 0, is 1$"):
        run(done, other, resume=True)
    # Videos are read in another size where they are kept.
    with pytest.raises(RecipeError, match=r"(?m)data.cache_mb was 0, is 1$"):
        run(done, replace(TINY, data=replace(TINY.data, cache_mb=9)), resume=True)
    # What a killed run leaves at the end of the log is dropped.
    with (done / "log.jsonl").open("ab") as file:
        file.write(b'{"event": "epo\xc3\n7\n{"event": "ste')
    # Nor does it matter what is said of a recipe, or how often the model is measured.
    longer = replace(TINY, optim=replace(TINY.optim, epochs=4, evaluate_every=3), source="new")
    assert sum(isinstance(e, fit.EpochDone) for e in run(done, longer, resume=True)) == 1
    lines = (done / "log.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events == [*["epoch"] * 3, "verdict", "epoch", "verdict"]


def test_a_run_begun_with_former_names_of_settings_resumes(done: Path) -> None:
    names = {"clip": "drawn", "data": "keep_mb", "optim": "tune"}
    new = {"clip": "train_sampling", "data": "cache_mb", "optim": "trainable"}

    def aged(plain: dict[str, Any]) -> dict[str, Any]:
        for section, name in names.items():
            plain[section][name] = plain[section].pop(new[section])
        return {
            {"init_scheme": "start", "temporal_head": "long"}.get(k, k): plain[k] for k in plain
        }

    saved = done / "recipe.json"
    saved.write_text(json.dumps(aged(json.loads(saved.read_text()))))
    checkpoint = checkpoints(done)[0]
    tensors, facts = load_state(checkpoint)
    save_state(checkpoint, tensors, facts | {"recipe": aged(facts["recipe"])})
    recipe = read_recipe(saved)
    assert recipe == TINY
    longer = replace(recipe, optim=replace(recipe.optim, epochs=4))
    assert sum(isinstance(e, fit.EpochDone) for e in run(done, longer, resume=True)) == 1
    assert "train_sampling" in saved.read_text()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def begin(folder: Path) -> None:
    """A run that ends before its first checkpoint, as those of older versions did for long."""
    run_until(object, folder)
    shutil.rmtree(folder / "checkpoints")
    assert {p.name for p in folder.iterdir()} == {"recipe.json", "log.jsonl"}


def test_a_run_killed_in_its_first_step_starts_again(whole: Path, tmp_path: Path) -> None:
    tuned, parts = tmp_path / "tuned" / "run", tmp_path / "parts" / "run"
    run(tuned, init=whole)
    run_until(fit.StepDone, parts, init=whole)
    run(parts, resume=True)  # init is in the recipe
    assert_same_files(parts, tuned)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_a_checkpoint_starts_over(tmp_path: Path, resume: bool) -> None:
    begin(tmp_path)
    events = run(tmp_path, resume=resume)
    assert sum(isinstance(e, fit.EpochDone) for e in events) == 3
    notes = [e.text for e in events if isinstance(e, fit.TrainingNote)]
    assert any("starts over" in text for text in notes) == resume
    assert "starts over" not in (tmp_path / "recipe.json").read_text()


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no run") as caught:
        run(tmp_path / "nowhere", resume=True)
    assert "--run-dir" in (caught.value.hint or "")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_model_whose_state_is_gone_is_not_overwritten(done: Path, resume: bool) -> None:
    shutil.rmtree(done / "checkpoints")
    with pytest.raises(OutputError, match="already holds a model"):
        run(done, resume=resume)


def test_resuming_for_fewer_epochs_says_so_and_changes_nothing(done: Path) -> None:
    before = contents(done)
    (note,) = run(done, replace(TINY, optim=replace(TINY.optim, epochs=1)), resume=True)
    assert isinstance(note, fit.TrainingNote)
    assert "3 epochs done and 1 asked for" in note.text
    assert contents(done) == before


def test_resuming_a_finished_run_says_that_it_is_complete_and_nothing_else(done: Path) -> None:
    before = contents(done)
    words = "the run is complete, 3 epochs done and 3 asked for; continue with --epochs 4 or more"
    assert run(done, resume=True) == [fit.TrainingNote(f"{done}: {words}")]
    assert contents(done) == before
    # A model that an interruption has kept from the disk is news.
    (done / "model.safetensors").unlink()
    saved, note = run(done, resume=True)
    assert (type(saved), type(note)) == (fit.CheckpointSaved, fit.TrainingNote)
    assert contents(done) == before


@pytest.mark.parametrize(
    ("optim", "text"),
    [
        ({"epochs": 1, "warmup_epochs": 1.5}, r"takes 1.5 epochs and the run 1: .* never reaches"),
        ({"schedule": "steps", "epochs": 1, "milestones": (0, 1)}, "fall at epoch 1, and the run "),
        ({"schedule": "cosine", "epochs": 1, "milestones": (1, 2)}, ""),
    ],
)
def test_a_run_too_short_for_its_learning_rates_says_so(
    optim: dict[str, Any], text: str, tmp_path: Path
) -> None:
    recipe = replace(TINY, optim=replace(TINY.optim, **optim))
    notes = [e.text for e in run(tmp_path / "run", recipe) if isinstance(e, fit.TrainingNote)]
    assert [bool(re.search(text, note)) for note in notes] == [True] * bool(text)


def test_fewer_clips_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="clips_per_epoch 7 is less than one batch of 8"):
        run(tmp_path, replace(TINY, data=replace(TINY.data, clips_per_epoch=7)))


def test_a_model_of_synthetic_data_is_free_and_named(whole: Path, tmp_path: Path) -> None:
    card = load(whole).card
    assert (card.name, card.license, card.training_data) == ("run", "Apache-2.0", "motion")
    theirs = make_card(replace(TINY, name="motion-tiny"), tmp_path / "mine", "", {"top1": 0.5})
    assert (theirs.name, theirs.license) == ("motion-tiny", "Apache-2.0")
    run(tmp_path / "tuned", replace(TINY, optim=replace(TINY.optim, epochs=1)), init=whole)
    card = load(tmp_path / "tuned").card
    assert (card.name, card.license) == ("tuned", "")
    assert card.source == f"vidattn train --dataset motion --init {whole.name}"
    assert make_card(replace(TINY, init=str(whole)), tmp_path / "mine", "", {}).license == ""


def test_weights_are_taken_over_and_a_head_of_other_classes_is_not(whole: Path) -> None:
    path = whole / "model.safetensors"
    given = load(str(path)).model.state_dict()
    other = replace(TINY, model=replace(TINY.model, classes=3))
    started = new_state(other, path).model.state_dict()
    assert started["head.weight"].shape[0] == 3
    assert_close(started["blocks.0.mlp.0.weight"], given["blocks.0.mlp.0.weight"], rtol=0, atol=0)
    wider = replace(TINY, model=replace(TINY.model, width=32))
    with pytest.raises(WeightsError, match="cannot start a model of width 32"):
        new_state(wider, path)


def test_log_and_metrics_repeat_exactly_except_timings(whole: Path, tmp_path: Path) -> None:
    run(tmp_path)
    rows = [read_csv(folder / "metrics.csv") for folder in (whole, tmp_path)]
    assert (whole / "log.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()
    for one, other in zip(*rows, strict=True):
        timed = {key for key in one if one[key] != other[key]}
        assert timed <= {"seconds", "waiting"}
        assert float(one["seconds"]) > 0
    assert [row["epoch"] for row in rows[0]] == ["1", "2", "3"]


def test_the_best_model_has_the_first_best_top1(finished_run: tuple[Path, list[fit.Event]]) -> None:
    folder, events = finished_run
    top1 = [e.scores["top1"] for e in events if isinstance(e, fit.EpochDone)]
    best, last = (load(folder / f"{name}.safetensors") for name in ("best", "model"))
    assert best.card.expect == f"motion top-1 {100 * max(top1):.1f} (validation clips)"
    first = top1.index(max(top1)) == len(top1) - 1
    assert torch.equal(best.model.state_dict()["cls"], last.model.state_dict()["cls"]) == first


def test_a_run_validates_at_intervals_and_at_the_end(whole: Path, tmp_path: Path) -> None:
    seldom = replace(TINY, optim=replace(TINY.optim, evaluate_every=2))
    events, expected = fit.fit(seldom, tmp_path / "run", device="cpu"), []
    for event in events:
        if isinstance(event, fit.CheckpointSaved):
            expected.append(load(event.path).card.expect)
            assert (tmp_path / "run" / "best.safetensors").exists() == (event.epoch > 1)
    often, resumed = read_csv(whole / "metrics.csv"), read_csv(tmp_path / "run" / "metrics.csv")
    assert [row["top1"] for row in resumed] == ["", often[1]["top1"], often[2]["top1"]]
    assert [row["loss"] for row in resumed] == [row["loss"] for row in often]
    assert [bool(text) for text in expected] == [False, True, True]
    assert "not measured" in (tmp_path / "run" / "curves.html").read_text()
    # Stopped after an epoch that is not measured, it leaves the same.
    parts = tmp_path / "parts" / "run"
    run_until(fit.CheckpointSaved, parts, seldom)
    run(parts, seldom, resume=True)
    for name in ("log.jsonl", "best.safetensors", "curves.svg"):
        assert (parts / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_an_epoch_that_becomes_the_last_is_validated_and_counts_once(tmp_path: Path) -> None:
    seldom = replace(TINY, optim=replace(TINY.optim, evaluate_every=3))
    run_until(fit.CheckpointSaved, tmp_path, seldom)
    before = read_csv(tmp_path / "metrics.csv")
    one = replace(seldom, optim=replace(seldom.optim, epochs=1))
    assert [e.epoch for e in run(tmp_path, one, resume=True) if isinstance(e, fit.EpochDone)] == [1]
    now = read_csv(tmp_path / "metrics.csv")
    assert (before[0]["top1"], len(now)) == ("", 1)
    assert now[0]["top1"]
    assert {**now[0], "top1": "", "mean_class": "", "nll": ""} == before[0]
    run(tmp_path, seldom, resume=True)
    assert [bool(row["top1"]) for row in read_csv(tmp_path / "metrics.csv")] == [True, False, True]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == [1, 2, 3]


def test_a_stop_request_saves_and_ends_after_the_step(whole: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts" / "run"
    seen: list[fit.Event] = []
    stop = {"number": 0}
    for event in fit.fit(TINY, parts, device="cpu", stop_signal=lambda: stop["number"]):
        seen.append(event)
        if isinstance(event, fit.StepDone) and event.step == 2:
            stop["number"] = 15
    assert seen[-1] == fit.Interrupted(2, 15)  # in the middle of measuring the first epoch
    assert not (parts / "model.safetensors").exists()
    run(parts, resume=True)
    assert_same_files(parts, whole)


def test_a_signal_in_a_step_waits_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = {"number": 0}
    losses = Trainer._losses

    def signalled(trainer: Trainer, *words: object) -> object:
        stop["number"] = 2 if trainer.state.step == 2 else 0
        return losses(trainer, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_losses", signalled)
    seen = list(fit.fit(TINY, tmp_path, device="cpu", stop_signal=lambda: stop["number"]))
    assert [e.step for e in seen if isinstance(e, fit.StepDone)] == [1, 2, 3]
    assert seen[-1] == fit.Interrupted(3, 2)
    assert (tmp_path / "checkpoints" / "00000003.safetensors").exists()


@pytest.mark.parametrize("optim", [{"mixup": 0.8}, {"cutmix": 1.0}])
def test_a_batch_without_pairs_is_not_mixed_in_silence(optim: dict[str, float]) -> None:
    recipe = replace(TINY, optim=replace(TINY.optim, batch_size=3, flow_weight=0.0, **optim))
    assert open_training_dataset(recipe, None).batch_size == 3  # the odd one stays as it is
    with pytest.raises(
        RecipeError, match=r"mix pairs, and batches of 3 leave 2 processes"
    ) as caught:
        open_training_dataset(recipe, None, (0, 2))
    assert caught.value.hint == "batches of 4 or more have a partner for each; see --batch-size"
    single = replace(recipe, optim=replace(recipe.optim, batch_size=1))
    with pytest.raises(RecipeError, match="batches of 1 leave a single clip"):
        open_training_dataset(single, None)


def test_checkpoints_come_at_the_given_interval_and_the_last_stay(tmp_path: Path) -> None:
    run_until(5, tmp_path, options=fit.RunOptions(save_every=1, keep=3))
    snapshots = sorted(p.stem for p in (tmp_path / "checkpoints").iterdir())
    assert snapshots == ["00000003", "00000004", "00000005"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_resumed_run_ends_with_the_same_files(whole: Path, tmp_path: Path, step: int) -> None:
    parts = tmp_path / "parts" / "run"
    run_until(step, parts, options=fit.RunOptions(save_every=1))
    torch.manual_seed(123)
    rest = run(parts, resume=True)
    assert next(e.step for e in rest if isinstance(e, fit.StepDone)) == step + 1
    assert_same_files(parts, whole)


HALF = """
from pathlib import Path
from vidattn.config import Recipe
from vidattn.config.serialization import from_plain

recipe = from_plain(Recipe, json.loads(sys.argv[1]))
for event in vidattn.training.fit.fit(
    recipe, Path(sys.argv[2]), device="cpu", options=vidattn.training.fit.RunOptions(save_every=1)
):
    if isinstance(event, vidattn.training.fit.StepDone) and event.step == 3:
        break
print(event.step, flush=True)
os._exit(0)
"""


@pytest.mark.slow
def test_a_run_of_two_processes_can_be_finished_by_one(whole: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts" / "run"
    words = json.dumps(to_plain(TINY)), parts
    assert together("import vidattn.training.fit, os\n" + HALF, tmp_path / "out", *words) == [3, 3]
    run(parts, resume=True)
    clips = torch.randn(8, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (load(folder).model(clips) for folder in (whole, parts))
    assert_close(other, one, rtol=0, atol=1e-4)


def test_a_sharded_model_does_not_choose_micro_batches(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot choose micro-batches") as caught:
        run(tmp_path / "run", options=fit.RunOptions("fsdp", auto_micro_batch=True))
    assert "optim.accumulate" in (caught.value.hint or "")
    assert not (tmp_path / "run").exists()


def test_what_lingers_of_a_killed_run_is_waited_for(tmp_path: Path) -> None:
    left = (tmp_path / LOCK).open("w")
    fcntl.flock(left, fcntl.LOCK_EX)
    threading.Timer(0.3, left.close).start()
    with lock_run_dir(tmp_path):
        assert left.closed


def test_one_process_trains_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidattn.training.run_dir.LINGER", 0.0)
    with lock_run_dir(tmp_path), pytest.raises(OutputError, match="another process trains here"):
        run(tmp_path)


def test_partial_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    begin(tmp_path)
    left = tmp_path / "checkpoints" / ".vidattn-0123.part"
    left.parent.mkdir()
    left.write_bytes(b"half")
    run(tmp_path)
    assert not left.exists()


def test_a_dataset_that_has_changed_since_is_refused(done: Path) -> None:
    fewer = replace(TINY, data=replace(TINY.data, workers=0))
    state = done / "checkpoints" / "00000006.safetensors"
    tensors, facts = load_state(state)
    save_state(state, tensors, {**facts, "steps_per_epoch": 3})
    with pytest.raises(RecipeError, match="an epoch had 3 steps and would now have 2"):
        run(done, fewer, resume=True)


def assert_same_files(one: Path, other: Path) -> None:
    """Compare the files of two runs, byte for byte."""
    names = "log.jsonl recipe.json curves.svg curves.html model.safetensors best.safetensors"
    for name in (*names.split(), "checkpoints/00000006.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name

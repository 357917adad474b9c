"""Optimizer steps: micro-batches, processes, precision, and gradients that are not finite."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.together import together
from tests.training.test_fit import STAM, TINY
from vidattn.config import OptimConfig, Recipe
from vidattn.config.recipes import find_recipe
from vidattn.config.serialization import to_plain
from vidattn.data.batch import Batch
from vidattn.data.motion.dataset import MotionSamples
from vidattn.errors import DivergenceError, MemoryLimitError
from vidattn.evaluation.dataset import predict_logits
from vidattn.models.distributed import World
from vidattn.training.artifacts import validate
from vidattn.training.data import open_training_dataset
from vidattn.training.trainer import (
    PATIENCE,
    Trainer,
    TrainState,
    largest_micro_batch,
    new_state,
    trainable_parameters,
)


class Remembered:
    """Cached batches: rendering them takes longer than a step."""

    def __init__(self, recipe: Recipe) -> None:
        self._made = functools.cache(MotionSamples(recipe).__getitem__)

    def __getitem__(self, number: int) -> Batch:
        return self._made(number)


BATCHES = Remembered(TINY)
KINDS = ("TimeSformer", "STAM")


def changed(recipe: Recipe = TINY, **optim: object) -> Recipe:
    return replace(recipe, optim=replace(recipe.optim, **optim))  # type: ignore[arg-type]


def train(recipe: Recipe, steps: int = 2, parts: int = 0) -> tuple[TrainState, list[float]]:
    """The state after some steps, and their losses."""
    state = new_state(recipe, None)
    trainer = Trainer(state, recipe, per_epoch=2, micro_batches=parts)
    return state, [trainer.train_step(BATCHES[number]).loss for number in range(steps)]


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize(
    "kind", [TINY, STAM, changed(mixup=0.8, cutmix=1.0, flow_weight=0.0)], ids=(*KINDS, "mixed")
)
def test_micro_batches_teach_the_same_as_the_whole_batch(parts: int, kind: Recipe) -> None:
    """They drop the same layers, too."""
    recipe = changed(kind, kind="sgd", lr=0.05, clip_norm=0.5)
    whole, parted = train(recipe), train(changed(recipe, accumulate=parts))
    assert parted[1] == pytest.approx(whole[1], rel=1e-5)
    assert_close(parted[0].model.state_dict(), whole[0].model.state_dict(), rtol=1e-4, atol=2e-5)


def test_what_a_step_draws_does_not_depend_on_what_came_before() -> None:
    one, other = new_state(TINY, None), new_state(TINY, None)
    torch.manual_seed(5)
    Trainer(one, TINY, per_epoch=2).train_step(BATCHES[0])
    torch.manual_seed(6)
    Trainer(other, TINY, per_epoch=2).train_step(BATCHES[0])
    assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)


TOGETHER = """
from pathlib import Path
import torch
from vidattn.training import fit
from vidattn.config import OptimConfig, Recipe
from vidattn.config.recipes import find_recipe
from vidattn.models.distributed import join_world
from vidattn.config.serialization import from_plain

plain, folder = sys.argv[1:]
recipe, told = from_plain(Recipe, json.loads(plain)), []
with join_world(torch.device("cpu")):
    for name, strategy, resume in json.loads(RUNS):
        seen, folder_of = [], Path(folder, name, "run")
        options = {"device": "cpu", "options": fit.RunOptions(strategy), "resume": resume}
        asked = lambda: 15 if name == "parts" and not resume and len(seen) > 4 else 0
        for event in fit.fit(recipe, folder_of, stop_signal=asked, **options):
            seen.append(event)
        told.append({
            "loss": [e.loss for e in seen if isinstance(e, fit.StepDone)],
            "scores": [dict(e.scores) for e in seen if isinstance(e, fit.EpochDone)],
        })
print(json.dumps(told))
"""
RUNS = [("ddp", "ddp", 0), ("fsdp", "fsdp", 0), ("parts", "ddp", 0), ("parts", "ddp", 1)]


@pytest.mark.slow
def test_three_processes_learn_the_same_as_one_and_resume_exactly(tmp_path: Path) -> None:
    from vidattn.training import fit
    from vidattn.weights.loading import load

    # Seven clips do not divide evenly, nor do their parts.
    recipe = changed(batch_size=7, accumulate=2, kind="sgd", lr=0.05, epochs=2)
    recipe = changed(recipe, mixup=0.8, flow_weight=0.0)
    recipe = replace(recipe, data=replace(recipe.data, val_clips=7))
    events = list(fit.fit(recipe, tmp_path / "one" / "run", device="cpu"))
    alone = [e.loss for e in events if isinstance(e, fit.StepDone)]
    scores = [dict(e.scores) for e in events if isinstance(e, fit.EpochDone)]
    code = f"RUNS = {json.dumps(RUNS)!r}\n{TOGETHER}"
    results = together(code, tmp_path / "told", json.dumps(to_plain(recipe)), tmp_path, count=3)
    assert results[0] == results[1] == results[2]
    one = load(tmp_path / "one" / "run").model.state_dict()
    for rates, (strategy, *_) in zip(results[0][:2], RUNS[:2], strict=True):
        assert rates["loss"] == pytest.approx(alone, rel=1e-5)
        for epoch, expected in zip(rates["scores"], scores, strict=True):
            assert epoch == pytest.approx(expected, abs=1e-5)  # every validation clip counts once
        three = load(tmp_path / strategy / "run").model.state_dict()
        assert_close(three, one, rtol=1e-4, atol=1e-5)
    halted, resumed = (rates["loss"] for rates in results[0][2:])
    assert len(halted) == 3  # it was asked to stop in the second of two epochs
    assert halted + resumed == results[0][0]["loss"]
    for name in ("model.safetensors", "log.jsonl", "checkpoints/00000004.safetensors"):
        parts, whole = (tmp_path / run / "run" / name for run in ("parts", "ddp"))
        assert parts.read_bytes() == whole.read_bytes(), name


def test_bf16_learns_nearly_the_same_and_keeps_parameters_in_fp32() -> None:
    exact, rough = train(TINY, 6), train(changed(precision="bf16"), 6)
    assert rough[1] == pytest.approx(exact[1], rel=0.05)
    assert rough[1] != exact[1]
    assert {p.dtype for p in rough[0].model.parameters()} == {torch.float32}


def poisoned(number: int) -> Batch:
    batch = BATCHES[number]
    return batch._replace(clips=batch.clips * float("nan"))


def test_fp32_stops_at_the_first_loss_that_is_not_finite() -> None:
    state = new_state(TINY, None)
    before = {k: v.clone() for k, v in state.model.state_dict().items()}
    with pytest.raises(DivergenceError, match=r"(?m)not finite, at step 1$"):
        Trainer(state, TINY, per_epoch=2).train_step(poisoned(0))
    assert_close(state.model.state_dict(), before, rtol=0, atol=0)


def test_bf16_leaves_out_such_steps_and_stops_after_several_in_a_row() -> None:
    recipe = changed(precision="bf16", ema=0.9)
    state = new_state(recipe, None)
    trainer = Trainer(state, recipe, per_epoch=2)
    trainer.train_step(BATCHES[0])
    before = {k: v.clone() for k, v in state.tensors().items()}
    assert not trainer.train_step(poisoned(1)).finite
    assert_close(state.tensors(), before, rtol=0, atol=0)
    assert trainer.train_step(BATCHES[1]).finite
    for _ in range(PATIENCE - 1):
        trainer.train_step(poisoned(1))
    with pytest.raises(DivergenceError, match=f"for the {PATIENCE}th time in a row"):
        trainer.train_step(poisoned(1))


def test_smoothed_labels_cost_a_sure_model_more() -> None:
    rates = []
    for smoothing in (0.0, 0.5):
        recipe = changed(label_smoothing=smoothing)
        state = new_state(recipe, None)
        with torch.no_grad():
            state.model.head.bias.copy_(torch.arange(10.0))
        rates.append(Trainer(state, recipe, per_epoch=1).train_step(BATCHES[0]).loss)
    assert abs(rates[0] - rates[1]) > 0.1


@pytest.mark.parametrize("kind", [TINY, STAM], ids=KINDS)
def test_a_hundred_steps_on_one_easy_batch_halve_the_loss(kind: Recipe) -> None:
    recipe = changed(kind, epochs=60)
    easy = replace(recipe, data=replace(recipe.data, min_difficulty=0.0, curriculum=1.0))
    batch = MotionSamples(easy)[0]
    trainer = Trainer(new_state(recipe, None), recipe, per_epoch=2)
    losses = [trainer.train_step(batch).loss for _ in range(100)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_clips_move_to_the_gpu_without_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[torch.Size]()

    def moved(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
        seen.append(batch.shape)
        return batch.to(device)

    for module in ("training.trainer", "training.artifacts", "evaluation.dataset"):
        monkeypatch.setattr(f"vidattn.{module}.to_device", moved)
    clips = BATCHES[0].clips.shape
    state, _ = train(TINY, steps=1)
    assert clips in seen
    seen.clear()
    validate(state, open_training_dataset(TINY, None), TINY, World())
    assert seen
    seen.clear()
    predict_logits(state.model, [BATCHES[0]])
    assert seen == [clips]


def test_a_state_is_restored_to_the_bit() -> None:
    recipe = changed(ema=0.9)
    state, _ = train(recipe, 3)
    tensors = {k: v.clone() for k, v in state.tensors().items()}
    other = new_state(replace(recipe, seed=4), None)
    other.restore(tensors, state.facts())
    assert_close(other.tensors(), tensors, rtol=0, atol=0)
    assert other.facts() == state.facts()


def test_a_run_from_when_sgd_decayed_batch_norms_resumes() -> None:
    """Its optimizer had one group, in the order of the network."""
    recipe = replace(find_recipe("small-x3d"), optim=OptimConfig(kind="sgd"))
    state, other = new_state(recipe, None), new_state(recipe, None)
    for parameter in state.network.parameters():
        parameter.grad = torch.randn_like(parameter)
    state.optimizer.step()
    places = {id(p): k for k, p in enumerate(trainable_parameters(state.optimizer))}
    numbers = {places[id(p)]: k for k, p in enumerate(state.network.parameters())}
    tensors, older = state.tensors(), dict[str, torch.Tensor]()
    for name, value in tensors.items():
        kind, *rest = name.split(".")
        old = [kind, f"{numbers[int(rest[0])]}", *rest[1:]] if kind == "optimizer" else [name]
        older[".".join(old)] = value
    other.restore(older, state.facts())
    assert_close(other.tensors(), tensors, rtol=0, atol=0)


class Small:
    """A network in a memory that holds `most` clips."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.state = new_state(TINY, None)
        forward = self.state.network.forward

        def limited(clips: torch.Tensor) -> object:
            if len(clips) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(clips)

        monkeypatch.setattr(self.state.network, "forward", limited)


@pytest.mark.parametrize(("most", "rates"), [(99, 8), (7, 4), (3, 2), (1, 1)])
def test_micro_batches_are_halved(monkeypatch: pytest.MonkeyPatch, most: int, rates: int) -> None:
    state = Small(monkeypatch, most).state
    assert largest_micro_batch(state, TINY, World(), 8) == rates
    assert all(p.grad is None for p in state.model.parameters())


def test_memory_for_not_a_single_clip_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemoryLimitError, match="a single clip"):
        largest_micro_batch(Small(monkeypatch, 0).state, TINY, World(), 8)
    with pytest.raises(MemoryLimitError) as caught:
        Trainer(Small(monkeypatch, 4).state, TINY, per_epoch=2).train_step(BATCHES[0])
    assert "--batch-size auto" in (caught.value.hint or "")


def test_the_time_of_a_step_is_reported_by_phase() -> None:
    from vidattn.training.benchmark import PHASES, step_times

    rates = step_times(TINY, None, device="cpu", rounds=2)
    assert tuple(rates.seconds) == PHASES
    assert all(seconds > 0 for seconds in rates.seconds.values())
    assert rates.clips_per_second == pytest.approx(8 / sum(rates.seconds.values()))

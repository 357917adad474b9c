"""The time of a training step, by phase: data, forward, backward, optimizer."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from vidattn.config import Recipe
from vidattn.models.device import Runtime
from vidattn.models.distributed import World
from vidattn.training.data import fit_recipe, open_training_dataset
from vidattn.training.trainer import Trainer, new_state

PHASES = ("data", "forward", "backward", "optimizer")


@dataclass(frozen=True)
class StepTimes:
    """Medians over steps, in seconds."""

    recipe: str
    device: str
    clips: int
    """In a batch."""
    workers: int
    seconds: dict[str, float]
    """By phase, see PHASES; "data" is the wait for a batch."""

    @property
    def clips_per_second(self) -> float:
        """Throughput with all phases in sequence."""
        return self.clips / sum(self.seconds.values())


def step_times(
    recipe: Recipe, data_root: Path | None, *, device: str = "auto", rounds: int = 5
) -> StepTimes:
    """Time real steps on the dataset of a recipe; the first, a warm-up, does not count.

    Raises DataError when the dataset is not found.
    """
    world = World(device=Runtime(device=device).torch_device())
    dataset = open_training_dataset(recipe, data_root)
    recipe = fit_recipe(recipe, dataset)
    trainer = Trainer(new_state(recipe, None, world), recipe, dataset.steps_per_epoch, world)
    watch = _Watch(world.device)
    trainer.on_phase = watch
    batches, clips = dataset.batches(0), 0
    for number in range(rounds + 1):
        watch.begin()
        batch = next(batches, None)
        if batch is None:
            break
        watch("data")
        clips = trainer.train_step(batch).clips
        watch.end(counts=number > 0)
    seconds = {phase: statistics.median(watch.times[phase]) for phase in PHASES}
    return StepTimes(recipe.name, str(world.device), clips, recipe.data.workers, seconds)


class _Watch:
    """Times the phases of steps; waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times: dict[str, list[float]] = {phase: [] for phase in PHASES}

    def begin(self) -> None:
        self._last, self._step = time.perf_counter(), dict.fromkeys(PHASES, 0.0)

    def __call__(self, phase: str) -> None:
        """End the phase of this name."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._step[phase] += now - self._last
        self._last = now

    def end(self, *, counts: bool) -> None:
        for phase, seconds in self._step.items():
            if counts:
                self.times[phase].append(seconds)

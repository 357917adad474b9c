"""The throughput of a training run; and the time of a step by phase: data, forward, backward,
optimizer."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from vidattn.config import Recipe
from vidattn.data.batch import Batch
from vidattn.models.device import Runtime
from vidattn.models.distributed import World
from vidattn.training.data import fit_recipe, open_training_dataset
from vidattn.training.trainer import Trainer, new_state, translate_oom

PHASES = ("data", "forward", "backward", "optimizer")
RECENT = 100
"""Steps that the estimate of the time left goes by."""


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


class Throughput:
    """Measures speed, and the fraction of time spent waiting for data."""

    def __init__(self) -> None:
        self._began, self._waited, self.clips = time.monotonic(), 0.0, 0
        self._lap = (self._began, 0.0)
        self._asked, self._validation = self._began, 0.0
        self._steps: deque[float] = deque(maxlen=RECENT)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time a validation, for the estimate of what is left."""
        began = time.monotonic()
        yield
        self._validation = time.monotonic() - began

    def end_step(self, clips: int) -> None:
        """Count a step of so many clips."""
        self.clips += clips
        self._steps.append(time.monotonic() - self._asked)

    def estimate(self, steps: int, validations: int) -> float:
        """Seconds that so many steps and validations will take, going by the last ones.

        The first step of a run does not count: processes start and files are opened in it.
        """
        recent = list(self._steps)[1:] or list(self._steps)
        return sum(recent) / len(recent) * steps + self._validation * validations

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; the time until each arrives counts as waiting."""
        while True:
            asked = self._asked = time.monotonic()
            with translate_oom():
                batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            yield batch

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._began, 1e-9)

    @property
    def waiting(self) -> float:
        """Fraction of the time, 0 to 1."""
        return min(1.0, self._waited / self.seconds)

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, and the fraction of them spent waiting."""
        now = time.monotonic()
        began, waited = self._lap
        self._lap = (now, self._waited)
        seconds = max(now - began, 1e-9)
        return seconds, min(1.0, (self._waited - waited) / seconds)

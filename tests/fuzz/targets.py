"""What vidattn does with a file of each kind, through its public doors, and what must hold after.

A target returns one word about what came of a file, or raises VidattnError. Anything else is a
finding: another exception, or a result that contradicts itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import mutate
import numpy as np
import torch
from seeds import IDENTITY

import vidattn
from vidattn import weights
from vidattn.config import recipes
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.data.sets.csv_list import open_table
from vidattn.errors import VideoError
from vidattn.evaluation import predictions
from vidattn.inference.score_log import ScoreLog
from vidattn.output import WRITERS, render
from vidattn.timeline import Timeline, shot_cuts
from vidattn.training.checkpoint import load_state
from vidattn.video import Limits, ProcessPool, open_video

SILENCE = 10.0
"""Seconds after which a silent decoder is given up here."""
FRAMES = 60
WHOLE = 0.1
"""Share of the videos that are segmented as well as decoded."""
SMALL_CLIP = 1 << 22
"""Values of a clip that is tried with a model that loaded."""


class Videos:
    """Decodes videos, all in one kept process, and segments some of them."""

    def __init__(self, seed: int) -> None:
        self.pool = ProcessPool()
        self._classifier = weights.load("motion-tiny")
        self._seed = seed

    def __call__(self, path: Path, chance: random.Random) -> str:
        """Read some frames here and there, then the first ones in order."""
        failed = False
        with open_video(
            path, short_side=32, limits=Limits(silence_seconds=SILENCE), pool=self.pool
        ) as video:
            times = video.times
            assert len(times) == video.frames > 0
            assert times[0] == 0
            assert np.isfinite(times).all()
            assert (np.diff(times) > 0).all()
            assert times[-1] <= video.duration < float("inf")
            try:
                some = video.read(sorted({0, video.frames // 2, video.frames - 1}))
                assert some.shape[1:] == (video.height, video.width, 3)
            except VideoError:
                failed = True
            seen = [i for i, _ in video.stream(range(min(video.frames, FRAMES)))]
            assert seen == sorted(set(seen))
            for part in video.unreadable:
                assert 0 <= part.window.start < part.window.stop
            failed = failed or bool(video.unreadable)
        if chance.random() < WHOLE:
            timeline = vidattn.segment(path, self._classifier, end=chance.choice((4.0, None)))
            _consistent(timeline)
        return "in part" if failed else "whole"


def _consistent(timeline: Timeline) -> None:
    """A timeline can be written and read again."""
    again = Timeline.from_json(timeline.to_json())
    assert [s.label for s in again.segments] == [s.label for s in timeline.segments]
    rows = timeline.segments
    assert all(a.window.stop <= b.window.start for a, b in pairwise(rows))


def timeline(path: Path, chance: random.Random) -> str:
    """Read a saved timeline, decide again, write it in some formats."""
    loaded = Timeline.from_json(path.read_bytes())
    _consistent(loaded)
    for fmt in chance.sample(sorted(WRITERS), 4):
        render(loaded, fmt).encode()
    return "whole"


def table(path: Path, chance: random.Random) -> str:
    """Open a list as a dataset."""
    loaded = [len(open_table(path, half, max_missing=1.0).items) for half in ("train", "val")]
    return f"{'whole' if sum(loaded) else 'in part'}"


def ground_truth(path: Path, chance: random.Random) -> str:
    """Read annotations."""
    assert read_ground_truth(path).videos
    return "whole"


def scenes(path: Path, chance: random.Random) -> str:
    """Read shot cuts."""
    times = shot_cuts.load_cuts(path).times
    assert list(times) == sorted(set(times))
    return "whole"


def recipe(path: Path, chance: random.Random) -> str:
    """Read a recipe."""
    recipes.read_recipe(path)
    return "whole"


def log(path: Path, chance: random.Random) -> str:
    """Go on with a window log."""
    with ScoreLog(path, resume=True) as loaded:
        known = loaded.begin(IDENTITY, 3)
    assert list(known) == list(range(len(known)))
    return "in part" if loaded.notes else "whole"


def saved_predictions(path: Path, chance: random.Random) -> str:
    """Read a dump of predictions."""
    loaded = predictions.load_predictions(path)
    assert np.isfinite(loaded.logits).all()
    return "whole"


def state(path: Path, chance: random.Random) -> str:
    """Read the state of a training run."""
    load_state(path)
    return "whole"


def model(path: Path, chance: random.Random) -> str:
    """Load a model, and run it if its clips are small."""
    loaded = weights.load(path)
    config = loaded.model.config
    shape = (1, 3, config.frames, config.size, config.size)
    if np.prod(shape) <= SMALL_CLIP:
        with torch.no_grad():
            logits = loaded.model(torch.zeros(shape))
        assert logits.shape == (1, len(loaded.labels))
    return "whole"


def folder(path: Path, chance: random.Random) -> str:
    """Load the Hugging Face folder that a file lies in."""
    return model(path.parent, chance)


@dataclass(frozen=True)
class Target:
    """How files of a kind are spoiled, how they are read, and by which command."""

    spoil: Callable[[bytes, random.Random, bytes], bytes]
    read: Callable[[Path, random.Random], str]
    command: tuple[str, ...] = ()
    """Words of the command line; FILE is the file. Empty where no command takes one alone."""
    share: float = 1.0
    """How often this kind is drawn, beside others."""


CUTS = ("timeline", "clip_0.vidattn.json", "--cuts", "FILE")
DUMP = ("eval", "--from-dump", "FILE")
SEGMENT = ("segment", "FILE", "-m", "motion-tiny", "-f", "json,srt", "-o", "out")
TRUTH = ("compare", "FILE", "clip_0.vidattn.json")
INFO = ("models", "verify", "FILE")


def targets(seed: int) -> dict[str, Target]:
    """All kinds by their names."""
    return {
        "video": Target(mutate.untimely, Videos(seed), SEGMENT, 12),
        "timeline": Target(mutate.falsified, timeline, ("timeline", "FILE", "-f", "srt,html"), 2),
        "log": Target(mutate.records, log),
        "table": Target(mutate.misspelled, table, ("data", "check", "FILE")),
        "lines": Target(mutate.falsified_lines, table, ("data", "check", "FILE")),
        "truth": Target(mutate.misspelled, ground_truth, TRUTH),
        "database": Target(mutate.falsified, ground_truth, TRUTH),
        "annotations": Target(mutate.misspelled, ground_truth, TRUTH),
        "tasks": Target(mutate.falsified, ground_truth, TRUTH),
        "cuts": Target(
            mutate.misspelled, scenes, ("timeline", "clip_0.vidattn.json", "--cuts", "FILE")
        ),
        "recipe": Target(mutate.falsified, recipe),
        "predictions": Target(mutate.archive, saved_predictions, DUMP),
        "prediction-lines": Target(
            mutate.falsified_lines, saved_predictions, ("eval", "--from-dump", "FILE")
        ),
        "state": Target(mutate.safetensors, state),
        "weights": Target(mutate.safetensors, model, INFO, 2),
        "pickle": Target(mutate.archive, model, INFO, 2),
        "hub-json": Target(mutate.falsified, folder),
        "hub-weights": Target(mutate.safetensors, folder),
    }

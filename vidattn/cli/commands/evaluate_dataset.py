"""The work of `vidattn eval`: from a model and a set, or a dump, to figures and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidattn.cli.commands import expect
from vidattn.cli.terminal import metrics
from vidattn.cli.terminal.console import Console, ProgressBar
from vidattn.errors import DataError, ExitCode, UsageError
from vidattn.inference.batch.outputs import require_writable
from vidattn.io.json import dumps
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.config import ViewConfig
    from vidattn.evaluation.dataset import Sampling
    from vidattn.evaluation.predictions import Predictions
    from vidattn.models.classifier import Classifier
    from vidattn.models.device import Runtime
    from vidattn.video import Limits

T = TypeVar("T")
RANK = "RANK"
"""Environment variable with the number of this process, see `vidattn.models.distributed`."""
UNEVEN = 600.0
"""Seconds that one process may be done with its share of the videos before another."""
MOST_WORKERS = 8
"""That are started unasked, to keep a GPU busy."""


def leads() -> bool:
    """Whether this process speaks and writes for all that measure together."""
    return os.environ.get(RANK, "0") == "0"


@dataclass(frozen=True)
class Look:
    """How a model looks at the videos of a set."""

    views: ViewConfig
    frames: int | None
    sampling: Sampling
    workers: int | None
    runtime: Runtime
    limits: Limits

    def reading(self) -> int:
        """How many processes read ahead: with a GPU, which waits for them, some unasked."""
        if self.workers is not None:
            return self.workers
        on_gpu = self.runtime.torch_device().type == "cuda"
        return min(MOST_WORKERS, os.cpu_count() or 1) if on_gpu else 0


@dataclass(frozen=True)
class Files:
    """What is written beside the figures, each None when it is not wanted."""

    dump: Path | None = None
    confusion: Path | None = None
    model: Path | None = None
    """The classifier with its fitted temperature."""

    def check(self) -> None:
        """Find out now, not after hours, that something cannot be written or has a wrong name."""
        from vidattn.evaluation.predictions import require_dump_name

        if self.dump is not None:
            require_dump_name(self.dump)
        if self.model is not None and self.model.suffix != ".safetensors":
            raise UsageError(f"-o {self.model}: the name of a weights file ends in .safetensors")
        for path in (self.dump, self.confusion, self.model):
            if path is not None:
                require_writable(path.parent)


def answers_of(
    desk: Console, classifier: Classifier, look: Look, name: str, data_root: Path | None, clips: int
) -> Predictions:
    """What a classifier says to a set; `clips` of it if it is made for the purpose."""
    from vidattn.models.temporal_head import TemporalHead

    if isinstance(classifier.model, TemporalHead):
        return _long(desk, classifier, name, data_root)
    if name == "motion":
        return _motion(desk, classifier, look, data_root, clips)
    return _files(desk, classifier, look, name, data_root)


def _long(desk: Console, head: Classifier, name: str, data_root: Path | None) -> Predictions:
    """On films, from the embeddings of their windows."""
    from vidattn.data.sets.registry import open_dataset
    from vidattn.evaluation.whole_video import predict_dataset as answers_over_windows

    found = open_dataset(name, data_root, "val")
    for note in found.notes:
        desk.note(note)
    desk.note(f"{len(found.items)} films, all of their windows")
    answers = answers_over_windows(head, found)
    return replace(answers, about={**answers.about, "dataset": name})


def _motion(
    desk: Console, classifier: Classifier, look: Look, folder: Path | None, count: int
) -> Predictions:
    """On clips made for the purpose, with textures that training never saw."""
    from vidattn.data.motion.dataset import LABELS, validation_samples
    from vidattn.evaluation.dataset import predict_logits
    from vidattn.evaluation.predictions import Predictions

    if classifier.labels != LABELS:
        raise DataError(
            f"{classifier.card.name}: its labels are not those of the data set motion",
            hint="name the set it was trained on with --dataset",
        )
    if look.frames not in (None, classifier.clip.frames):
        raise UsageError("--frames: clips of the set motion are as long as the model's")
    if (look.views.spatial, look.views.clips) != (1, 1):
        desk.note("clips of the set motion are square and as long as the model's: one view is all")
    source = folder or "textures drawn for the purpose"
    desk.note(
        f"{count_noun(count, 'clip')} over {source}, full difficulty, all classes equally often"
    )
    size = 50
    batches = validation_samples(classifier.clip, count, folder=folder, batch_size=size)
    with desk.progress("motion", -(-count // size)) as track:
        logits, labels = predict_logits(
            classifier.model, _counted(batches, track), look.runtime.torch_device()
        )
    about = {
        "model": classifier.card.name,
        "sha256": classifier.card.sha256,
        "dataset": "motion",
        "videos": count,
        "failed": [],
        "settings": {"views": "1x1", "frames": classifier.clip.frames, "textures": str(source)},
    }
    paths = tuple(f"motion/{number:05d}" for number in range(count))
    return Predictions(classifier.labels, paths, labels, logits, classifier.temperature, about)


def _counted(items: Iterable[T], track: ProgressBar) -> Iterator[T]:
    for item in items:
        yield item
        track.step()


def _files(
    desk: Console, classifier: Classifier, look: Look, name: str, data_root: Path | None
) -> Predictions:
    """On labelled videos: every one once, those that do not decode listed and never replaced."""
    from vidattn.data import sampling
    from vidattn.data.sets.registry import open_dataset
    from vidattn.evaluation.dataset import DatasetEvaluator
    from vidattn.models.distributed import join_world

    found = open_dataset(name, data_root, "val")
    for note in found.notes:
        desk.note(note)
    desk.note(
        f"{count_noun(len(found.items), 'video')}, {sampling.describe_views(look.views)} each"
    )
    with join_world(look.runtime.torch_device(), UNEVEN) as world:
        task = DatasetEvaluator(
            classifier,
            found,
            look.views,
            sampling=look.sampling,
            frames=look.frames,
            runtime=replace(look.runtime, device=str(world.device)),
            limits=look.limits,
        )
        mine = task.predict((world.rank, world.size), look.reading())
        with desk.progress(name, -(-len(found.items) // world.size)) as track:
            done = task.gather(world, _counted(mine, track))
    answers = task.collect(done)
    return replace(answers, about={**answers.about, "dataset": name})


def words_of(settings: dict[str, Any]) -> str:
    """What a model was shown of each video, for people; empty when settings do not say it."""
    from vidattn.data import sampling

    if not {"views", "frames", "sampling", "short_side", "averaging"} <= settings.keys():
        return ""
    views = sampling.describe_views(sampling.parse_views(settings["views"]))
    step = settings.get("step_seconds")
    pace = f"one every {step:.3g} s" if step else "spread over the video"
    if settings["sampling"] == "official":
        pace = "those of the official code"
    return (
        f"{views} of {settings['frames']} frames, {pace}, short side {settings['short_side']}; "
        f"{settings['averaging']}s averaged"
    )


def deliver(
    desk: Console,
    answers: Predictions,
    files: Files,
    wanted: Sequence[expect.Expectation],
    *,
    published: str = "",
    fitted: Callable[[float], None] | None,
    as_json: bool,
) -> int:
    """Write and show all figures; the exit code.

    published: what the model's card says of its scores on this set. fitted: what becomes of the
    temperature that fits best, before anything is shown; without it none is looked for.
    """
    from vidattn.evaluation.classification import fit_temperature, measure_predictions
    from vidattn.evaluation.predictions import save_predictions

    result = measure_predictions(answers)
    if fitted:
        result["calibration"] = fit_temperature(answers)
        fitted(result["calibration"]["temperature"])
    written = [save_predictions(answers, files.dump)] if files.dump else []
    if files.confusion:
        written.append(metrics.write_confusion(result, files.confusion))
    for failure in result["failed"]:
        reason = failure["message"].removeprefix(f"{failure['path']}: ")
        desk.warn(f"{failure['path']}: not counted ({failure['code']}): {reason}")
    if as_json:
        desk.emit(dumps(result))
    else:
        desk.lines(metrics.card(result, words_of(result.get("settings", {})), published))
        desk.lines(metrics.calibration(result["calibration"]) if fitted else ())
    if written:
        desk.note("wrote " + ", ".join(map(str, written)))
    off = expect.unmet(desk, wanted, result)
    return (
        ExitCode.NOT_AS_EXPECTED
        if off
        else ExitCode.INCOMPLETE
        if result["failed"]
        else ExitCode.DONE
    )


def keep(
    desk: Console, classifier: Classifier, temperature: float, source: str, path: Path
) -> None:
    """Write a model with its temperature; source: what it was loaded from, for its recipe."""
    from vidattn import weights
    from vidattn.weights.loading import read_training_recipe

    weights.save(replace(classifier, temperature=temperature), path, read_training_recipe(source))
    desk.note(f"wrote {path}: {classifier.card.name} with the temperature {temperature:.6g}")

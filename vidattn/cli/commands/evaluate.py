"""`vidattn eval`: measure a model on a labeled dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vidattn.cli import launch, parsers
from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option, refuse_options
from vidattn.cli.model_loading import default_views, load_model, require_weights_name, save_fitted
from vidattn.cli.parsers import Expectation, parse_expectations, require_measured, warn_of_misses
from vidattn.cli.terminal import metrics
from vidattn.cli.terminal.console import Console, ProgressBar
from vidattn.config import ViewConfig
from vidattn.config.run_options import EvalViews
from vidattn.errors import DataError, ExitCode, UsageError
from vidattn.io.json import dumps
from vidattn.io.text import count_noun
from vidattn.models.device import Runtime
from vidattn.video.protocol import Limits

if TYPE_CHECKING:
    from vidattn.evaluation.predictions import Predictions
    from vidattn.models.classifier import Classifier

T = TypeVar("T")
IDLE_SECONDS = 600.0
"""Seconds that a process may wait for the others to finish their share of the videos."""
DEFAULT_WORKERS = 8
"""Processes that prefetch videos for a GPU, unless --workers says otherwise."""
MOTION_BATCH, MOTION_SAMPLES = 50, 2000


@dataclass(frozen=True)
class EvalDataset:
    """The videos to measure a model on."""

    dataset: str | None = None
    data_root: Path | None = None
    group_by: str = ""
    samples: int | None = None
    workers: int | None = None


@dataclass(frozen=True)
class EvalResults:
    """Predictions and metrics to read, write or check."""

    expect: list[str] | None = None
    dump: Path | None = None
    from_dump: Path | None = None
    confusion: Path | None = None
    mistakes: Path | None = None
    fit_temperature: bool = False
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.output is not None and not self.fit_temperature:
            raise UsageError("-o saves the result of --fit-temperature: give both")
        require_weights_name(self.output)

    def expectations(self) -> list[Expectation]:
        """What `expect` says. Raises UsageError."""
        from vidattn.evaluation import classification, label_metrics

        names = dict.fromkeys((*classification.NAMES, *label_metrics.NAMES))
        return parse_expectations(self.expect or [], list(names))

    def require_measurable(self, *, several: bool) -> None:
        """Raise UsageError for what samples with one label, or with several, do not have."""
        from vidattn.evaluation import classification, label_metrics

        kind = label_metrics if several else classification
        what = "labels that may hold at once" if several else "one label a video"
        require_measured(self.expectations(), kind.NAMES, what)
        if several and (self.confusion or self.mistakes):
            raise UsageError(
                f"--{'confusion' if self.confusion else 'mistakes'}: labels may hold at once here, "
                "so none is taken for another",
                hint="each label has its metrics, also in --json",
            )

    def require_writable(self) -> None:
        """Raise OutputError or UsageError now, not after hours, for files that cannot be made."""
        from vidattn.evaluation.predictions import require_dump_name
        from vidattn.inference.batch.output_files import require_writable

        if self.dump is not None:
            require_dump_name(self.dump)
        page = self.mistakes / "index.html" if self.mistakes else None
        for path in (self.dump, self.confusion, page, self.output):
            if path is not None:
                require_writable(path.parent)


DATASET = {
    "dataset": option(
        "NAME|DIR", "Known dataset, folder or list. Default: the model's training dataset."
    ),
    "data_root": groups.DATA_ROOT,
    "group_by": groups.GROUP_BY,
    "samples": option("N", f"Samples of the motion dataset. Default: {MOTION_SAMPLES}.", min=1),
    "workers": option(
        "N",
        f"Processes that prefetch videos. Default: up to {DEFAULT_WORKERS} with a GPU, else none.",
        min=0,
    ),
}
VIEWS = {
    **groups.VIEWS,
    "views": option(
        "SxT",
        "Spatial crops (1 or 3) x clips. Default: those of its recipe or published score, or 3x1.",
        parser=parsers.views,
    ),
    "sampling": option(
        "uniform: frames spread over the video. dense: clips at the trained frame step. "
        "auto: as in training. official: the paper's protocol, frame for frame."
    ),
}
RESULTS = {
    "expect": option(
        "NAME=P+-T",
        "Exit with code 7 if a metric is off: top1, top5, mean_class, ece (percent), nll, "
        "brier; of several labels map, macro_f1, micro_f1, accuracy. Repeatable.",
    ),
    "dump": option("FILE", "Save all predictions to an .npz or .jsonl file."),
    "from_dump": option("FILE", "Recompute metrics from saved predictions."),
    "confusion": option("FILE", "Write the confusion matrix as CSV, or as a page (.html)."),
    "mistakes": option(
        "DIR",
        "Write DIR/index.html: each misclassified video with picture, time, label and score.",
    ),
    "fit_temperature": option("Fit a calibration temperature; -o saves the calibrated model."),
    "output": option("--output", "-o", "FILE", "File for the calibrated model (.safetensors)."),
}


def evaluate(
    context: typer.Context,
    *,
    data: Annotated[EvalDataset, Group("Dataset", DATASET)],
    results: Annotated[EvalResults, Group("Results", RESULTS)],
    model: groups.ModelWithAreas,
    views: Annotated[EvalViews, Group("Views", VIEWS)],
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    nproc: groups.Processes = 1,
    as_json: groups.JsonOfOne = False,
    quiet: groups.Quiet = False,
) -> int:
    """Evaluate a model on a dataset: accuracy, calibration and confusions.

    Example: vidattn eval --views 3x1 --dataset k400 --data-root /data/k400
    """
    console = Console(quiet=quiet or not launch.is_lead())
    if nproc > 1 and not launch.is_launched():
        return launch.run(nproc, context.obj or [], console)
    expected = results.expectations()
    results.require_writable()
    run = DatasetRun(console, data, results, model, views, runtime, limits)
    predictions = run.reload(results.from_dump) if results.from_dump else run.predict()
    if predictions is None or not launch.is_lead():
        return ExitCode.DONE
    document = run.report(predictions, as_json=as_json)
    measured = document.get("several") or document
    if warn_of_misses(console, expected, measured):
        return ExitCode.NOT_AS_EXPECTED
    return ExitCode.INCOMPLETE if document["failed"] else ExitCode.DONE


@dataclass
class DatasetRun:
    """One evaluation: the predictions of a model on a dataset, and their metrics."""

    console: Console
    data: EvalDataset
    results: EvalResults
    model: groups.ModelOptions
    views: EvalViews
    runtime: Runtime
    limits: Limits
    classifier: Classifier | None = None
    published: str = ""
    """Scores on this dataset according to the model card."""
    warned: tuple[str, ...] = ()
    """Warnings of the result that were printed before the work."""

    def reload(self, path: Path) -> Predictions:
        """Saved predictions; loads the model only to save it with a temperature."""
        from vidattn.evaluation.predictions import load_predictions

        what = "labels", "frame_step", "crop", "mask", "roi"  # of the model that -o saves
        self._refuse_all_but("--from-dump reads saved predictions", *what)
        predictions = load_predictions(path)
        self.results.require_measurable(several="several" in predictions.about)
        if self.results.output is not None:
            self._load_source_model(predictions)
        return predictions

    def _refuse_all_but(self, why: str, *counts: str) -> None:
        """Raise UsageError for an option that has no effect. why: the reason."""
        given = self.data, self.views, self.runtime, self.limits, self.model
        refuse_options(why, *given, but=(*counts, "device", "model", "offline"))

    def _load_source_model(self, predictions: Predictions) -> None:
        if self.model.model is None:
            raise UsageError("--from-dump with -o: name the model of the predictions with -m")
        self.classifier = self._load_model()
        if self.classifier.card.sha256 != predictions.about.get("sha256"):
            raise UsageError(
                f"{self.model.model}: is not the model of these predictions",
                hint=f"they come from {predictions.about.get('model')}",
            )

    def _load_model(self) -> Classifier:
        return load_model(self.console, self.model, self.views.frames)

    def predict(self) -> Predictions | None:
        """The predictions of the model; None in a process that has no share in them."""
        from vidattn.evaluation.classification import require_softmax
        from vidattn.models.taught import TaughtModel
        from vidattn.models.temporal_head import TemporalHead
        from vidattn.weights.loading import find_training_dataset

        views = self.views.views or default_views(self.model.model)
        self.classifier = classifier = self._load_model()
        if self.results.fit_temperature:
            require_softmax(classifier.activation)
        card, name = classifier.card, self.data.dataset
        if name is None:
            name = card.training_data
            name = find_training_dataset(self.model.model, name) if self.model.model else name
        if isinstance(classifier.model, TaughtModel) and Path(name).name == card.training_data:
            self.console.note("the model was taught with this list, so the metrics flatter it")
        self.published = card.expect if name == card.training_data else ""
        if name == "motion" and not launch.is_lead():
            return None  # a single process is enough
        if isinstance(classifier.model, TemporalHead):
            return self._predict_embeddings(classifier, name)
        if name == "motion":
            return self._predict_motion(classifier, views)
        return self._predict_videos(classifier, name, views)

    def _open_dataset(self, name: str) -> Any:
        from vidattn.data.sets import open_dataset
        from vidattn.weights.loading import read_training_recipe

        recipe = read_training_recipe(self.model.model) if self.model.model else None
        own = recipe is not None and Path(recipe.data.dataset).name == Path(name).name
        group_by = self.data.group_by or (recipe.data.group_by if recipe and own else "")
        dataset = open_dataset(name, self.data.data_root, "val", group_by=group_by)
        for note in dataset.notes:
            self.console.note(note)
        for text in dataset.warnings:
            self.console.warn(text)
        several = self.classifier and self.classifier.activation == "sigmoid"
        self.results.require_measurable(several=several or dataset.several)
        return dataset

    def _predict_embeddings(self, head: Classifier, name: str) -> Predictions:
        from vidattn.evaluation.whole_video import predict_dataset

        counts = "dataset", "data_root", "group_by", "labels"
        self._refuse_all_but("a temporal head has the embeddings of all windows", *counts)
        dataset = self._open_dataset(name)
        self.console.note(f"{count_noun(len(dataset.items), 'video')}, all windows of each")
        return _name_dataset(predict_dataset(head, dataset), name)

    def _predict_motion(self, classifier: Classifier, views: ViewConfig) -> Predictions:
        """On synthetic samples, with textures that training never saw."""
        from vidattn.data.motion.camera import LABELS
        from vidattn.data.motion.dataset import validation_samples
        from vidattn.evaluation.dataset import predict_logits
        from vidattn.evaluation.predictions import Predictions

        card, clip, count = classifier.card, classifier.clip, self.data.samples or MOTION_SAMPLES
        self.results.require_measurable(several=False)
        if classifier.labels != LABELS:
            raise DataError(
                f"{card.name}: its labels are not those of the dataset motion",
                hint="name the dataset it was trained on with --dataset",
            )
        counts = ["dataset", "data_root", "samples", "views", "labels", "frame_step"]
        counts += ["frames"] * (self.views.frames == clip.frames)
        counts += ["precision"] * (self.runtime.precision == "fp32")
        self._refuse_all_but("samples of the dataset motion are made as clips, in fp32", *counts)
        if (views.spatial, views.clips) != (1, 1):
            self.console.note("samples of the dataset motion are single clips: one view is enough")
        folder = self.data.data_root
        textures = folder or "generated textures"
        self.console.note(
            f"{count_noun(count, 'sample')} over {textures}, full difficulty, balanced classes"
        )
        batches = validation_samples(clip, count, folder=folder, batch_size=MOTION_BATCH)
        device = self.runtime.torch_device()
        with self.console.progress("motion", -(-count // MOTION_BATCH)) as bar:
            logits, labels = predict_logits(classifier.model, _count(batches, bar), device)
        about = {
            "model": card.name,
            "sha256": card.sha256,
            "dataset": "motion",
            "unit": "sample",
            "videos": count,
            "failed": [],
            "settings": {"views": "1x1", "frames": clip.frames, "textures": str(textures)},
            **({"warnings": list(classifier.warnings)} if classifier.warnings else {}),
        }
        paths = tuple(f"motion/{number:05d}" for number in range(count))
        return Predictions(classifier.labels, paths, labels, logits, classifier.temperature, about)

    def _predict_videos(self, classifier: Classifier, name: str, views: ViewConfig) -> Predictions:
        """On every video once; unreadable videos are listed and never replaced."""
        from vidattn.data.sampling import describe_views
        from vidattn.evaluation.dataset import DatasetEvaluator
        from vidattn.models.distributed import join_world

        if self.data.samples is not None:
            raise UsageError("--samples has no effect: every video of the dataset is measured once")
        dataset = self._open_dataset(name)
        with join_world(self.runtime.torch_device(), IDLE_SECONDS) as world:
            evaluator = DatasetEvaluator(
                classifier,
                dataset,
                replace(self.views, views=views),
                runtime=replace(self.runtime, device=str(world.device)),
                limits=self.limits,
            )
            each = "up to " * (evaluator.views.clips > 1) + describe_views(evaluator.views)
            count = len(evaluator.source.items)
            self.console.note(f"{count_noun(count, dataset.noun)}, {each} each")
            self.warned = evaluator.warnings
            for text in self.warned:
                self.console.warn(text)
            videos = evaluator.predict((world.rank, world.size), self._workers())
            with self.console.progress(name, -(-count // world.size)) as bar:
                done = evaluator.gather(world, _count(videos, bar))
        return _name_dataset(evaluator.collect(done), name)

    def _workers(self) -> int:
        if self.data.workers is not None:
            return self.data.workers
        on_gpu = self.runtime.torch_device().type == "cuda"
        return min(DEFAULT_WORKERS, os.cpu_count() or 1) if on_gpu else 0

    def report(self, predictions: Predictions, *, as_json: bool) -> dict[str, Any]:
        """Write all files and print the metrics; returns them."""
        from vidattn.evaluation.classification import fit_temperature, measure_predictions

        document = measure_predictions(predictions)
        if self.results.fit_temperature:
            document["calibration"] = fit_temperature(predictions)
            self._save_model(document["calibration"]["temperature"])
        written = self._write(predictions, document)
        for failure in document["failed"]:
            path, reason = failure["path"], failure["message"].removeprefix(f"{failure['path']}: ")
            self.console.warn(f"{path}: not counted ({failure['code']}): {reason}")
        if as_json:
            self.console.emit(dumps(document))
        else:
            new = [text for text in document.get("warnings", ()) if text not in self.warned]
            self.console.lines(metrics.metric_lines({**document, "warnings": new}, self.published))
            if "calibration" in document:
                self.console.lines(metrics.calibration_lines(document["calibration"]))
        if written:
            self.console.note("wrote " + ", ".join(map(str, written)))
        return document

    def _write(self, predictions: Predictions, document: dict[str, Any]) -> list[Path]:
        from vidattn.evaluation.mistakes import write_mistakes
        from vidattn.evaluation.predictions import save_predictions

        results = self.results
        dump, confusion, folder = results.dump, results.confusion, results.mistakes
        written = [save_predictions(predictions, dump)] if dump else []
        written += [metrics.write_confusion(document, confusion)] if confusion else []
        return written + ([write_mistakes(document, predictions, folder)] if folder else [])

    def _save_model(self, temperature: float) -> None:
        if self.results.output is not None and self.classifier is not None:
            calibrated = replace(self.classifier, temperature=temperature)
            path = save_fitted(calibrated, self.results.output, self.model.model)
            name = calibrated.card.name
            self.console.note(f"wrote {path}: {name} with the temperature {temperature:.6g}")


def _name_dataset(predictions: Predictions, name: str) -> Predictions:
    return replace(predictions, about={**predictions.about, "dataset": name})


def _count(items: Iterable[T], bar: ProgressBar) -> Iterator[T]:
    for item in items:
        yield item
        bar.step()

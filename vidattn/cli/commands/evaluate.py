"""`vidattn eval`: how good a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import launch, options
from vidattn.cli.commands import expect
from vidattn.cli.commands.evaluate_dataset import Files, Look, answers_of, deliver, keep, leads
from vidattn.cli.commands.evaluate_timeline import Maker, TimeRequest, measure_time
from vidattn.cli.terminal.console import Console
from vidattn.errors import UsageError

if TYPE_CHECKING:
    from vidattn.config import ViewConfig
    from vidattn.evaluation.predictions import Predictions
    from vidattn.models.classifier import Classifier

Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME|DIR",
        help="A known set, a folder or a list. Default: what the model was trained on.",
        show_default=False,
    ),
]
Views = Annotated[
    str | None,
    typer.Option(
        "--views",
        metavar="SxT",
        help="Spatial crops (1 or 3) x clips. Default: what the model's recipe says, or 3x1.",
        show_default=False,
    ),
]
Sampling = Annotated[
    Literal["auto", "uniform", "dense", "official"],
    typer.Option(
        "--sampling",
        help="uniform: frames spread over the video. dense: clips at the trained frame step. "
        "auto: as trained. official: the paper's protocol, frame for frame.",
    ),
]
Clips = Annotated[int, typer.Option("--clips", metavar="N", min=1, help="Clips of the set motion.")]
Expected = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="NAME=P+-T",
        help="Exit with 7 when a figure is off: top1, top5, mean_class, ece (percent), nll, brier; "
        "with --truth frame_accuracy, edit, f1@10, map, map@0.5 ... May be repeated.",
    ),
]
Dump = Annotated[
    Path | None,
    typer.Option("--dump", metavar="FILE", help="Keep every answer: an .npz or .jsonl file."),
]
FromDump = Annotated[
    Path | None,
    typer.Option("--from-dump", metavar="FILE", help="Count again, without model and videos."),
]
Confusion = Annotated[
    Path | None,
    typer.Option(
        "--confusion",
        metavar="FILE",
        help="Write the confusion matrix: CSV, or a page if it ends in .html.",
    ),
]
FitTemperature = Annotated[
    bool,
    typer.Option(
        "--fit-temperature", help="Find what makes the scores mean what they say; -o keeps it."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where the model with what was fitted goes: a .safetensors file.",
    ),
]
FitThreshold = Annotated[
    bool,
    typer.Option(
        "--fit-threshold",
        help="With --truth: find the threshold with the best F1@50; -o keeps it in the model, for "
        "`segment --threshold auto`.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        help="Processes that read videos ahead. Default: up to 8 with a GPU, else none.",
        show_default=False,
    ),
]

PredictionFiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PREDICTION",
        help="With --truth: timelines that `segment` wrote, or videos to make them from.",
        show_default=False,
    ),
]
Task = Annotated[
    Literal["classify", "segment"] | None,
    typer.Option(
        "--task",
        help="classify: one label for each video. segment: what happens when; needs --truth.",
        show_default=False,
    ),
]
Processes = Annotated[
    int,
    typer.Option("--nproc", metavar="N", min=1, help="Processes that share the videos."),
]
TruthPath = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        metavar="FILE|DIR",
        help="What happens when: a folder of frame labels, ActivityNet's json, a table of "
        "path,label,start,end, .eaf files of ELAN, or a JSON export of Label Studio.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="The subset of the truth that counts."),
]
Background = Annotated[
    list[str] | None,
    typer.Option(
        "--background",
        metavar="LABEL",
        help="A label of the truth that means nothing. May be repeated.",
    ),
]
TruthFps = Annotated[
    float | None,
    typer.Option("--truth-fps", metavar="R", min=0.01, help="Frames a second of frame labels."),
]


def evaluate(
    context: typer.Context,
    predictions: PredictionFiles = None,
    task: Task = None,
    dataset: Dataset = None,
    model: options.Model = None,
    views: Views = None,
    frames: options.Frames = None,
    sampling: Sampling = "auto",
    data_root: options.DataRoot = None,
    clips: Clips = 2000,
    expected: Expected = None,
    dump: Dump = None,
    from_dump: FromDump = None,
    confusion: Confusion = None,
    fit_temperature: FitTemperature = False,
    fit_threshold: FitThreshold = False,
    output: Output = None,
    workers: Workers = None,
    nproc: Processes = 1,
    truth: TruthPath = None,
    split: Split = None,
    background: Background = None,
    truth_fps: TruthFps = None,
    stride: options.Stride = None,
    overlap: options.Overlap = 0.0,
    smooth: options.SmoothAgain = None,
    kernel: options.KernelAgain = None,
    switch_cost: options.SwitchCostAgain = None,
    threshold: options.ThresholdAgain = None,
    leave: options.Leave = None,
    merge_gap: options.MergeGapAgain = None,
    min_duration: options.MinDurationAgain = None,
    as_json: options.JsonOfOne = False,
    labels: options.Labels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = None,
    reader: options.Reader = "auto",
    max_pixels: options.MaxPixels = None,
    any_codec: options.AnyCodec = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model on a data set: top-1, top-5, mean class, calibration, who is taken for whom.

    With --truth, measure timelines: frame accuracy, edit score, F1 and mean average precision.

    Example: vidattn eval --views 3x1 --dataset k400 --data-root /data/k400

    Example: vidattn eval --truth annotations.csv results/*.vidattn.json
    """
    from vidattn.evaluation.classification import NAMES

    desk, limits = Console(quiet=quiet or not leads()), options.limits(max_pixels, any_codec)
    if nproc > 1 and not launch.is_launched():
        raise typer.Exit(launch.run(nproc, context.obj or [], desk))
    if task == "segment" or (task is None and truth is not None):
        decoding = {
            "smooth": smooth,
            "kernel": kernel,
            "switch_cost": switch_cost,
            "threshold": threshold,
            "leave": leave,
            "merge_gap": merge_gap,
            "min_duration": min_duration,
        }
        request = TimeRequest(
            inputs=[*(predictions or []), *([dataset] if dataset else [])],
            truth=truth,
            split=split,
            background=tuple(background or ()),
            truth_fps=truth_fps,
            expected=tuple(expected or ()),
            changes={name: value for name, value in decoding.items() if value is not None},
            window={"frames": frames, "stride": stride, "overlap": overlap},
            fit=fit_threshold,
            output=output,
        )
        request.check(dump or from_dump or confusion or views or fit_temperature)
        Files(None, None, output).check()
        maker = Maker(model, labels, offline, device, precision, batch_size, reader, limits)
        raise typer.Exit(measure_time(desk, request, maker, as_json=as_json))
    if predictions or truth:
        raise UsageError(
            f"{predictions[0] if predictions else truth}: predictions are judged with --truth FILE",
            hint="to measure a model on labelled videos: vidattn eval -m MODEL --dataset DIR",
        )
    wanted = expect.parsed(expected or [], NAMES)
    if output is not None and not fit_temperature:
        raise UsageError("-o keeps what --fit-temperature finds: give both")
    files = Files(dump, confusion, output)
    files.check()
    classifier: Classifier | None = None
    published = ""
    if from_dump is not None:
        if dataset or views or frames:
            raise UsageError("--from-dump counts what was seen: no --dataset, --views or --frames")
        answers = _dumped(from_dump)
        if output is not None:
            classifier = _answering(desk, answers, model, offline)
    else:
        from vidattn.cli.model_loading import load_model
        from vidattn.data import sampling as sampler
        from vidattn.models.device import Runtime

        runtime = Runtime(device, precision, batch_size, reader)
        config = sampler.parse_views(views) if views else _usual_views(model)
        classifier = load_model(desk, model, offline=offline, frames=frames, labels=labels)
        look = Look(config, frames, sampling, workers, runtime, limits)
        name = dataset or _trained_on(model, classifier)
        if name == "motion" and not leads():
            raise typer.Exit  # one process is enough for them
        answers = answers_of(desk, classifier, look, name, data_root, clips)
        published = classifier.card.expect if name == classifier.card.training_data else ""
    if not leads():
        raise typer.Exit

    def fitted(temperature: float) -> None:
        if output is not None and classifier is not None:
            keep(desk, classifier, temperature, model or "", output)

    told = fitted if fit_temperature else None
    raise typer.Exit(
        deliver(desk, answers, files, wanted, published=published, fitted=told, as_json=as_json)
    )


def _usual_views(model: str | None) -> ViewConfig:
    """Those of the recipe that trained the model, or 3x1."""
    from vidattn.config import ViewConfig
    from vidattn.weights.loading import read_training_recipe

    recipe = read_training_recipe(model) if model else None
    return recipe.views if recipe else ViewConfig()


def _trained_on(model: str | None, classifier: Classifier) -> str:
    """The set that a model was trained on: its name, or where it lies."""
    from vidattn.weights.loading import find_training_dataset

    named = classifier.card.training_data
    return find_training_dataset(model, named) if model else named


def _dumped(path: Path) -> Predictions:
    from vidattn.evaluation.predictions import load_predictions

    return load_predictions(path)


def _answering(desk: Console, answers: Predictions, model: str | None, offline: bool) -> Classifier:
    """The classifier that gave these answers; UsageError when `model` is another, or none."""
    from vidattn.cli.model_loading import load_model

    if model is None:
        raise UsageError("--from-dump with -o: name the model that gave these answers with -m")
    classifier = load_model(desk, model, offline=offline)
    if classifier.card.sha256 != answers.about.get("sha256"):
        raise UsageError(
            f"{model}: is not the model that gave these answers",
            hint=f"they are those of {answers.about.get('model')}",
        )
    return classifier

"""`vidattn eval`: how good a model is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import options
from vidattn.cli.console import Desk, clean
from vidattn.errors import DataError, UsageError

if TYPE_CHECKING:
    from vidattn.config import ViewConfig
    from vidattn.device import Runtime
    from vidattn.models.classifier import Classifier

EXPECT_NOT_MET = 7


def evaluate(
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|DIR",
            help="A known set, a folder or a list. Default: what the model was trained on.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    views: Annotated[
        str | None,
        typer.Option(
            "--views",
            metavar="SxT",
            help="Spatial crops (1 or 3) x clips. Default: what the model's recipe says, or 3x1.",
            show_default=False,
        ),
    ] = None,
    data_root: options.DataRoot = None,
    clips: Annotated[
        int, typer.Option("--clips", metavar="N", min=1, help="Clips of a procedural set.")
    ] = 2000,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="top1=P+-T", help="Exit with 7 when the score is off."),
    ] = None,
    as_json: options.Json = False,
    labels: options.Labels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = 8,
    reader: options.Reader = "auto",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model on a data set: top-1, top-5, mean class, who is taken for whom.

    Example: vidattn eval --views 3x1 --dataset k400 --data-root /data/k400
    """
    from vidattn import sampling
    from vidattn.cli.chosen import chosen
    from vidattn.config import ViewConfig
    from vidattn.device import Runtime
    from vidattn.weights.source import recipe_of

    desk = Desk(quiet=quiet)
    wanted = _expectation(expect)
    config = sampling.parse_views(views) if views else None
    runtime = Runtime(device, precision, batch_size, reader)
    classifier = chosen(desk, model, offline=offline, labels=labels)
    if config is None:
        recipe = recipe_of(model) if model else None
        config = recipe.views if recipe else ViewConfig()
    name = dataset or classifier.card.training_data
    if name == "motion":
        result = _motion(desk, classifier, config, data_root, clips, runtime)
    else:
        result = _files(desk, classifier, config, name, data_root, runtime)
    result = {"model": classifier.card.name, "dataset": name, **result}
    if as_json:
        desk.emit(json.dumps(result, ensure_ascii=False))
    else:
        _show(desk, result)
    if wanted and abs(100 * result[wanted[0]] - wanted[1]) > wanted[2]:
        desk.warn(f"expected {expect}, measured {100 * result[wanted[0]]:.2f}")
        raise typer.Exit(EXPECT_NOT_MET)
    raise typer.Exit(4 if result.get("failed") else 0)


def _motion(
    desk: Desk,
    classifier: Classifier,
    views: ViewConfig,
    folder: Path | None,
    count: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """On clips made for the purpose, with textures that training never saw."""
    from vidattn.data.motion import LABELS, held_back
    from vidattn.evaluate import evaluate as measure

    if classifier.labels != LABELS:
        raise DataError(
            f"{classifier.card.name}: its labels are not those of the data set motion",
            hint="name the set it was trained on with --dataset",
        )
    if (views.spatial, views.clips) != (1, 1):
        desk.note("clips of the set motion are square and as long as the model's: one view is all")
    source = folder or "textures drawn for the purpose"
    desk.note(f"{count} clips over {source}, full difficulty, all classes equally often")
    found = measure(
        classifier,
        held_back(classifier.clip, count, folder=folder),
        device=runtime.torch_device(),
    )
    return found.to_dict(classifier.labels)


def _files(
    desk: Desk,
    classifier: Classifier,
    views: ViewConfig,
    name: str,
    data_root: Path | None,
    runtime: Runtime,
) -> dict[str, Any]:
    """On labelled videos: every one once, those that do not decode listed and never replaced."""
    from vidattn import sampling
    from vidattn.data.sets import open_set
    from vidattn.evaluate_set import SetEvaluation, evaluate_set

    found = open_set(name, data_root, "val")
    for note in found.notes:
        desk.note(note)
    desk.note(f"{len(found.items)} videos, {sampling.describe_views(views)} each")
    result = None
    with desk.progress(name, len(found.items)) as track:
        for event in evaluate_set(classifier, found, views, runtime=runtime):
            if isinstance(event, SetEvaluation):
                result = event
            else:
                track.step()
    assert result is not None
    for failure in result.failed:
        reason = failure.message.removeprefix(f"{failure.path}: ")
        desk.warn(f"{failure.path}: not counted ({failure.code}): {reason}")
    return result.to_dict()


def _show(desk: Desk, result: dict[str, Any]) -> None:
    """Scores, then each class with what it was most often taken for."""
    counted = f"{result['clips']} clips" if "clips" in result else f"{result['scored']} videos"
    if result.get("failed"):
        counted += f" of {result['videos']}"
    desk.emit(f"{clean(result['model'])} on {clean(result['dataset'])}: {counted}")
    for name in ("top1", "top5", "mean_class"):
        desk.emit(f"  {name:<11} {100 * result[name]:5.1f} %")
    labels, rows = result["labels"], result["confusion"]
    width = max(len(clean(label)) for label in labels)
    for i, (label, row) in enumerate(zip(labels, rows, strict=True)):
        total = sum(row)
        if not total:
            continue
        errors = sorted(((n, j) for j, n in enumerate(row) if j != i and n), reverse=True)[:2]
        taken = ", ".join(f"{clean(labels[j])} {100 * n / total:.1f} %" for n, j in errors)
        right = f"{100 * row[i] / total:5.1f} %"
        desk.emit(f"  {clean(label):<{width}}  {right}" + f"  taken for {taken}" * bool(taken))


def _expectation(text: str | None) -> tuple[str, float, float] | None:
    """The name, value and tolerance in "top1=77.9+-0.3", in percent."""
    if text is None:
        return None
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"(top1|top5|mean_class)={number}(?:(?:\+-|±){number})?", text.strip())
    if match is None:
        raise UsageError(f"--expect {text!r}: cannot be read", hint="for example top1=77.9+-0.3")
    return match[1], float(match[2]), float(match[3] or 0.05)

"""The work of `vidattn eval --truth`: from timelines, or videos, to how right they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidattn.cli.commands import expect
from vidattn.cli.model_loading import load_model
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import ExitCode, InputError, UsageError
from vidattn.inference.batch.inputs import find_videos
from vidattn.io.files import is_folder
from vidattn.io.json import dumps
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.models.classifier import Classifier
    from vidattn.timeline import Timeline
    from vidattn.video import Limits

MOST_ROWS = 40
NAMED = 5
"""Videos without a partner that are named; JSON names them all."""


@dataclass(frozen=True)
class TimeRequest:
    """What is to be compared with what."""

    inputs: Sequence[str]
    truth: Path | None
    split: str | None
    background: tuple[str, ...]
    truth_fps: float | None
    expected: tuple[str, ...]
    changes: Mapping[str, Any]
    """How scores become segments, where it differs from what a timeline says; see Decoding."""
    window: Mapping[str, Any]
    """frames, stride and overlap of the windows over videos."""
    fit: bool = False
    """Whether the best threshold is to be found, and then used."""
    output: Path | None = None
    """Where the model with that threshold goes."""

    def check(self, foreign: object) -> None:
        """Raises UsageError; foreign: whether options were given that are for other tasks."""
        if self.truth is None:
            raise UsageError("--task segment: say with --truth FILE what happens when")
        if foreign:
            raise UsageError(
                "--views, --dump, --from-dump, --confusion and --fit-temperature are for labelled "
                "videos; timelines are already kept answers"
            )
        if self.output is not None and not self.fit:
            raise UsageError("-o keeps what --fit-threshold finds: give both")
        if self.fit and "threshold" in self.changes:
            raise UsageError("give --threshold or --fit-threshold, not both")
        if not self.inputs:
            raise UsageError(
                "--truth: name the predictions",
                hint="vidattn eval --truth FILE results/*.vidattn.json, or videos with -m MODEL",
            )
        if self.window["stride"] is not None and self.window["overlap"]:
            raise UsageError("give --stride or --overlap, not both")


@dataclass(frozen=True)
class Maker:
    """Makes timelines of videos, for which it loads a model once, and only then."""

    model: str | None
    labels: Path | None
    offline: bool
    device: str
    precision: Literal["auto", "fp32", "bf16", "int8"]
    batch_size: int | None
    reader: str
    limits: Limits

    def timelines(
        self, desk: Console, videos: Sequence[str], request: TimeRequest
    ) -> Iterator[tuple[str, Timeline | InputError]]:
        """The timeline of each video, or why there is none."""
        from vidattn.inference import stream
        from vidattn.models.device import Runtime
        from vidattn.timeline import Decoding
        from vidattn.video import Prefetcher

        decoding = Decoding(**request.changes)
        runtime = Runtime(self.device, self.precision, self.batch_size, self.reader)
        classifier = self.classifier(desk, request.window["frames"])
        with Prefetcher(self.limits) as opener, desk.progress("videos", len(videos)) as track:
            how = {"decoding": decoding, "runtime": runtime, "opening": opener, **request.window}
            for path in videos:
                try:
                    yield path, stream.segment(path, classifier, **how)
                except InputError as error:
                    yield path, error
                track.step()

    def classifier(self, desk: Console, frames: int | None) -> Classifier:
        return load_model(desk, self.model, offline=self.offline, frames=frames, labels=self.labels)


def measure_time(desk: Console, request: TimeRequest, maker: Maker, *, as_json: bool) -> int:
    """Compare, show and return the exit code."""
    from vidattn.data.annotations.ground_truth import read_ground_truth
    from vidattn.evaluation.segmentation import (
        METRICS,
        evaluate_segmentation,
        fit_threshold,
        pair_videos,
    )

    assert request.truth is not None
    wanted = expect.parsed(request.expected, METRICS)
    if request.output is not None and maker.model is None:
        raise UsageError("-o: name the model that made these timelines with -m")
    truth = read_ground_truth(request.truth, request.split)
    for note in truth.notes:
        desk.note(note)
    timelines, failed = _timelines(desk, request, maker)
    pairing = pair_videos(truth.videos, timelines)
    how: dict[str, Any] = {"background": request.background, "rate": request.truth_fps}
    pairs, fitted = pairing.pairs, dict[str, float]()
    if request.fit:
        threshold, f1 = fit_threshold(pairs, **how)
        fitted = {"threshold": threshold, "value": f1}
        pairs = tuple((t, one and one.decoded(threshold=threshold, leave=None)) for t, one in pairs)
    found = evaluate_segmentation(pairs, **how).to_dict()
    _tell(desk, pairing.missing, "without a prediction: what happens in them counts as missed")
    _tell(desk, pairing.unused, "not in the truth: left out")
    if found["framewise"] < found["videos"]:
        count = found["videos"] - found["framewise"]
        desk.note(
            f"in {count_noun(count, 'video')} labels overlap: not in frame accuracy, edit and F1"
        )
    result = {
        "task": "segment",
        "truth": str(request.truth),
        "models": sorted({t.model.name or "" for t in timelines}),
        **found,
        **({"fitted": fitted} if fitted else {}),
        "missing": list(pairing.missing),
        "unused": list(pairing.unused),
        "failed": failed,
    }
    if request.output is not None:
        _keep(desk, maker, timelines, fitted["threshold"], request.output)
    if as_json:
        desk.emit(dumps(result))
    else:
        desk.lines(_card(result))
        if fitted:
            desk.emit(f"  best threshold   {fitted['threshold']:.2f}, which these figures are of")
    if expect.unmet(desk, wanted, result):
        return ExitCode.NOT_AS_EXPECTED
    return ExitCode.INCOMPLETE if pairing.missing or failed else ExitCode.DONE


def _keep(
    desk: Console, maker: Maker, timelines: Sequence[Timeline], threshold: float, path: Path
) -> None:
    """Write the model of all timelines with their best threshold. Raises UsageError for another."""
    from vidattn import weights
    from vidattn.weights.loading import read_training_recipe

    assert maker.model is not None
    classifier = maker.classifier(desk, None)
    if any(t.model.sha256 != classifier.card.sha256 for t in timelines):
        raise UsageError(f"{maker.model}: is not the model that made these timelines")
    weights.save(replace(classifier, threshold=threshold), path, read_training_recipe(maker.model))
    desk.note(f"wrote {path}: {classifier.card.name} with the threshold {threshold:.2f}")


def _timelines(
    desk: Console, request: TimeRequest, maker: Maker
) -> tuple[list[Timeline], list[dict[str, str]]]:
    """All predictions, and the videos nothing could be said about."""
    from vidattn.cli.terminal import timeline as report

    saved, videos = _sorted_out(request.inputs, maker.model)
    timelines = []
    for path in saved:
        timeline = report.saved(path)
        timelines.append(timeline.decoded(**request.changes) if request.changes else timeline)
    failed = []
    for path, made in maker.timelines(desk, videos, request) if videos else ():
        if isinstance(made, InputError):
            desk.fail(made)
            failed.append({"path": path, "message": made.message})
        else:
            timelines.append(made)
    return timelines, failed


def _sorted_out(inputs: Sequence[str], model: str | None) -> tuple[list[str], list[str]]:
    """Saved timelines, and videos. A folder means the timelines in it, unless a model is named."""
    saved: list[str] = []
    rest: list[str] = []
    for given in inputs:
        inside = sorted(Path(given).rglob("*.vidattn.json")) if is_folder(Path(given)) else []
        if inside and model is None:
            saved += map(str, inside)
        else:
            rest.append(given)
    videos = [video.path for video in find_videos(rest)] if rest else []
    saved += [path for path in videos if Path(path).suffix == ".json"]
    return list(dict.fromkeys(saved)), [p for p in videos if Path(p).suffix != ".json"]


def _tell(desk: Console, names: Sequence[str], fate: str) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        noun = "video" if len(names) == 1 else "videos"
        desk.warn(f"{len(names)} {noun} {fate}: {', '.join(names[:NAMED])}{more}")


def _card(result: Mapping[str, Any]) -> Iterator[str]:
    """The figures as text, in percent, as papers have them."""
    predicted = result["videos"] - len(result["missing"])
    model = ", ".join(name for name in result["models"] if name) or "timelines"
    seen = f"{count_noun(predicted, 'video')} of {result['videos']}"
    yield f"{printable(model)} on {printable(result['truth'])}: {seen}"
    rows = (
        ("frame accuracy", "frame_accuracy"),
        ("  of events only", "frame_accuracy_foreground"),
        ("edit score", "edit"),
        *((f"F1 @ {name[3:]}", name) for name in result if name.startswith("f1@")),
        ("mAP .5:.95", "map"),
        ("mAP .3:.7", "map_thumos"),
        ("mAP @ .5", "map@0.5"),
    )
    for title, name in rows:
        yield f"  {title:<16} {_percent(result[name])}"
    classes = result["per_class"]
    width = max((len(printable(row["label"])) for row in classes), default=0)
    for row in classes[:MOST_ROWS]:
        yield (
            f"  {printable(row['label']):<{width}}  {row['found']} found, {row['spans']} there, "
            f"AP @ .5 {_percent(row['ap@0.5']).strip()}"
        )
    if len(classes) > MOST_ROWS:
        yield f"  and {len(classes) - MOST_ROWS} more classes (all of them: --json)"


def _percent(share: float | None) -> str:
    return "     -" if share is None else f"{100 * share:5.1f} %"

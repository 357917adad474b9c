"""`vidattn compare`: timelines against ground truth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import (
    load_model,
    read_labels,
    require_readable,
    require_weights_name,
    save_fitted,
    warn_of_whole_pictures,
)
from vidattn.cli.parsers import parse_expectations, warn_of_misses
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.metrics import comparison_lines, difference_lines
from vidattn.config.labels import normalize_label
from vidattn.data.labeled_dataset import name_first
from vidattn.data.plan import Windowing
from vidattn.errors import ExitCode, InputError, UsageError
from vidattn.inference.batch.inputs import find_videos
from vidattn.inference.batch.output_files import require_writable
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import is_file, is_folder
from vidattn.io.json import dumps
from vidattn.io.search import VideoNames, walk_files
from vidattn.io.text import count_noun
from vidattn.models.device import Runtime
from vidattn.timeline.segments import BACKGROUND
from vidattn.video.protocol import Limits

if TYPE_CHECKING:
    from vidattn.data.annotations.ground_truth import AnnotatedVideo, GroundTruth
    from vidattn.evaluation.pairing import Pairing
    from vidattn.timeline import Timeline

UNNAMED = (".txt", ".srt", ".vtt")
"""Formats of ground truth that do not name their video."""


@dataclass(frozen=True)
class TruthOptions:
    """How to read the ground truth."""

    split: str | None = None
    background: list[str] | None = None
    truth_fps: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What to measure or list."""

    differences: bool = False
    expect: list[str] | None = None
    fit_threshold: bool = False
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.differences and (self.expect or self.fit_threshold):
            raise UsageError("--differences excludes --expect and --fit-threshold")
        if self.output is not None and not self.fit_threshold:
            raise UsageError("-o saves the result of --fit-threshold: give both")
        require_weights_name(self.output)


TRUTH = {
    "split": option("NAME", "Only this subset of the ground truth."),
    "background": option("LABEL", "Ground-truth label to treat as background. Repeatable."),
    "truth_fps": option("R", "Frames per second of frame labels.", min=0.01),
}
COMPARISON = {
    "differences": option("List where predictions differ, instead of metrics."),
    "expect": option(
        "NAME=P+-T",
        "Exit with code 7 if a metric is off: frame_accuracy, edit, f1@10, map, map@0.5 ... "
        "(percent). Repeatable.",
    ),
    "fit_threshold": option(
        "Find the threshold with the best F1@50; -o saves it in the model, for "
        "`segment --threshold auto`."
    ),
    "output": option(
        "--output", "-o", "FILE", "File for the model with its threshold (.safetensors)."
    ),
}


def compare(
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="Folder of frame labels, ActivityNet's json, table of path,label,start,end, "
            "ELAN's .eaf, BORIS, Label Studio's json, subtitles, or a saved timeline.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION", help="The json that `segment` wrote, folders of it, or videos."
        ),
    ],
    *,
    how: Annotated[Comparison, Group("Comparison", COMPARISON)],
    reading: Annotated[TruthOptions, Group("Ground truth", TRUTH)],
    changes: groups.PostProcessingChanges,
    windowing: groups.Windows,
    model: groups.Model,
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    as_json: groups.JsonOfOne = False,
    quiet: groups.Quiet = False,
) -> int:
    """Compare timelines with ground truth: frame accuracy, edit score, F1 and mAP.

    Example: vidattn compare annotations.csv results/

    Example: vidattn compare movie.eaf movie.vidattn.json --differences
    """
    console = Console(quiet=quiet)
    if how.fit_threshold and "threshold" in changes:
        raise UsageError("give --threshold or --fit-threshold, not both")
    source = TimelineSource(console, model, windowing, changes, runtime, limits)
    if how.differences:
        return list_differences(console, truth, reading, source.load(inputs), as_json=as_json)
    return MetricsRun(console, truth, reading, how, source).run(inputs, as_json=as_json)


@dataclass
class TimelineSource:
    """Timelines, saved ones and those of videos, for which a model is loaded once."""

    console: Console
    model: groups.ModelOptions
    windowing: Windowing
    changes: Mapping[str, Any]
    """Settings of post-processing, in place of the saved ones."""
    runtime: Runtime
    limits: Limits

    def __post_init__(self) -> None:
        self.failed: list[dict[str, str]] = []
        """Videos without a timeline, with the reason."""

    def load(self, inputs: Sequence[str]) -> list[Timeline]:
        """The timelines of all inputs; errors of videos are printed."""
        files, videos = _find_timelines(inputs, self.model.model)
        return [*map(self._read, files), *(self._segment(videos) if videos else ())]

    def _read(self, path: str) -> Timeline:
        timeline = load_timeline(path)
        if self.model.labels is not None:
            timeline = replace(timeline, labels=read_labels(self.model.labels, timeline.labels))
        return timeline.with_decoding(**self.changes) if self.changes else timeline

    def _segment(self, videos: Sequence[str]) -> Iterator[Timeline]:
        from vidattn.inference import stream
        from vidattn.timeline import Decoding
        from vidattn.video import Prefetcher

        decoding = Decoding(**self.changes)
        check = partial(require_readable, videos, self.limits)
        classifier = load_model(self.console, self.model, self.windowing.frames, check=check)
        warn_of_whole_pictures(self.console, classifier, videos)
        progress = self.console.progress("videos", len(videos))
        with Prefetcher(self.limits) as opener, progress as bar:
            for path in videos:
                try:
                    yield stream.segment(
                        path,
                        classifier,
                        self.windowing,
                        decoding=decoding,
                        runtime=self.runtime,
                        opening=opener,
                    )
                except InputError as error:
                    self.console.fail(error)
                    self.failed.append({"path": path, "message": error.message})
                bar.step()


def _find_timelines(inputs: Sequence[str], model: str | None) -> tuple[list[str], list[str]]:
    """Saved timelines and videos. A folder stands for its timelines, unless a model is named."""
    from vidattn.output import WRITERS

    files: list[str] = []
    rest: list[str] = []
    for given in inputs:
        below = walk_files(given) if is_folder(given) else ()
        inside = [path for path in below if path.endswith(".vidattn.json")]
        if inside and model is None:
            files += inside
        else:
            rest.append(given)
    paths = [video.path for video in find_videos(rest)] if rest else []
    # Of what `segment` writes only json has scores: the others are refused as a timeline.
    written = [path for path in paths if Path(path).suffix[1:] in WRITERS]
    return list(dict.fromkeys(files + written)), [path for path in paths if path not in written]


def _read_truth(console: Console, path: Path, split: str | None) -> GroundTruth:
    """Annotations in any format, or a saved timeline."""
    from vidattn.data.annotations.ground_truth import GroundTruth, read_ground_truth
    from vidattn.evaluation.diff import as_ground_truth
    from vidattn.timeline import SCHEMA

    if path.suffix.lower() == ".json" and is_file(path):
        with path.open("rb") as file:
            if SCHEMA.encode() in file.read(200):
                return GroundTruth((as_ground_truth(load_timeline(path)),))
    truth = read_ground_truth(path, split)
    for note in truth.notes:
        console.note(note)
    return truth


@dataclass(frozen=True)
class MetricsRun:
    """The metrics of timelines against ground truth."""

    console: Console
    truth: Path
    reading: TruthOptions
    how: Comparison
    source: TimelineSource

    def run(self, inputs: Sequence[str], *, as_json: bool) -> int:
        """Measure and print; returns the exit code."""
        from vidattn.evaluation.pairing import pair_videos
        from vidattn.evaluation.segmentation import METRICS

        expected = parse_expectations(self.how.expect or [], METRICS)
        if self.how.output is not None:
            require_writable(self.how.output.parent)
            if self.source.model.model is None:
                raise UsageError("-o: name the model of these timelines with -m")
        truth = _read_truth(self.console, self.truth, self.reading.split)
        timelines = self.source.load(inputs)
        pairing = pair_videos(truth.videos, timelines)
        pairs = [(video, timeline) for video, timeline in pairing.pairs if timeline is not None]
        _warn_of_durations(self.console, self.truth, pairs)
        _note_unused_areas(self.console, truth, pairing.pairs)
        self._warn_of_unknown_labels(pairs)
        metrics, fitted = self._measure(pairing)
        document = {
            "task": "segment",
            "truth": str(self.truth),
            "models": sorted({t.model.name or "" for t in timelines}),
            **metrics,
            **({"fitted": fitted} if fitted else {}),
            "missing": list(pairing.missing),
            "unused": list(pairing.unused),
            "failed": self.source.failed,
        }
        if self.how.output is not None:
            self._save_model(timelines, fitted["threshold"], self.how.output)
        self.console.lines([dumps(document)] if as_json else comparison_lines(document))
        if warn_of_misses(self.console, expected, document):
            return ExitCode.NOT_AS_EXPECTED
        incomplete = pairing.missing or self.source.failed
        return ExitCode.INCOMPLETE if incomplete else ExitCode.DONE

    def _warn_of_unknown_labels(self, pairs: Sequence[tuple[AnnotatedVideo, Timeline]]) -> None:
        """Warn of labels of the ground truth that no model here can give."""
        known = {normalize_label(name) for _, timeline in pairs for name in timeline.labels}
        known |= {normalize_label(name) for name in (*(self.reading.background or ()), BACKGROUND)}
        names = {
            name for truth, _ in pairs for name in (*truth.frames, *(s[1] for s in truth.spans))
        }
        if unknown := sorted(name for name in names if normalize_label(name) not in known):
            some = ", ".join(unknown[:5]) + ", ..." * (len(unknown) > 5)
            self.console.warn(f"{self.truth}: labels that the model does not have: {some}")

    def _measure(self, pairing: Pairing) -> tuple[dict[str, Any], dict[str, float]]:
        """All metrics; and the best threshold and its F1, if it is to be found."""
        from vidattn.evaluation.label_metrics import evaluate_label_time
        from vidattn.evaluation.segmentation import evaluate_segmentation, fit_threshold

        background = tuple(self.reading.background or ())
        settings: dict[str, Any] = {"background": background, "rate": self.reading.truth_fps}
        pairs, fitted = pairing.pairs, dict[str, float]()
        if self.how.fit_threshold:
            threshold, value = fit_threshold(pairs, **settings)
            fitted = {"threshold": threshold, "value": value}
            pairs = tuple(
                (t, one and one.with_decoding(threshold=threshold, leave=None)) for t, one in pairs
            )
        metrics = evaluate_segmentation(pairs, **settings).to_dict()
        if several := evaluate_label_time(pairs, **settings):
            metrics["several"] = several.to_dict()
        self._warn("no prediction, so that all segments count as missed", pairing.missing)
        self._warn("left out, as the ground truth has no labels of their own", pairing.unused)
        if overlapping := metrics["videos"] - metrics["framewise"]:
            self.console.note(
                f"labels overlap in {count_noun(overlapping, 'video')}: "
                "not in frame accuracy, edit score and F1"
            )
        return metrics, fitted

    def _warn(self, what: str, names: Sequence[str]) -> None:
        if names:
            self.console.warn(f"{what}: {name_first(names)}")

    def _save_model(self, timelines: Sequence[Timeline], threshold: float, path: Path) -> None:
        """Write the model of the timelines with a threshold. Raises UsageError for another."""
        options = self.source.model
        classifier = load_model(self.console, options)
        if any(t.model.sha256 != classifier.card.sha256 for t in timelines):
            raise UsageError(f"{options.model}: is not the model of these timelines")
        save_fitted(replace(classifier, threshold=threshold), path, options.model)
        self.console.note(
            f"wrote {path}: {classifier.card.name} with the threshold {threshold:.2f}"
        )


def _note_unused_areas(
    console: Console, truth: GroundTruth, pairs: Iterable[tuple[AnnotatedVideo, Timeline | None]]
) -> None:
    """Note areas whose labels are left out, beside others of the same video."""
    from vidattn.evaluation.pairing import list_unused_areas

    if unused := list_unused_areas(truth.videos, (video for video, _ in pairs)):
        console.note(f"labels of {name_first(unused)}: no timeline, left out")


def list_differences(
    console: Console,
    path: Path,
    reading: TruthOptions,
    timelines: Sequence[Timeline],
    *,
    as_json: bool,
) -> int:
    """Print where each timeline differs from the ground truth; returns the exit code."""
    from vidattn.evaluation.diff import diff
    from vidattn.evaluation.pairing import pair_videos, take_area

    truth = _read_truth(console, path, reading.split)
    unused: tuple[str, ...] = ()
    if len(truth.videos) == len(timelines) == 1:  # one of each is a pair, whatever the names
        pairs = [(take_area(truth.videos[0], timelines[0]), timelines[0])]
        for doubt in _doubts(*pairs[0], named=path.suffix.lower() not in UNNAMED):
            console.warn(f"{path}: {doubt}; is it about the same video?")
    else:
        pairing = pair_videos(truth.videos, timelines)
        pairs = [(video, timeline) for video, timeline in pairing.pairs if timeline is not None]
        unused = pairing.unused
        _warn_of_durations(console, path, pairs)
    for name in unused:
        console.warn(f"{name}: is not in {path}")
    _note_unused_areas(console, truth, pairs)
    for video, timeline in pairs:
        found = diff(timeline, video)
        document = json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False)
        console.lines([document] if as_json else difference_lines(found, path))
    return ExitCode.INCOMPLETE if unused else ExitCode.DONE


def _warn_of_durations(
    console: Console, path: Path, pairs: Sequence[tuple[AnnotatedVideo, Timeline]]
) -> None:
    """Warn of ground truth that is longer or shorter than its video."""
    doubts = [f"{pair[0].title} {doubt}" for pair in pairs for doubt in _doubts(*pair, named=False)]
    if doubts:
        console.warn(f"{path}: {name_first(doubts)}; is it about the same video?")


def _doubts(video: AnnotatedVideo, timeline: Timeline, *, named: bool) -> Iterator[str]:
    """Reasons to think that a ground truth is about another video."""
    timeline = timeline if video.frames else timeline.from_file_start()
    assert timeline.duration is not None
    name, duration = Path(timeline.source).name, timeline.duration
    if named and VideoNames([video.name]).find(timeline.source) is None:
        yield f"is about {video.name}, not {timeline.source}"
    last = max((window.stop for window, _ in video.spans), default=0.0)
    least = last if video.duration is None else video.duration
    most = math.inf if video.duration is None else video.duration
    tolerance = max(0.5, 0.01 * duration)
    if least > duration + tolerance or most < duration - tolerance:
        yield f"lasts {least:.1f} s, and {name} {duration:.1f} s"

"""`vidattn suggest`: which windows of unlabeled videos to label next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import load_model, warn_of_whole_pictures
from vidattn.cli.terminal.console import Console
from vidattn.errors import ExitCode, UsageError
from vidattn.inference.batch.inputs import find_existing
from vidattn.io.files import is_file, is_folder
from vidattn.io.search import VideoNames
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.data.annotations.ground_truth import AnnotatedVideo
    from vidattn.models.classifier import Classifier
    from vidattn.models.device import Runtime
    from vidattn.types import Suggestion, Window
    from vidattn.video import Limits

FORMATS = ("csv", "html", "labelstudio", "eaf")
LISTS = (".csv", ".tsv", ".jsonl", ".ndjson")
LONGEST = 1e9
"""Seconds that no video has."""


@dataclass(frozen=True)
class SuggestOptions:
    """What is suggested, and where it is written."""

    count: int = 50
    labeled: Path | None = None
    overlap: float = 0.0
    formats: str = "csv,html"
    output: Path = Path()

    def __post_init__(self) -> None:
        if wrong := set(self.names) - set(FORMATS):
            raise UsageError(
                f"-f {min(wrong)}: no format of suggestions", hint=f"there are {', '.join(FORMATS)}"
            )

    @property
    def names(self) -> list[str]:
        """The formats by name."""
        return [name.strip() for name in self.formats.split(",") if name.strip()]


SUGGEST = {
    "count": option("--count", "-n", "N", "Windows to suggest.", min=1),
    "labeled": option(
        "LABELS",
        "Spans or whole files that have labels already: left out, and rare labels come first.",
    ),
    "overlap": option("FRACTION", "Overlap between consecutive windows."),
    "formats": option(
        "--format",
        "-f",
        "F,F...",
        "csv: suggestions.csv, whose column label is to be filled in. html: suggestions.html, with "
        "a picture of each window and keys for its label. labelstudio, eaf: a file per video with "
        "the guesses of the model, to correct.",
        rich_help_panel="Output",
    ),
    "output": option("--output", "-o", "DIR", "Output folder."),
}


def suggest(
    inputs: groups.Inputs,
    *,
    model: groups.UnchangedModel,
    options: Annotated[SuggestOptions, Group("Suggestions", SUGGEST)],
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    quiet: groups.Quiet = False,
) -> int:
    """Suggest which windows of your videos to label next.

    Example: vidattn suggest videos/ -m my-model -n 50
    """
    console = Console(quiet=quiet)
    paths = [one.path for one in find_existing(inputs, console.note)]
    classifier = load_model(console, model)
    warn_of_whole_pictures(console, classifier, paths)
    found, failed = _scan(console, paths, classifier, options, runtime, limits)
    for place in _write(found, classifier, options, limits):
        console.note(f"wrote {place}")
    console.note(f"{count_noun(len(found), 'window')} to label")
    if not found and options.labeled and failed < len(paths):
        console.warn(f"{options.labeled}: labels all of these videos, so nothing is suggested")
    return ExitCode.INCOMPLETE if failed else ExitCode.DONE


def _scan(
    console: Console,
    paths: Sequence[str],
    classifier: Classifier,
    options: SuggestOptions,
    runtime: Runtime,
    limits: Limits,
) -> tuple[tuple[Suggestion, ...], int]:
    """The suggestions, and the number of videos that cannot be read."""
    from vidattn.data.plan import Windowing
    from vidattn.inference.embed import Embedder
    from vidattn.inference.suggest import Scanned, suggest_windows
    from vidattn.video import Prefetcher

    videos = _read_labeled(options.labeled) if options.labeled else []
    rois = classifier.clip.rois or ("",)
    spans = _labeled_spans(videos, options.labeled, paths, rois)
    if options.labeled and not spans:
        console.note(f"{options.labeled}: names none of these videos")
    known = Counter(label for video in videos for _, label in video.spans)
    failed = 0
    with Prefetcher(limits) as opening, console.progress("scanning", len(paths)) as bar:
        windowing = Windowing(overlap=options.overlap)
        embedder = Embedder(classifier, windowing, runtime=runtime, opening=opening)
        for event in suggest_windows(paths, embedder, options.count, labeled=spans, known=known):
            if not isinstance(event, Scanned):
                embedder.cache.store.trim()
                return event, failed
            if event.error is not None:
                console.fail(event.error)
                failed += 1
            bar.step()
    raise AssertionError("a scan ends with suggestions")


def _read_labeled(path: Path) -> list[AnnotatedVideo]:
    """Labeled spans. Whole files are labeled by a list without times and by class folders, as
    `teach` reads them, and by texts with a label for each frame."""
    from vidattn.config.labels import split_labels
    from vidattn.data.annotations.annotation import annotate_areas
    from vidattn.data.annotations.ground_truth import find_format, read_ground_truth
    from vidattn.data.sets import open_samples
    from vidattn.data.tabular import read_rows
    from vidattn.types import Window

    def label(name: str, labels: Iterable[str], roi: str = "") -> AnnotatedVideo:
        return annotate_areas(name, {roi: tuple((Window(0.0, LONGEST), one) for one in labels)})

    if is_folder(path) and find_format(path) is None:
        found = open_samples(str(path))
        return [label(one.path, [found.labels[one.label]]) for one in found.items]
    listed = path.suffix.lower() in LISTS and is_file(path)
    rows = [row.fields for row in read_rows(path)] if listed else []
    if not rows or any(row.get("start") or row.get("end") for row in rows):
        videos = read_ground_truth(path).videos
        return [label(one.name, {*one.frames}) if one.frames else one for one in videos]
    named = ((row.get("path", ""), row.get("label", ""), row.get("roi", "")) for row in rows)
    return [label(name, split_labels(text), roi) for name, text, roi in named if text]


def _labeled_spans(
    videos: Iterable[AnnotatedVideo],
    labels: Path | None,
    paths: Sequence[str],
    rois: Collection[str],
) -> dict[tuple[str, str], list[Window]]:
    """The labeled spans of each path and area of it; labels without an area are of all areas.

    labels: the file or folder of the annotation, which names videos by path or by name.
    """
    folder = labels if labels is None or is_folder(labels) else labels.parent
    by_name: dict[str, list[AnnotatedVideo]] = {}
    for video in videos:
        by_name.setdefault(video.name, []).append(video)
    names = VideoNames(by_name, folder)
    found: dict[tuple[str, str], list[Window]] = {}
    for path in paths:
        named = names.find(path)
        for roi in rois if named is not None else ():
            for video in by_name[named or ""]:
                areas = dict(video.spans_by_area())
                spans = (*areas.get("", ()), *areas.get(roi, ())) if roi else video.spans
                found.setdefault((path, roi), []).extend(window for window, _ in spans)
    return found


def _write(
    found: Sequence[Suggestion], classifier: Classifier, options: SuggestOptions, limits: Limits
) -> list[Path]:
    from vidattn.inference.batch.inputs import VideoInput, name_results
    from vidattn.inference.batch.output_files import OutputFiles, write_files
    from vidattn.io.files import write_atomically
    from vidattn.output.report.suggestions import suggestions_csv, suggestions_timeline

    places = []
    if "csv" in options.names:
        place = options.output / "suggestions.csv"
        places.append(write_atomically(place, suggestions_csv(found, options.output)))
    if "html" in options.names:
        place = options.output / "suggestions.html"
        places.append(write_atomically(place, _draw_page(found, classifier, place.parent, limits)))
    videos = list(dict.fromkeys((one.path, one.roi) for one in found))
    inputs = [VideoInput(path) for path in dict.fromkeys(path for path, _ in videos)]
    names: Mapping[str, str] = name_results(inputs)
    files = OutputFiles(tuple(n for n in options.names if n not in ("csv", "html")), options.output)
    for path, roi in videos if files.formats else ():
        own = [one for one in found if (one.path, one.roi) == (path, roi)]
        timeline = suggestions_timeline(path, own, classifier.labels)
        stem = f"{names[path]}.{roi}" if roi else names[path]
        places += write_files(timeline, files.files(f"{stem}.suggested"))
    return places


def _draw_page(
    found: Sequence[Suggestion], classifier: Classifier, folder: Path, limits: Limits
) -> bytes:
    from vidattn.inference.suggest import draw_window
    from vidattn.output.report.suggestions import suggestions_page
    from vidattn.video import Prefetcher

    with Prefetcher(limits) as opening:
        pictures = {
            i: draw_window(o.path, o.window, opening, framing=classifier.clip.framing_of(o.roi))
            for i, o in enumerate(found)
        }
    several = classifier.activation == "sigmoid"
    page = suggestions_page(found, classifier.labels, folder, pictures, several=several)
    return page.encode("utf-8", "backslashreplace")

"""`vidattn explain`: the frames and places that a prediction depends on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Group, option
from vidattn.cli.model_loading import load_model, warn_of_whole_pictures
from vidattn.cli.terminal.console import Console, printable
from vidattn.data.plan import as_seconds
from vidattn.errors import ExitCode, UsageError
from vidattn.inference.batch.inputs import VideoInput, require_existing
from vidattn.inference.batch.output_files import require_writable
from vidattn.inference.batch.results import load_timeline
from vidattn.io.files import exists, is_file
from vidattn.models.device import Runtime
from vidattn.video.protocol import Limits

if TYPE_CHECKING:
    from rich.text import Text

    from vidattn.models.classifier import Classifier
    from vidattn.timeline import Timeline, Unreadable
    from vidattn.timeline.explanation import Explanation
    from vidattn.video import Opening

BAR = 20
SURE, NO_DROP = 0.99, 5e-4
"""A score from which single frames hardly change it, and a drop that is printed as 0.0."""


@dataclass(frozen=True)
class ExplainOptions:
    """Which prediction to explain, and how."""

    at: float | None = None
    label: str | None = None
    method: Literal["relevance", "rollout", "gradcam", "occlusion"] = "relevance"
    frames: int | None = None


@dataclass(frozen=True)
class ExplainOutput:
    """Files and documents of an explanation."""

    output: Path | None = None
    mp4: bool = False
    json: bool = False

    @property
    def folder(self) -> Path | None:
        """The folder of the files; None if none are written."""
        return self.output or (None if self.json and not self.mp4 else Path())


EXPLAIN = {
    "at": option(
        "TIME",
        "Explain the window around this moment (seconds or HH:MM:SS). Default: the window with "
        "the highest score.",
        parser=as_seconds,
    ),
    "label": option("NAME", "Explain this label. Default: the highest-scoring one."),
    "method": option(
        "relevance: attention weighted by its gradient; for convolutional networks gradcam. "
        "rollout: attention alone, for any label. occlusion: covers each patch in turn; slow, for "
        "every model."
    ),
    "frames": groups.FRAMES,
}
OUTPUT = {
    "output": groups.OUTPUT_FOLDER,
    "mp4": option("Also write the window as a video with its heatmap."),
    "json": option("Print one JSON document."),
}


def explain(
    path: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A video, or its saved JSON timeline, which avoids rescoring."
        ),
    ],
    *,
    target: Annotated[ExplainOptions, Group("Explanation", EXPLAIN)],
    output: Annotated[ExplainOutput, Group("Output", OUTPUT)],
    model: groups.Model,
    runtime: groups.ExactDevice,
    limits: groups.Video,
    quiet: groups.Quiet = False,
) -> int:
    """Explain the prediction for a window: heatmaps, and the effect of each frame.

    Writes <stem>.vidattn.explain.png (and .mp4) to the current folder or -o. With --json alone it
    writes no files.

    Example: vidattn explain match.mp4 --at 1:30 -o results
    """
    console = Console(quiet=quiet)
    path, saved = _find_video(path)
    if output.folder is not None:
        require_writable(output.folder)
    classifier = load_model(console, _choose_model(model, saved), target.frames)
    exact = replace(runtime, precision="fp32")
    explainer = Explainer(console, path, classifier, target, exact, limits, saved)
    explanation, unreadable, written = explainer.run(output)
    console.lines([explanation.to_json()] if output.json else _lines(explanation))
    if written:
        console.note("wrote " + ", ".join(map(str, written)))
    offset = explanation.input.start_offset or 0.0
    for window, code in ((span.shift(offset), code) for span, code in unreadable):
        console.warn(f"{path}: {window.start:.2f} to {window.stop:.2f} s not seen ({code})")
    return ExitCode.INCOMPLETE if unreadable else ExitCode.DONE


def _find_video(path: str) -> tuple[str, Timeline | None]:
    """A video, or that of a saved timeline, as it was named then or beside the file; and that."""
    saved = load_timeline(path) if path.lower().endswith(".json") else None
    source = path if saved is None else saved.source
    beside = Path(path).with_name(PurePath(source).name)
    source = str(beside) if not exists(source) and is_file(beside) else source
    require_existing([VideoInput(source)])
    return source, saved


def _choose_model(model: groups.ModelOptions, saved: Timeline | None) -> groups.ModelOptions:
    """The model that was named, or that of a saved timeline if the catalog has its name."""
    from vidattn.weights.catalog import CATALOG

    name = saved and saved.model.name
    return replace(model, model=name) if model.model is None and name in CATALOG else model


@dataclass(frozen=True)
class Explainer:
    """Explains one window of a video. Raises UsageError for a timeline of another model."""

    console: Console
    path: str
    classifier: Classifier
    target: ExplainOptions
    runtime: Runtime
    limits: Limits
    saved: Timeline | None = None

    def __post_init__(self) -> None:
        if self.saved is not None and self.saved.labels != self.classifier.labels:
            raise UsageError(
                f"{self.path}: its timeline is of a model with other labels",
                hint=f"name that model with -m: {self.saved.model.name or 'it has no name'}",
            )

    def run(self, output: ExplainOutput) -> tuple[Explanation, tuple[Unreadable, ...], list[Path]]:
        """The explanation, spans of the video that could not be read, and the files written."""
        from vidattn.inference.patch_shares import choose_method
        from vidattn.video import Prefetcher

        choose_method(self.classifier, self.target.method)
        warn_of_whole_pictures(self.console, self.classifier, [self.path])
        with Prefetcher(self.limits) as opener:
            explanation, unreadable = self._explain(opener)
            folder = output.folder
            written = [] if folder is None else self._write(explanation, folder, output, opener)
        return explanation, unreadable, written

    def _explain(self, opener: Opening) -> tuple[Explanation, tuple[Unreadable, ...]]:
        from vidattn.inference.explain import (
            explain_windows,
            find_label,
            strongest_window,
            target_at,
        )

        label, frames = self.target.label, self.target.frames
        label_id = None if label is None else find_label(self.classifier, label)
        if self.target.at is None:
            timeline = self.saved or self._segment(opener)
            window, unreadable = strongest_window(timeline, label_id), timeline.unreadable
        else:
            at, classifier = self.target.at, self.classifier
            window = target_at(self.path, at, classifier, label_id, frames, self.runtime, opener)
            unreadable = ()
        (explanation,) = explain_windows(
            self.path,
            self.classifier,
            [window],
            method=self.target.method,
            frames=frames,
            runtime=self.runtime,
            opening=opener,
        )
        return explanation, unreadable

    def _segment(self, opener: Opening) -> Timeline:
        """The scores of all windows, side by side."""
        from vidattn.cli.terminal.progress import follow
        from vidattn.inference.stream import stream

        frames, runtime = self.target.frames, self.runtime
        events = stream(self.path, self.classifier, runtime=runtime, opening=opener, frames=frames)
        return follow(self.console, events)

    def _write(
        self, explanation: Explanation, folder: Path, output: ExplainOutput, opener: Opening
    ) -> list[Path]:
        from vidattn.io.files import write_atomically
        from vidattn.output.file_names import file_name
        from vidattn.output.video import heatmap

        png = folder / file_name(explanation.source, "explain.png")
        written = [
            write_atomically(png, heatmap.encode_image(heatmap.draw_strip(explanation), ".png"))
        ]
        if output.mp4:
            video, reader = png.with_suffix(".mp4"), self.runtime.reader
            written.append(
                heatmap.write_heatmap_video(explanation, video, reader=reader, opening=opener)
            )
        return written


def _lines(explanation: Explanation) -> Iterator[Text]:
    """The label, the window, and a line for each frame."""
    from rich.text import Text

    from vidattn.output.text import format_clock, model_title
    from vidattn.timeline.explanation import METHODS

    model, offset = explanation.model, explanation.input.start_offset or 0.0
    window = explanation.window.shift(offset)  # as players count
    yield Text.assemble(
        (printable(explanation.source), "bold"),
        f"  {format_clock(window.start, decimals=2)} - {format_clock(window.stop, decimals=2)}",
    )
    yield Text.assemble(
        f"  {printable(explanation.label)} {100 * explanation.score:.1f} %, "
        f"{len(explanation.frames)} frames",
        "    ",
        (printable(model_title(model)), "dim"),
    )
    yield Text(f"  share: {METHODS[explanation.method]}")
    yield Text("  drop: points of the score lost without the frame; odds: log-odds lost")
    shares = explanation.patches.sum((1, 2))
    most = max(float(shares.max()), 1e-9)
    effects = zip(explanation.times, shares, explanation.drops, explanation.odds, strict=True)
    for time, share, *lost in effects:
        points, odds = (round(float(value), 1) + 0.0 for value in (100 * lost[0], lost[1]))
        yield Text.assemble(
            f"  {format_clock(time + offset, decimals=2)}  share {100 * share:5.1f} %  ",
            f"drop {points:+6.1f}  odds {odds:+5.1f}  ",
            ("#" * round(BAR * float(share) / most), "cyan"),
        )
    if explanation.score > SURE and abs(explanation.drops).max() < NO_DROP:
        yield Text("  drop +0.0: the model is so sure that no frame alone lowers the score;")
        yield Text("  odds tell which frames it relies on")

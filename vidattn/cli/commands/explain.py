"""`vidattn explain`: what an answer rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidattn.cli import options
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import ExitCode

if TYPE_CHECKING:
    from rich.text import Text

    from vidattn.models.classifier import Classifier
    from vidattn.models.device import Runtime
    from vidattn.timeline import Timeline, Unreadable
    from vidattn.timeline.explanation import Explanation, Method
    from vidattn.video import Opening

BAR = 20


def explain(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A film.", show_default=False)],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Explain the window around this moment (seconds or HH:MM:SS). Default: that with "
            "the highest score.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", metavar="NAME", help="Explain this label, not the one with the best score."
        ),
    ] = None,
    method: Annotated[
        Literal["relevance", "rollout", "occlusion"],
        typer.Option(
            "--method",
            help="relevance: attention weighted with its gradient. rollout: attention alone, "
            "whatever the label. occlusion: covers every patch in turn; slow.",
        ),
    ] = "relevance",
    model: options.Model = None,
    frames: options.ClipFrames = None,
    as_json: options.JsonOfOne = False,
    output: options.OutputDir = None,
    mp4: Annotated[
        bool, typer.Option("--mp4", help="Write the window as a film with its heat, too.")
    ] = False,
    labels: options.Labels = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    reader: options.Reader = "auto",
    max_pixels: options.MaxPixels = None,
    any_codec: options.AnyCodec = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what the answer for a window rests on: heat over its frames, and what each is worth.

    Writes <stem>.vidattn.explain.png (and .mp4) into the current directory; -o says otherwise. With
    --json alone it writes nothing.

    Example: vidattn explain match.mp4 --at 1:30 -o results
    """
    from vidattn.cli.model_loading import load_model
    from vidattn.inference.batch.inputs import VideoInput, require_existing
    from vidattn.inference.batch.outputs import require_writable
    from vidattn.inference.explain import find_label, require_explainable
    from vidattn.models.device import Runtime
    from vidattn.video import Prefetcher

    desk = Console(quiet=quiet)
    require_existing([VideoInput(path)])
    moment = options.seconds(at)
    folder = output or Path()
    files = output is not None or mp4 or not as_json
    if files:
        require_writable(folder)
    classifier = load_model(desk, model, offline=offline, frames=frames, labels=labels)
    require_explainable(classifier)
    runtime = Runtime(device, "fp32", batch_size, reader)
    label_id = None if label is None else find_label(classifier, label)
    with Prefetcher(options.limits(max_pixels, any_codec)) as opener:
        request = Request(path, classifier, moment, label_id, method, frames, runtime, opener)
        found, unreadable = request.answered(desk)
        written = _write(found, folder, mp4, reader, opener) if files else []
    if as_json:
        desk.emit(found.to_json())
    else:
        desk.lines(lines(found))
    if written:
        desk.note("wrote " + ", ".join(map(str, written)))
    for window, code in unreadable:
        desk.warn(f"{path}: {window.start:.2f} to {window.stop:.2f} s not seen ({code})")
    if unreadable:
        raise typer.Exit(ExitCode.INCOMPLETE)


@dataclass(frozen=True)
class Request:
    """What is to be explained, and how."""

    path: str
    classifier: Classifier
    at: float | None
    label_id: int | None
    method: Method
    frames: int | None
    runtime: Runtime
    opening: Opening

    def answered(self, desk: Console) -> tuple[Explanation, tuple[Unreadable, ...]]:
        """The explanation, and what could not be seen where all windows of a film are looked at
        first; says how far that is."""
        from vidattn.inference.explain import explain_windows, strongest_window, target_at

        unreadable: tuple[Unreadable, ...] = ()
        if self.at is None:
            timeline = self._timeline(desk)
            question, unreadable = strongest_window(timeline, self.label_id), timeline.unreadable
        else:
            frames, runtime = self.frames, self.runtime
            question = target_at(
                self.path, self.at, self.classifier, self.label_id, frames, runtime, self.opening
            )
        (found,) = explain_windows(
            self.path,
            self.classifier,
            [question],
            method=self.method,
            frames=self.frames,
            runtime=self.runtime,
            opening=self.opening,
        )
        return found, unreadable

    def _timeline(self, desk: Console) -> Timeline:
        """The scores of all windows, side by side."""
        from vidattn.cli.terminal.progress import follow
        from vidattn.inference.stream import stream

        events = stream(
            self.path,
            self.classifier,
            frames=self.frames,
            runtime=self.runtime,
            opening=self.opening,
        )
        return follow(desk, events)


def _write(
    found: Explanation, folder: Path, mp4: bool, reader: str, opening: Opening
) -> list[Path]:
    """The picture, and with `mp4` the film."""
    from vidattn.io.files import write_atomically
    from vidattn.output.file_names import file_name
    from vidattn.output.video import heatmap

    place = folder / file_name(found.source, "explain.png")
    written = [write_atomically(place, heatmap.encode_image(heatmap.draw_strip(found), ".png"))]
    if mp4:
        film = place.with_suffix(".mp4")
        written.append(heatmap.write_heatmap_video(found, film, reader=reader, opening=opening))
    return written


def lines(found: Explanation) -> Iterator[Text]:
    """What a person reads: the label, the window, and a line for each frame."""
    from rich.text import Text

    from vidattn.timeline.explanation import METHODS

    model = found.model
    license_ = f" ({model.license})" if model.license else ""
    start, stop = found.window.start, found.window.stop
    yield Text.assemble((printable(found.source), "bold"), f"  {start:.2f} to {stop:.2f} s")
    yield Text.assemble(
        f"  {printable(found.label)} {100 * found.score:.1f} %, {len(found.frames)} frames",
        "    ",
        (f"{printable(model.name or 'unnamed model')}{license_}", "dim"),
    )
    yield Text(f"  share: {METHODS[found.method]}")
    yield Text("  drop: points of the score lost without the frame; odds: log-odds lost so")
    shares = found.patches.sum((1, 2))
    most = max(float(shares.max()), 1e-9)
    for time, share, *lost in zip(found.times, shares, found.drops, found.odds, strict=True):
        points, odds = (round(float(value), 1) + 0.0 for value in (100 * lost[0], lost[1]))
        yield Text.assemble(
            f"  {time:9.2f} s  share {100 * share:5.1f} %  ",
            f"drop {points:+6.1f}  odds {odds:+5.1f}  ",
            ("#" * round(BAR * float(share) / most), "cyan"),
        )

"""`vidattn doctor`: what a file is and what it would cost; or what is installed here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli import options
from vidattn.cli.terminal.console import Console, format_clock, printable
from vidattn.errors import ExitCode, InputError

if TYPE_CHECKING:
    from vidattn.inference.estimate import Estimate
    from vidattn.models.classifier import Classifier


def doctor(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT", help="Films; without any: the installation.", show_default=False
        ),
    ] = None,
    *,
    model: groups.UnchangedModel,
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what a film is and what segmenting it would take, measured here; or what is installed.

    Example: vidattn doctor movie.mp4 -m motion-tiny
    """
    desk = Console(quiet=quiet)
    if not inputs:
        from vidattn.cli.commands.system_info import installation, rows

        found = installation(offline=model.offline)
        desk.lines([json.dumps(found)] if as_json else rows(found))
        raise typer.Exit(ExitCode.DONE)
    from vidattn.cli.model_loading import load_model
    from vidattn.inference.batch.inputs import find_existing
    from vidattn.inference.estimate import estimate
    from vidattn.video import open_video

    paths = [video.path for video in find_existing(inputs)]
    classifier = load_model(desk, model.model, offline=model.offline)
    # A process for each film: what another has left in one would count as this film's memory.
    opening = partial(open_video, limits=limits)

    def measure(path: str) -> Estimate:
        return estimate(path, classifier, runtime=runtime, opening=opening)

    act = forecasts(classifier, measure, as_json=as_json)
    raise typer.Exit(each(desk, paths, act, as_json=as_json))


def each(
    desk: Console, paths: Sequence[str], act: Callable[[str], Iterator[str]], *, as_json: bool
) -> int:
    """Print what `act` says of every path; 0, or 3 or 4 when all or some of them fail."""
    from vidattn.cli.terminal.progress import failure_json

    failed = 0
    for path in paths:
        try:
            desk.lines(act(path))
        except InputError as error:
            desk.fail(error)
            if as_json and len(paths) > 1:
                desk.emit(failure_json(path, error))
            failed += 1
    if not failed:
        return ExitCode.DONE
    return ExitCode.FAILED if failed == len(paths) else ExitCode.INCOMPLETE


def forecasts(
    classifier: Classifier, measure: Callable[[str], Estimate], *, as_json: bool
) -> Callable[[str], Iterator[str]]:
    """For a path the lines that say what segmenting it would take."""

    def act(path: str) -> Iterator[str]:
        found = measure(path)
        if as_json:
            yield json.dumps(_document(found, classifier))
        else:
            yield from _lines(found, classifier)

    return act


def _lines(found: Estimate, classifier: Classifier) -> Iterator[str]:
    facts, settings, card = found.facts, found.settings, classifier.card
    length = format_clock(facts.duration, decimals=0 if facts.duration >= 60 else 2)
    rate = float(facts.fps)
    yield (
        f"{printable(found.path)}  {length}  {facts.width}x{facts.height} "
        f"{facts.codec} {rate:.6g} fps"
    )
    yield f"  file     {', '.join(_words(found))}"
    yield (
        f"  decode   {found.decode_fps:.0f} frames/s in order, {found.decode_fps / rate:.3g} times "
        f"real time, by {found.reader}"
    )
    yield (
        f"  windows  {found.windows} of {settings.window_seconds:.3g} s, one every "
        f"{settings.stride_seconds:.3g} s, {settings.frames} frames each"
    )
    yield f"  model    {card.name} ({card.license or 'licence unknown'}), {settings.precision}"
    yield (
        f"  needs    about {format_clock(found.total_s)} and {found.memory_mb:.0f} MB here, "
        f"going by {found.tried} windows"
    )
    for note in (*facts.warnings, *found.notes):
        yield f"  note     {printable(note)}"


def _words(found: Estimate) -> Iterator[str]:
    facts = found.facts
    yield f"{facts.container.split(',')[0]}, {facts.pixel_format} ({facts.bit_depth} bit)"
    if facts.hdr:
        yield "HDR, shown without tone mapping"
    yield "variable frame rate" if facts.vfr else "constant frame rate"
    yield f"turned {facts.rotation} degrees" if facts.rotation else "upright"
    if facts.sar != 1:
        yield f"pixels of {facts.sar}, not stretched"
    if facts.key_seconds:
        yield f"a key frame every {facts.key_seconds:.3g} s"


def _document(found: Estimate, classifier: Classifier) -> dict[str, Any]:
    facts = found.facts
    return {
        "schema": "vidattn/forecast/1",
        "input": {
            "path": found.path,
            "duration": facts.duration,
            "fps": [facts.fps.numerator, facts.fps.denominator],
            "vfr": facts.vfr,
            "width": facts.width,
            "height": facts.height,
            "rotation": facts.rotation,
            "codec": facts.codec,
            "container": facts.container,
            "pixel_format": facts.pixel_format,
            "bit_depth": facts.bit_depth,
            "hdr": facts.hdr,
            "frames": facts.frames,
            "key_seconds": facts.key_seconds,
            "warnings": list(facts.warnings),
        },
        "model": {"name": classifier.card.name, "license": classifier.card.license},
        "settings": found.settings.to_dict(),
        "windows": found.windows,
        "tried": found.tried,
        "decode_fps": round(found.decode_fps, 1),
        "window_s": round(found.window_s, 6),
        "total_s": round(found.total_s, 2),
        "memory_mb": found.memory_mb,
        "notes": list(found.notes),
    }

"""`vidattn doctor`: the facts of a video and the cost of segmenting it; or the installation."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.model_loading import load_model, require_readable
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import ExitCode, InputError
from vidattn.inference.batch.inputs import find_existing
from vidattn.io.text import count_noun
from vidattn.output.text import format_clock
from vidattn.video import open_video
from vidattn.video.process.child import available_layers
from vidattn.video.protocol import LAYERS
from vidattn.video.readers import READERS

if TYPE_CHECKING:
    from vidattn.inference.estimate import Estimate
    from vidattn.models.classifier import Classifier, ModelCard
    from vidattn.video import VideoDetails

FACTS = (
    *("vfr", "width", "height", "rotation", "codec", "container", "pixel_format"),
    *("bit_depth", "hdr", "frames", "key_seconds"),
)
"""Of a video, as JSON has them."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8")
HUB = ("huggingface.co", 443)
PATIENCE_SECONDS = 2.0


def doctor(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="Videos. Default: show the installation."),
    ] = None,
    *,
    windowing: groups.Windows,
    model: groups.UnchangedModel,
    runtime: groups.DeviceWithoutCompile,
    limits: groups.Video,
    as_json: groups.Json = False,
    quiet: groups.Quiet = False,
) -> int:
    """Inspect a video and estimate the cost of segmenting it.

    Without arguments, show the installation.

    Example: vidattn doctor movie.mp4 -m motion-tiny
    """
    console = Console(quiet=quiet)
    if not inputs:
        info = system_info(offline=model.offline)
        console.lines([json.dumps(info)] if as_json else describe_system(info))
        return ExitCode.DONE
    from vidattn.inference.estimate import estimate

    paths = [video.path for video in find_existing(inputs, console.note)]
    check = partial(require_readable, paths, limits)
    classifier = load_model(console, model, windowing.frames, check)
    opening = partial(open_video, limits=limits)  # a process each, as memory left behind counts
    measure = partial(
        estimate, classifier=classifier, windowing=windowing, runtime=runtime, opening=opening
    )
    return print_estimates(console, paths, measure, classifier, as_json=as_json)


def print_estimates(
    console: Console,
    paths: Sequence[str],
    measure: Callable[[str], Estimate],
    classifier: Classifier,
    *,
    as_json: bool,
) -> int:
    """Print the estimate for each path; returns the exit code."""
    from vidattn.cli.terminal.progress import failure_json

    failed = 0
    for path in paths:
        try:
            estimate, card = measure(path), classifier.card
            console.lines(
                [json.dumps(_document(estimate, card))] if as_json else _lines(estimate, card)
            )
        except InputError as error:
            console.fail(error)
            if as_json and len(paths) > 1:
                console.emit(failure_json(path, error))
            failed += 1
    if not failed:
        return ExitCode.DONE
    return ExitCode.FAILED if failed == len(paths) else ExitCode.INCOMPLETE


def _lines(estimate: Estimate, card: ModelCard) -> Iterator[str]:
    facts, settings = estimate.facts, estimate.settings
    length = format_clock(facts.duration, decimals=0 if facts.duration >= 60 else 2)
    rate = float(facts.fps)
    chosen = "" if settings.chosen_overlap is None else " by default"
    time = "under a second" if estimate.total_s < 1 else f"about {format_clock(estimate.total_s)}"
    yield (
        f"{printable(estimate.path)}  {length}  {facts.width}x{facts.height} "
        f"{facts.codec} {rate:.6g} fps"
    )
    yield f"  file     {', '.join(_describe_file(estimate.facts))}"
    yield (
        f"  decode   {estimate.decode_fps:.0f} frames/s in order, "
        f"{estimate.decode_fps / rate:.3g} times real time, by {estimate.reader}"
    )
    yield (
        f"  windows  {estimate.windows} of {settings.window_seconds:.3g} s, one every "
        f"{settings.stride_seconds:.3g} s{chosen}, {settings.frames} frames each"
    )
    yield f"  model    {card.name} ({card.license or 'license unknown'}), {settings.precision}"
    yield (
        f"  needs    {time} and {estimate.memory_mb:.0f} MB here, "
        f"measured on {count_noun(estimate.tried, 'window')}"
    )
    for note in (*facts.warnings, *estimate.notes):
        yield f"  note     {printable(note)}"


def _describe_file(facts: VideoDetails) -> Iterator[str]:
    yield f"{facts.container.split(',')[0]}, {facts.pixel_format} ({facts.bit_depth} bit)"
    if facts.hdr:
        yield "HDR, without tone mapping"
    yield "variable frame rate" if facts.vfr else "constant frame rate"
    yield f"rotated by {facts.rotation} degrees" if facts.rotation else "upright"
    if facts.sar != 1:
        yield f"pixel aspect ratio {facts.sar}, not applied"
    if facts.key_seconds:
        yield f"a key frame every {facts.key_seconds:.3g} s"


def _document(estimate: Estimate, card: ModelCard) -> dict[str, Any]:
    facts = estimate.facts
    return {
        "schema": "vidattn/estimate/1",
        "input": {
            "path": estimate.path,
            "duration": facts.duration,
            "fps": [facts.fps.numerator, facts.fps.denominator],
            **{name: getattr(facts, name) for name in FACTS},
            "warnings": list(facts.warnings),
        },
        "model": {"name": card.name, "license": card.license},
        "settings": estimate.settings.to_dict(),
        "windows": estimate.windows,
        "tried": estimate.tried,
        "decode_fps": round(estimate.decode_fps, 1),
        "window_s": round(estimate.window_s, 6),
        "total_s": round(estimate.total_s, 2),
        "memory_mb": estimate.memory_mb,
        "notes": list(estimate.notes),
    }


def system_info(*, offline: bool) -> dict[str, Any]:
    """The installation as plain values. offline: do not try the network."""
    import torch

    from vidattn.io.cache import cache_folder
    from vidattn.weights import catalog, download, sources

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cached = [e.name for e in catalog.CATALOG.values() if not e.is_bundled]
    entries, layers = catalog.CATALOG, available_layers()
    return {
        "schema": "vidattn/installation/1",
        "vidattn": version("vidattn"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "flags": _flags(),
        },
        "cuda": cuda,
        "mps": torch.backends.mps.is_available(),
        "readers": {name: _version(reader.package) for name, reader in READERS.items()},
        "sandbox": {name: name in layers for name in LAYERS},
        "cache": str(cache_folder()),
        "models": [
            *[name for name, entry in entries.items() if entry.is_bundled],
            *[name for name in cached if sources.find_local(entries[name])],
        ],
        "network": _network(download.is_offline(offline)),
    }


def describe_system(info: dict[str, Any]) -> Iterator[str]:
    """The installation as lines of text."""
    cpu = info["cpu"]
    devices = [*info["cuda"], *(["mps"] if info["mps"] else [])]
    yield f"vidattn   {info['vidattn']}, Python {info['python']}, torch {info['torch']}"
    yield (
        f"cpu       {count_noun(cpu['cores'], 'core')}, {count_noun(cpu['threads'], 'thread')}, "
        f"torch uses {cpu['capability']}; has {' '.join(cpu['flags']) or 'no wide vectors'}"
    )
    yield f"devices   {', '.join(['cpu', *devices])}"
    readers = (f"{name} {number or 'missing'}" for name, number in info["readers"].items())
    yield f"readers   {', '.join(readers)}"
    layers = (name if held else f"no {name}" for name, held in info["sandbox"].items())
    yield f"sandbox   {', '.join(layers)}"
    yield f"cache     {info['cache']}"
    yield f"models    {', '.join(info['models'])}"
    yield f"network   {info['network']}"


def _flags() -> list[str]:
    """The instruction sets of `FLAGS` that the CPU has; Linux only."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = (line.split(":", 1)[1].split() for line in text.splitlines() if line[:5] == "flags")
    available = set(next(lines, []))
    return [flag for flag in FLAGS if flag in available]


def _version(package: str) -> str | None:
    for name in (package, f"{package}-headless"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _network(offline: bool) -> str:
    if offline:
        return "not to be used"
    try:
        with socket.create_connection(HUB, timeout=PATIENCE_SECONDS):
            return f"{HUB[0]} can be reached"
    except OSError as error:
        return f"{HUB[0]} cannot be reached: {error.strerror or error}"

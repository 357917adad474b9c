"""`vidattn models`: which models there are, and what each one is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vidattn.cli import options
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import UsageError, WeightsError

Layout = Literal["official", "hf"]

app = typer.Typer(no_args_is_help=True, help="List, describe, import, export and verify models.")


@app.command("list")
def list_models() -> None:
    """List the models that can be named, with licence and published score.

    Example: vidattn models list
    """
    from vidattn.weights import catalog

    desk = Console()
    entries = catalog.CATALOG.values()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        score = f"top-1 {entry.top1:g} ({entry.views})" if entry.top1 else ""
        desk.emit(
            f"{entry.name:<{width}}  {entry.frames:>2} frames  {entry.dataset:<10}  "
            f"{entry.license:<12}  {score}".rstrip()
        )


@app.command("info")
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a file or a directory.")],
    offline: options.Offline = False,
    as_json: options.JsonOfOne = False,
) -> None:
    """Say where a model comes from, what it was trained for, and how it wants to be fed.

    Example: vidattn models info motion-tiny
    """
    import json

    from vidattn.cli.model_loading import load_model
    from vidattn.config.serialization import to_plain

    desk = Console()
    classifier = load_model(desk, model, offline=offline)
    parameters = sum(p.numel() for p in classifier.model.parameters())
    facts = {
        **to_plain(classifier.card),
        "parameters": parameters,
        "averaging": classifier.averaging,
        "temperature": classifier.temperature,
        "threshold": classifier.threshold,
        "clip": to_plain(classifier.clip),
        "model": to_plain(classifier.model.config),
        "labels": list(classifier.labels),
    }
    if as_json:
        desk.emit(json.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {number}" for name, number in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value[:12])) + (f", ... ({len(value)})" * (len(value) > 12))
        if value not in ("", None):
            desk.emit(f"{key:<13}  {printable(str(value))}")


@app.command("import")
def import_model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A foreign file or folder, a hub id, or a name.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to: a .safetensors file.")
    ],
    labels: options.Labels = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn any checkpoint vidattn can read into one file of ours, with all it takes to use it.

    Example: vidattn models import checkpoint.pyth -o model.safetensors
    """
    from vidattn import weights
    from vidattn.cli.model_loading import load_model

    desk = Console(quiet=quiet)
    if output.suffix != ".safetensors":
        raise UsageError(f"-o {output}: the name of a weights file ends in .safetensors")
    classifier = load_model(desk, model, offline=offline, labels=labels)
    desk.emit(str(weights.save(classifier, output)))


@app.command("export")
def export_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a file or a directory.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", help="A .pyth or .pth file, or a new folder for hf."
        ),
    ],
    layout: Annotated[
        Layout, typer.Option(help="Whose program reads it: the official code, or transformers.")
    ] = "official",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as the official code or Hugging Face transformers reads it; nothing is lost.

    Example: vidattn models export model.safetensors --layout hf -o folder
    """
    from vidattn import weights
    from vidattn.cli.model_loading import load_model

    desk = Console(quiet=quiet)
    is_file = output.suffix in (".pyth", ".pth")
    if is_file != (layout == "official"):
        raise UsageError(
            f"-o {output}: --layout {layout} writes a "
            + ("file that ends in .pyth or .pth" if layout == "official" else "folder")
        )
    classifier = load_model(desk, model, offline=offline)
    save = weights.save_official if layout == "official" else weights.save_hf
    desk.emit(str(save(classifier, output)))


@app.command("verify")
def verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a file or a directory.")],
    offline: options.Offline = False,
) -> None:
    """Read every tensor, check names, shapes, values and digest, and run one clip through.

    Example: vidattn models verify model.safetensors
    """
    import torch

    from vidattn.cli.model_loading import load_model

    desk = Console()
    classifier = load_model(desk, model, offline=offline)
    clip = classifier.clip
    with torch.inference_mode():
        logits = classifier.model(torch.zeros(1, 3, clip.frames, clip.crop, clip.crop))
    if logits.shape != (1, len(classifier.labels)) or not logits.isfinite().all():
        raise WeightsError(f"{model}: a black clip gives no finite score for every class")
    desk.emit(f"{printable(classifier.card.name)}: sound, sha256 {classifier.card.sha256}")

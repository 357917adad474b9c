"""`vidattn models`: list, describe, convert and verify models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Commands, Sections, option
from vidattn.cli.model_export import Layout, export, require_layout
from vidattn.cli.model_loading import (
    check_mirror,
    download_weights,
    load_model,
    read_evaluation,
    require_weights_name,
)
from vidattn.cli.option_groups import ModelOptions
from vidattn.cli.terminal.console import Console, printable
from vidattn.errors import WeightsError
from vidattn.io.files import write_atomically
from vidattn.io.text import count_noun

if TYPE_CHECKING:
    from vidattn.io.cache import FileStore
    from vidattn.models.classifier import Classifier

MOST_LABELS = 12
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Catalog name, file or folder.")]

Metrics = Annotated[
    Path | None, option("--metrics", "FILE", "What vidattn eval --json printed for this model.")
]

app = typer.Typer(
    no_args_is_help=True,
    cls=Commands,
    help="List, describe, get, convert, share and verify models.",
)


@app.command("list", cls=Sections)
def list_models() -> None:
    """List the models of the catalog with license and published score.

    Example: vidattn models list
    """
    from vidattn.weights import catalog

    console, entries = Console(), catalog.CATALOG.values()
    width = max(len(entry.name) for entry in entries)
    console.emit(f"{'name':<{width}}  frames  dataset     license       MB   top-1 (views)")
    for entry in entries:
        score = f"{entry.top1:g} ({entry.views})" if entry.top1 else ""
        console.emit(
            f"{entry.name:<{width}}  {entry.frames:>6}  {entry.dataset:<10}  "
            f"{entry.license:<12}  {entry.megabytes:>3}  {score}".rstrip()
        )
    endings = "; ".join(f"{suffix}: {text}" for suffix, text in catalog.SUFFIXES.items())
    console.note(f"endings of names: {endings}")
    console.note("scores are the authors', in percent; views are crops x clips")


@app.command("download", cls=Sections)
def download_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names of the catalog.")
    ] = None,
    every: Annotated[bool, option("--all", "All models of the catalog.")] = False,
    output: Annotated[
        Path | None,
        option("--output", "-o", "DIR", "Mirror to fill, for VIDATTN_MIRROR. Default: the cache."),
    ] = None,
    quiet: groups.Quiet = False,
) -> None:
    """Download published weights, into the cache or into a mirror for machines without a network.

    Example: vidattn models download timesformer-k400 stam-16-k400 -o /srv/models
    """
    download_weights(Console(quiet=quiet), names or [], every, output)


@app.command("info", cls=Sections)
def info(
    model: Model,
    frame_step: groups.FrameStep = None,
    offline: groups.Offline = False,
    as_json: groups.JsonOfOne = False,
) -> None:
    """Describe a model: what it was trained on and for, license, scores, labels, clips.

    Models of the catalog are described without a download.

    Example: vidattn models info timesformer-k400
    """
    console = Console()
    options = ModelOptions(model, frame_step=frame_step, offline=offline)
    facts = _find_facts(console, options)
    if as_json:
        console.emit(json.dumps(facts, ensure_ascii=False))
        return
    facts["license"] = facts["license"] or "unknown"
    for key, value in facts.items():
        if value not in ("", None, []):
            console.emit(f"{key:<13}  {printable(_as_text(value))}")


def _find_facts(console: Console, options: ModelOptions) -> dict[str, Any]:
    from vidattn.weights import catalog, model_card

    entry = catalog.CATALOG.get(options.model or "")
    if entry is not None and not entry.is_bundled:
        return model_card.describe_entry(entry)
    classifier = load_model(console, options)
    own, data = _collect_facts(classifier), classifier.card.training_data
    about = {"use": model_card.explain_license(classifier.card.license)}
    if data in model_card.PURPOSE:
        about |= {"trained_on": model_card.PURPOSE[data], "will_not_see": model_card.LIMITS[data]}
    return {**own, **about}


def _collect_facts(classifier: Classifier) -> dict[str, Any]:
    from vidattn.config.serialization import to_plain
    from vidattn.evaluation.benchmark import count_parameters
    from vidattn.inference.precision_check import PrecisionCheck

    model, found = classifier.model, classifier.int8_calibration()
    own = sum(p.numel() for p in model.parameters())
    return {
        **to_plain(classifier.card),
        "parameters": own
        or count_parameters(cast(Any, model.config)),  # a graph keeps them to itself
        "averaging": classifier.averaging,
        "temperature": classifier.temperature,
        "threshold": classifier.threshold,
        "activation": classifier.activation,
        "thresholds": list(classifier.thresholds),
        **({} if found is None else PrecisionCheck.of_calibration(found).to_dict()),
        "clip": to_plain(classifier.clip),
        "model": to_plain(model.config),
        "labels": list(classifier.labels),
    }


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        shown = [k for k in value if k != "settings"]  # those of transformers are long
        nested = {
            k: f"({_as_text(value[k])})" if isinstance(value[k], dict) else value[k] for k in shown
        }
        return ", ".join(f"{name} {number}" for name, number in nested.items())
    if isinstance(value, list):
        more = f", ... ({len(value)})" if len(value) > MOST_LABELS else ""
        return ", ".join(map(str, value[:MOST_LABELS])) + more
    return str(value)


@app.command("import", cls=Sections)
def import_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Checkpoint file or folder, Hugging Face id, or catalog name."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Output: a .safetensors file.")
    ],
    labels: groups.Labels = None,
    offline: groups.Offline = False,
    quiet: groups.Quiet = False,
) -> None:
    """Convert any supported checkpoint to one self-contained vidattn file.

    Example: vidattn models import checkpoint.pyth -o model.safetensors
    """
    from vidattn import weights

    console = Console(quiet=quiet)
    require_weights_name(output)
    classifier = load_model(console, ModelOptions(model, labels, offline=offline))
    console.emit(str(weights.save(classifier, output)))


@app.command("export", cls=Sections)
def export_model(
    model: Model,
    output: Annotated[
        Path, option("--output", "-o", "PATH", "A file with the ending below; for hf a new folder.")
    ],
    layout: Annotated[
        Layout,
        option(
            "--layout",
            "vidattn (.safetensors), official (.pyth), hf: for transformers, onnx (.onnx), "
            "openvino (.xml and .bin), pt2: for torch.export.",
        ),
    ] = "official",
    dynamic_frames: Annotated[
        bool, option("--dynamic-frames", "onnx, openvino: clips of any length.")
    ] = False,
    int8: Annotated[
        list[str] | None,
        option(
            "--int8",
            "VIDEO",
            "vidattn, openvino: calibrate 8-bit integers on this video. Repeatable.",
        ),
    ] = None,
    offline: groups.Offline = False,
    quiet: groups.Quiet = False,
) -> None:
    """Export a model with labels and preprocessing for other programs; vidattn reads all but pt2.

    Graphs are compared with the model on a few clips before the file appears.

    Example: vidattn models export motion-tiny --layout onnx -o model.onnx
    """
    console, calibration = Console(quiet=quiet), int8 or []
    require_layout(layout, output, dynamic_frames=dynamic_frames, calibration=calibration)
    classifier = load_model(console, ModelOptions(model, offline=offline))
    check = export(
        classifier,
        layout,
        output,
        source=model,
        dynamic_frames=dynamic_frames,
        calibration=calibration,
        warn=console.warn,
    )
    if check is not None:
        console.note(str(check))
    console.emit(str(output))


@app.command("card", cls=Sections)
def card(
    model: Model,
    metrics: Metrics = None,
    output: Annotated[
        Path | None, option("--output", "-o", "FILE", "A Markdown file. Default: printed.")
    ] = None,
    offline: groups.Offline = False,
) -> None:
    """Write a model card: labels, data, metrics, calibration, license, limits, an example.

    Example: vidattn models card model.safetensors -o README.md
    """
    from vidattn.weights import model_card

    console = Console()
    classifier = load_model(console, ModelOptions(model, offline=offline))
    text = model_card.make_model_card(classifier, evaluation=read_evaluation(metrics))
    if output is None:
        console.lines(text.splitlines())
    else:
        console.emit(str(write_atomically(output, text.encode())))


@app.command("push", cls=Sections)
def push(
    hub_id: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hugging Face hub.")
    ],
    model: Annotated[str, option("--model", "-m", "MODEL", "Catalog name, file or folder.")],
    metrics: Metrics = None,
    public: Annotated[bool, option("--public", "A new repository is public.")] = False,
    quiet: groups.Quiet = False,
) -> None:
    """Share a model on the Hugging Face hub, with a model card; -m OWNER/NAME loads it.

    Example: vidattn models push me/my-model -m model.safetensors
    """
    from vidattn.weights import model_card

    console = Console(quiet=quiet)
    classifier = load_model(console, ModelOptions(model))
    evaluation = read_evaluation(metrics)
    console.emit(model_card.push(classifier, hub_id, private=not public, evaluation=evaluation))


@app.command("cache", cls=Sections)
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove embeddings and checks.")] = False,
    as_json: groups.JsonOfOne = False,
) -> None:
    """Show the cache of weights, embeddings and checks; --clear removes all but weights.

    Embeddings are made by `vidattn teach`, checks by `--precision auto`; both are made again where
    they are missing.

    Example: vidattn models cache --clear
    """
    from vidattn.io.cache import cache_folder

    console = Console()
    removed = sum(store.trim(0) for store in _open_stores()) if clear else 0
    facts = {"folder": str(cache_folder()), "removed": removed, **_measure_cache()}
    if as_json:
        console.emit(json.dumps(facts))
        return
    console.emit(f"folder      {printable(str(cache_folder()))}")
    for name, fact in _measure_cache().items():
        console.emit(
            f"{name:<10}  {count_noun(fact['files'], 'file')}, {fact['bytes'] / 1e6:.1f} MB"
        )
    if clear:
        console.note(f"removed {count_noun(removed, 'file')} of embeddings and checks")


def _open_stores() -> Sequence[FileStore]:
    """What can be made again without a network."""
    from vidattn.data.embeddings import open_store
    from vidattn.io.cache import open_checks

    return open_store(), open_checks()


def _measure_cache() -> dict[str, dict[str, int]]:
    from vidattn.io.cache import FileStore, cache_folder

    return {
        store.folder.name: {"files": len(files), "bytes": sum(file.bytes for file in files)}
        for store in (FileStore(cache_folder() / "weights"), *_open_stores())
        for files in [store.files()]
    }


@app.command("verify", cls=Sections)
def verify(
    model: Model, frame_step: groups.FrameStep = None, offline: groups.Offline = False
) -> None:
    """Check all names, shapes, values and the digest of a model, and run one clip through it.

    Of a mirror that `vidattn models download` has filled, check the digest of every file.

    Example: vidattn models verify model.safetensors
    """
    import torch

    console = Console()
    if check_mirror(console, model):
        return
    options = ModelOptions(model, frame_step=frame_step, offline=offline)
    classifier = load_model(console, options)
    clip = classifier.clip
    with torch.inference_mode():
        logits = classifier.model(torch.zeros(1, 3, clip.frames, clip.crop, clip.crop))
    if logits.shape != (1, len(classifier.labels)) or not logits.isfinite().all():
        raise WeightsError(f"{model}: a black clip has no finite score for every class")
    console.emit(f"{printable(classifier.card.name)}: valid, sha256 {classifier.card.sha256}")

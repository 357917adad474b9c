"""The results of an epoch: validation metrics, the model, the best model, and curves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.config import Recipe, recipes
from vidattn.evaluation.classification import ClassificationMetrics, describe_top1, measure
from vidattn.evaluation.metrics import exact_interval
from vidattn.io.digest import sha256_file
from vidattn.io.files import exists, write_atomically
from vidattn.models.classifier import Classifier, ModelCard, average_views, build_model
from vidattn.models.device import to_device
from vidattn.models.distributed import World, is_sharded, unshard
from vidattn.models.temporal_head import TemporalHead
from vidattn.output.report.curves import curves_page, draw_curves
from vidattn.training.data import TrainingDataset
from vidattn.training.trainer import TrainState, autocast
from vidattn.weights.safetensors_file import save

BY_HEART = 0.9
"""Share of right training clips from which a worse score on other videos is told."""


@torch.no_grad()
def validate(
    state: TrainState,
    data: TrainingDataset,
    recipe: Recipe,
    world: World,
    stop_signal: Callable[[], int] = lambda: 0,
) -> ClassificationMetrics | None:
    """Metrics over all validation clips, each seen once by one of the processes.

    Uses the running mean of the weights if there is one. None when a process was asked to stop.
    Raises DataError when there are no clips.
    """
    clip, device = recipe.clip, world.device
    logits: list[Tensor] = [torch.zeros(0, recipe.model.classes)]
    labels: list[Tensor] = [torch.zeros(0, dtype=torch.int64)]
    blank = torch.zeros(1, 3, clip.frames, clip.crop, clip.crop)
    batches = data.validation_batches()
    network = state.network.eval()
    mean = state.average.model if state.average else None
    while True:
        batch = next(batches, None)
        left, stop = world.all_reduce_sum(batch is not None, stop_signal() > 0)
        if stop:
            return None
        if not left:
            break
        if batch is None and not is_sharded(network):
            continue
        # A sharded model runs in lockstep: a process without data passes a blank clip.
        with autocast(recipe, world):
            clips = to_device(blank if batch is None else batch.clips, device)
            scored = mean(clips) if mean else network(clips)[0]
        if batch is not None:
            each = scored.float().cpu().split(batch.views or [1] * len(scored))
            logits += [average_views(views, recipe.averaging)[None] for views in each]
            labels.append(batch.labels)
    every, truth = (world.all_gather(torch.cat(own)).numpy() for own in (logits, labels))
    return measure(every, truth)


def final_model(state: TrainState) -> nn.Module:
    """The unsharded model, or the running mean of its weights; every process must call this."""
    network = state.network
    if state.average:
        return state.average.model
    if not is_sharded(network):
        return network.model
    weights = {name: unshard(value) for name, value in network.model.state_dict().items()}
    assert not isinstance(network.model, TemporalHead), "a temporal head is never sharded"
    model = build_model(network.model.config)
    model.load_state_dict(weights)
    return model


def save_artifacts(
    model: nn.Module,
    recipe: Recipe,
    labels: tuple[str, ...],
    run_dir: Path,
    init: str,
    rows: Sequence[Mapping[str, Any]],
) -> Path:
    """Write model.safetensors, best.safetensors if the last epoch is the best, and the curves.

    rows: the rows of the log. Of equally good epochs the first is the best; an epoch without
    validation never is. Returns the path of the model.
    """
    *before, top1 = (row["scores"].get("top1") for row in rows if row["event"] == "epoch")
    card = make_card(recipe, run_dir, init, top1)
    recipe, init = remove_folders(recipe), public_name(init)
    classifier = Classifier(model, recipe.clip, labels, recipe.averaging, card)
    if top1 is not None and top1 > max((t for t in before if t is not None), default=-1.0):
        save(classifier, run_dir / "best.safetensors", recipe)
    drawing = draw_curves(rows, recipe.name, len(labels))
    write_atomically(run_dir / "curves.svg", drawing.encode())
    facts = (recipe.data.dataset, card.expect, f"started from {init}" if init else "")
    page = curves_page(rows, recipe.name, list(filter(None, facts)), len(labels))
    write_atomically(run_dir / "curves.html", page.encode("utf-8", "backslashreplace"))
    return save(classifier, run_dir / "model.safetensors", recipe)


def describe_result(epochs: Sequence[Mapping[str, Any]]) -> str:
    """How good the model of a finished run is, from the rows of its epochs; empty if unknown."""
    last = epochs[-1]
    top1, clips = last["scores"].get("top1"), last.get("clips", 0)
    if top1 is None or not clips:
        return ""
    parts = [f"validation videos right: {describe_top1(top1, clips, last['majority'])}"]
    best = max(epochs, key=lambda row: row["scores"].get("top1", -1.0))
    if best["scores"]["top1"] > top1:
        score = f"{100 * best['scores']['top1']:.1f} %"
        parts.append(f"best.safetensors: {score} after epoch {best['epoch']}, chosen by this score")
    learned, (_, high) = last["train_top1"], exact_interval(round(top1 * clips), clips)
    if learned >= BY_HEART and high < learned:
        parts.append(
            f"it has learned its training clips by heart ({100 * learned:.1f} % right): "
            "more clips, or fewer epochs, would help"
        )
    return "; ".join(parts)


def digest(path: Path) -> bytes:
    """The SHA-256 of a file; empty if it does not exist."""
    return bytes.fromhex(sha256_file(path)) if exists(path) else b""


def remove_folders(recipe: Recipe) -> Recipe:
    """The recipe for a weights file: names of files without their folders."""
    data = replace(
        recipe.data,
        dataset=public_name(recipe.data.dataset),
        textures=public_name(recipe.data.textures),
    )
    return replace(recipe, init=public_name(recipe.init), data=data)


def public_name(place: str) -> str:
    """The file name of a path; names and ids of hubs stay."""
    if not place:
        return ""
    path = Path(os.path.expanduser(place))  # noqa: PTH111 - pathlib raises for unknown users
    by_path = path.is_absolute() or place.startswith(".") or exists(path)
    return (path if path.name not in ("", "..") else path.resolve()).name if by_path else place


def make_card(recipe: Recipe, run_dir: Path, init: str, top1: float | None) -> ModelCard:
    """The model card: named after the recipe if trained on its dataset, free if all data is ours.

    top1: on the validation set, None when not validated.
    """
    dataset, init = public_name(recipe.data.dataset), public_name(init)
    shipped = recipes.RECIPES.get(recipe.name)
    own = shipped is not None and shipped.data.dataset == recipe.data.dataset
    ours = recipe.data.dataset == "motion" and not (init or recipe.init)
    return ModelCard(
        name=recipe.name if own else run_dir.resolve().name,
        license="Apache-2.0" if ours else "",
        source=f"vidattn train --dataset {dataset}" + (f" --init {init}" if init else ""),
        training_data=dataset,
        expect="" if top1 is None else f"{dataset} top-1 {100 * top1:.1f} (validation clips)",
    )

"""The results of an epoch: validation metrics, the model, the best model, and curves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidattn.config import Recipe, recipes
from vidattn.errors import DataError
from vidattn.evaluation.classification import describe_top1, measure
from vidattn.evaluation.label_metrics import best_thresholds, ranked_precision
from vidattn.evaluation.metrics import exact_interval
from vidattn.io.files import exists, sha256_file, write_atomically
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier, ModelCard, average_views, build_model
from vidattn.models.device import to_device
from vidattn.models.distributed import World, is_sharded, unshard
from vidattn.models.temporal_head import TemporalHead
from vidattn.output.report.curves import curves_page, draw_curves
from vidattn.training.data import TrainingDataset
from vidattn.training.events import find_score
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
) -> Validation | None:
    """Metrics over all validation clips, each seen once by one of the processes.

    Uses the running mean of the weights if there is one. None when a process was asked to stop.
    Raises DataError when there are no clips.
    """
    clip, device = recipe.clip, world.device
    logits: list[Tensor] = [torch.zeros(0, recipe.model.classes)]
    several = recipe.activation == "sigmoid"
    none = torch.zeros(0, recipe.model.classes) if several else torch.zeros(0, dtype=torch.int64)
    labels: list[Tensor] = [none]
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
            how = recipe.averaging, recipe.activation
            logits += [average_views(views, *how)[None] for views in each]
            labels.append(batch.labels)
    every, truth = (world.all_gather(torch.cat(own)).numpy() for own in (logits, labels))
    return _measure_labels(every, truth > 0) if several else _measure_classes(every, truth)


@dataclass(frozen=True)
class Validation:
    """How good a model is on the validation videos."""

    scores: Mapping[str, float]
    """By name, the one that decides which epoch is best first."""
    clips: int
    majority: float = 0.0
    """Share of the largest class, where one label holds at a time."""
    thresholds: tuple[float, ...] = ()
    """The score from which each label holds, where several may."""


def _measure_classes(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Validation:
    found = measure(logits, labels)
    scores = {name: getattr(found, name) for name in ("top1", "mean_class", "nll")}
    return Validation(scores, found.clips, found.majority)


def _measure_labels(logits: NDArray[np.float32], truth: NDArray[np.bool_]) -> Validation:
    """Raises DataError when there are no clips."""
    if not len(truth):
        raise DataError("nothing to evaluate: the dataset has no clips")
    odds = logits.astype(np.float64)
    probabilities = 1 / (1 + np.exp(-odds.clip(-50, 50)))
    precision = ranked_precision(odds, truth)
    loss = (np.logaddexp(0, odds) - truth * odds).sum(1).mean()
    scores = {"map": float(precision[~np.isnan(precision)].mean()), "nll": float(loss)}
    thresholds = best_thresholds(probabilities, truth).round(4)
    return Validation(scores, len(truth), thresholds=tuple(thresholds.tolist()))


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
    epochs = [row for row in rows if row["event"] == "epoch"]
    *before, score = (find_score(row["scores"]) for row in epochs)
    card = make_card(recipe, run_dir, init, epochs[-1]["scores"])
    recipe, init = remove_folders(recipe), public_name(init)
    classifier = Classifier(
        model,
        recipe.clip,
        labels,
        recipe.averaging,
        card,
        activation=recipe.activation,
        thresholds=tuple(epochs[-1].get("thresholds", ())),
    )
    if score is not None and score > max((s for s in before if s is not None), default=-1.0):
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
    score, clips = find_score(last["scores"]), last.get("clips", 0)
    if score is None or not clips:
        return ""
    parts = [
        f"mAP {100 * score:.1f} % on {count_noun(clips, 'validation clip')}, to which the "
        "thresholds of the labels are fitted"
        if "map" in last["scores"]
        else f"validation clips right: {describe_top1(score, clips, last['majority'])}"
    ]
    scored = [(found, row) for row in epochs if (found := find_score(row["scores"])) is not None]
    most, best = max(scored, key=lambda pair: pair[0])
    if most > score:
        text = f"{100 * most:.1f} % after epoch {best['epoch']}, chosen by this score"
        parts.append(f"best.safetensors: {text}")
    if "map" in last["scores"]:
        return "; ".join(parts)
    learned, (_, high) = last["train_top1"], exact_interval(round(score * clips), clips)
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


def make_card(recipe: Recipe, run_dir: Path, init: str, scores: Mapping[str, float]) -> ModelCard:
    """The model card: named after the recipe if trained on its dataset, free if all data is ours.

    scores: on the validation videos, empty when not validated.
    """
    metric, score = "mAP" if "map" in scores else "top-1", find_score(scores)
    shown = "" if score is None else f"{metric} {100 * score:.1f} (validation clips)"
    dataset, init = public_name(recipe.data.dataset), public_name(init)
    shipped = recipes.RECIPES.get(recipe.name)
    own = shipped is not None and shipped.data.dataset == recipe.data.dataset
    ours = recipe.data.dataset == "motion" and not (init or recipe.init)
    return ModelCard(
        name=recipe.name if own else run_dir.resolve().name,
        license="Apache-2.0" if ours else "",
        source=f"vidattn train --dataset {dataset}" + (f" --init {init}" if init else ""),
        training_data=dataset,
        expect=shown and f"{dataset} {shown}",
    )

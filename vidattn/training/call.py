"""`vidattn.train`: a training run as one call."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidattn.config import Recipe, recipes
from vidattn.config.serialization import apply_settings
from vidattn.data.sets.registry import normalize_name
from vidattn.models.classifier import Classifier
from vidattn.training.events import IncompleteValidation, TrainingNote, UnreadableVideo
from vidattn.training.fit import fit
from vidattn.weights.initialize import fit_shape
from vidattn.weights.loading import load


def train(
    dataset: str | os.PathLike[str],
    run_dir: str | os.PathLike[str],
    *,
    recipe: Recipe | str | None = None,
    init: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    device: str = "auto",
    resume: bool = False,
) -> Classifier:
    """Train on a dataset, as `vidattn train` does, and return the model; files are in `run_dir`.

    dataset: a known name, a folder or a list. recipe: one, or the name of one; None: that for the
    dataset. init: weights to start from; without a recipe, a video model sets shape and clips, too.
    settings: other values of the recipe, such as {"optim.epochs": 5}. Notes, unreadable videos and
    an incomplete validation are warnings. Errors as of `vidattn.training.fit.fit`, which yields
    what happens.
    """
    name, folder = normalize_name(os.fspath(dataset)), Path(run_dir)
    if isinstance(recipe, str):
        recipe = recipes.find_recipe(recipe)
    if recipe is not None:
        chosen = recipes.fit_to_dataset(recipe, name)
    elif resume:
        chosen = recipes.read_recipe(folder / "recipe.json")
    else:
        chosen = recipes.recipe_for(name)
        chosen = fit_shape(chosen, init) if init not in (None, "none") else chosen
    rows = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    chosen = apply_settings(chosen, rows)
    for event in fit(chosen, folder, data_root=data_root, device=device, resume=resume, init=init):
        if isinstance(event, TrainingNote | UnreadableVideo):
            warnings.warn(event.text, stacklevel=2)
        elif isinstance(event, IncompleteValidation):
            lost = f"{event.replaced + event.not_counted} videos could not be read"
            warnings.warn(f"{lost}: {event.log}", stacklevel=2)
    return load(folder)

"""`vidattn.train` and `vidattn.teach`: training as one call."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidattn.config import Recipe, recipes
from vidattn.config.run_options import TeachOptions
from vidattn.config.serialization import apply_settings, check_value
from vidattn.data.sets import normalize_name
from vidattn.inference.arguments import Model as ClassifierArgument
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.training.events import IncompleteValidation, TrainingNote, UnreadableVideo
from vidattn.training.fit import fit
from vidattn.training.teach import Taught, teach_events
from vidattn.weights.initialize import fit_shape
from vidattn.weights.loading import best_cached, load


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
    name = normalize_name(check_value(str, dataset, "dataset"))
    folder = Path(check_value(str, run_dir, "run_dir"))
    if isinstance(recipe, str):
        recipe = recipes.find_recipe(recipe)
    if recipe is not None:
        chosen = recipes.fit_to_dataset(check_value(Recipe, recipe, "recipe"), name)
    elif resume:
        chosen = recipes.read_recipe(folder / "recipe.json")
    else:
        chosen = recipes.recipe_for(name)
        chosen = fit_shape(chosen, init) if init not in (None, "none") else chosen
    given = check_value(Mapping[str, Any], settings or {}, "settings")
    rows = [f"{key}={json.dumps(value, default=str)}" for key, value in given.items()]
    chosen = apply_settings(chosen, rows)
    for event in fit(chosen, folder, data_root=data_root, device=device, resume=resume, init=init):
        if isinstance(event, TrainingNote | UnreadableVideo):
            warnings.warn(event.text, stacklevel=2)
        elif isinstance(event, IncompleteValidation):
            lost = f"{event.replaced + event.not_counted} videos could not be read"
            warnings.warn(f"{lost}: {event.log}", stacklevel=2)
    return load(folder)


def teach(
    labels: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    model: ClassifierArgument = None,
    *,
    data_root: Path | None = None,
    options: TeachOptions = TeachOptions(),
    runtime: Runtime = Runtime(),
) -> Taught:
    """Teach a model the classes of labeled videos, as `vidattn teach` does.

    labels: a folder for each class, a list, or spans labeled by hand. output: a .safetensors file,
    or a folder for it and the report; None writes nothing. model: the backbone, a classifier or
    what `vidattn.load` takes; None: the best one of the catalog that is in the cache. Videos that
    cannot be read are left out, with a warning. The result has .classifier, .metrics, .doubts
    (likely mistakes among the labels) and .report. Raises DataError when there is too little to
    learn from.
    """
    backbone = model if isinstance(model, Classifier) else load(model or best_cached())
    place = None if output is None else Path(check_value(str, output, "output"))
    name, options = (
        check_value(str, labels, "labels"),
        check_value(TeachOptions, options, "options"),
    )
    events = teach_events(name, backbone, place, options, data_root=data_root, runtime=runtime)
    *_, taught = events
    assert isinstance(taught, Taught)
    for failure in taught.failures:
        warnings.warn(f"left out: {failure.message}", stacklevel=2)
    return taught

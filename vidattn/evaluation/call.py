"""`vidattn.evaluate`: the metrics of a model on a dataset as one call."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.config.run_options import EvalViews
from vidattn.data.sampling import as_views
from vidattn.data.sets import open_dataset
from vidattn.errors import UsageError
from vidattn.evaluation.classification import measure_predictions
from vidattn.evaluation.dataset import DatasetEvaluator
from vidattn.inference.arguments import EvalKeywords, find_classifier
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.temporal_head import TemporalHead
from vidattn.weights.loading import read_training_recipe

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it since Python 3.11


def evaluate(
    model: Classifier | str | Path,
    dataset: str | os.PathLike[str],
    *,
    data_root: Path | None = None,
    group_by: str = "",
    workers: int = 0,
    runtime: Runtime = Runtime(),
    **keywords: Unpack[EvalKeywords],
) -> dict[str, Any]:
    """Measure a model on the validation videos of a dataset, as `vidattn eval --json` prints it.

    model: a classifier, or what `vidattn.load` takes. dataset: a known name, a folder or a list of
    videos. group_by: by default that of the recipe, if it was trained on this dataset. keywords:
    fields of `EvalViews`, such as views= and sampling=. Videos that cannot be read are listed as
    "failed". Raises UsageError for the dataset motion and for temporal heads, DataError.
    """
    given = dict[str, Any](keywords)
    options = EvalViews(**given | {"views": as_views(given.get("views"))})
    classifier, name = find_classifier(model, options.frames), os.fspath(dataset)
    if name == "motion" or isinstance(classifier.model, TemporalHead):
        raise UsageError(
            "evaluate measures models of clips on videos", hint="vidattn eval measures the others"
        )
    recipe = None if isinstance(model, Classifier) else read_training_recipe(model)
    own = recipe is not None and Path(recipe.data.dataset).name == Path(name).name
    group_by = group_by or (recipe.data.group_by if recipe and own else "")
    evaluator = DatasetEvaluator(
        classifier,
        open_dataset(name, data_root, "val", group_by=group_by),
        replace(options, views=options.views or (recipe.views if recipe else None)),
        runtime=runtime,
    )
    predictions = evaluator.collect(evaluator.predict(workers=workers))
    about = {**predictions.about, "dataset": name}
    return measure_predictions(replace(predictions, about=about))

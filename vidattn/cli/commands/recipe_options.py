"""The recipe that the options of `vidattn train` ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidattn.config import Recipe
from vidattn.config.serialization import apply_settings
from vidattn.errors import UsageError


@dataclass(frozen=True)
class Wanted:
    """What was said on the command line; None where nothing was."""

    dataset: str | None = None
    model: str | None = None
    """The name of a shipped recipe."""
    file: Path | None = None
    """A recipe as JSON."""
    init: str | None = None
    changes: Mapping[str, Any] | None = None
    """Settings with an option of their own, by their names in a recipe."""
    batch_size: int | None = None
    settings: Sequence[str] = ()

    def recipe(self, begun: Path | None) -> tuple[Recipe, list[str]]:
        """The recipe, and what to say of it. begun: the recipe of the run to go on with, if any."""
        from vidattn.training.optim import scale_lr

        recipe = self._base(begun)
        if self.dataset:
            name = self.dataset.rstrip("/") or "/"  # as shells complete the names of folders
            expect = recipe.expect if name == recipe.data.dataset else None
            recipe = replace(recipe, data=replace(recipe.data, dataset=name), expect=expect)
        if not recipe.data.dataset:
            raise UsageError("no data set", hint="name one with --dataset")
        init = None if self.init == "none" else self.init
        if init and begun is None and not (self.model or self.file):
            from vidattn.weights.initialize import fit_shape

            recipe = fit_shape(recipe, init)
        named = {name: value for name, value in (self.changes or {}).items() if value is not None}
        said = []
        if self.batch_size and self.batch_size != recipe.optim.batch_size:
            lr, text = scale_lr(recipe.optim, self.batch_size)
            named |= {"optim.batch_size": self.batch_size, "optim.lr": lr}
            said = [] if any(s.startswith("optim.lr=") for s in self.settings) else [text]
        options = [f"{name}={json.dumps(value)}" for name, value in named.items()]
        recipe = apply_settings(recipe, [*options, *self.settings])
        self._require_as_said(recipe)
        return recipe, said

    def _require_as_said(self, recipe: Recipe) -> None:
        """Raise UsageError where an option says one thing and `--set` another."""
        for name, value in (self.changes or {}).items():
            section, _, setting = name.partition(".")
            if value is not None and (made := getattr(getattr(recipe, section), setting)) != value:
                raise UsageError(
                    f"--{setting} {value}, but --set {name}={made}", hint="leave one of them out"
                )

    def _base(self, begun: Path | None) -> Recipe:
        """What the other options change."""
        from vidattn.config import recipes

        if self.file and self.model:
            raise UsageError("--recipe and --model both name a recipe", hint="leave one out")
        if self.file:
            return recipes.read_recipe(self.file)
        if self.model:
            return recipes.find_recipe(self.model)
        if begun:
            return recipes.read_recipe(begun)
        if not self.dataset:
            raise UsageError(
                "nothing to train on",
                hint="--dataset NAME|DIR; or --resume with the --run-dir of a run",
            )
        return recipes.recipe_for(self.dataset)

"""Recipes on the command line: listed, printed, changed and printed again."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import Run
from vidattn.config import Recipe
from vidattn.config.recipes import RECIPES
from vidattn.config.serialization import from_plain


def test_the_list_has_datasets_and_expected_scores(vidattn: Run) -> None:
    done = vidattn("recipe", "list")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows.keys() == RECIPES.keys()
    expected = "expected top-1 78.0 (model zoo: 77.9), top-5 93.7, views 3x1"
    assert rows["timesformer-k400"].endswith(f".yaml; {expected}")
    assert rows["small"].endswith("ours")
    assert "your own" in rows["small"]


def test_show_prints_the_recipe(quick: Run, tmp_path: Path) -> None:
    shown = quick("recipe", "show", "timesformer-hr-ssv2")
    assert from_plain(Recipe, json.loads(shown.stdout)) == RECIPES["timesformer-hr-ssv2"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(shown.stdout)
    again = quick("recipe", "show", run, "--set", "optim.lr=0.5", "--set", "name=mine")
    changed = json.loads(again.stdout)
    assert (changed["optim"]["lr"], changed["name"]) == (0.5, "mine")
    assert quick("recipe", "show", run / "recipe.json").stdout == shown.stdout

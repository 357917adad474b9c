"""`vidattn recipe`: training recipes as values to read, change and pass to `train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidattn.cli import option_groups as groups
from vidattn.cli.grouping import Commands, Sections
from vidattn.cli.terminal.console import Console
from vidattn.io.files import exists, is_folder

if TYPE_CHECKING:
    from vidattn.config import Recipe

app = typer.Typer(no_args_is_help=True, cls=Commands, help="List and print training recipes.")


@app.command("list", cls=Sections)
def list_recipes() -> None:
    """List the shipped recipes with their datasets, sources and expected scores.

    Example: vidattn recipe list
    """
    from vidattn.config.recipes import RECIPES

    console = Console()
    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        dataset = recipe.data.dataset or "your own"
        origin = "; ".join(filter(None, (recipe.source, _describe_expected(recipe))))
        console.emit(f"{recipe.name:<{width}}  {dataset:<9}  {origin}")


def _describe_expected(recipe: Recipe) -> str:
    """The expected score in words: "expected top-1 76.9, views 3x1"."""
    expect, views = recipe.expect, recipe.views
    if expect is None:
        return ""
    zoo = "" if expect.zoo_top1 is None else f" (model zoo: {expect.zoo_top1:.1f})"
    top5 = "" if expect.top5 is None else f", top-5 {expect.top5:.1f}"
    return f"expected top-1 {expect.top1:.1f}{zoo}{top5}, views {views.spatial}x{views.clips}"


@app.command("show", cls=Sections)
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of a recipe, run folder or recipe file.")
    ],
    settings: Annotated[list[str] | None, groups.SETTINGS] = None,
) -> None:
    """Print a recipe as JSON, for `vidattn train --recipe`.

    Example: vidattn recipe show timesformer-k400 > mine.json
    """
    from vidattn.config import recipes
    from vidattn.config.serialization import apply_settings, to_plain

    path = Path(name)
    if name not in recipes.RECIPES and exists(path):
        recipe = recipes.read_recipe(path / "recipe.json" if is_folder(path) else path)
    else:
        recipe = recipes.find_recipe(name)
    plain = to_plain(apply_settings(recipe, settings or []))
    Console().emit(json.dumps(plain, indent=2, ensure_ascii=False))

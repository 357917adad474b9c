"""`vidattn recipe`: how models are trained, as values to read, change and give to `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidattn.cli.console import Desk
from vidattn.files import is_folder, is_there

app = typer.Typer(no_args_is_help=True, help="List recipes for training and print one.")


@app.command("list")
def list_recipes() -> None:
    """List the recipes that ship, with their data sets, sources and expected scores.

    Example: vidattn recipe list
    """
    from vidattn.recipes import RECIPES

    desk = Desk()
    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        dataset = recipe.data.dataset or "your own"
        desk.emit(f"{recipe.name:<{width}}  {dataset:<9}  {recipe.source}")


@app.command("show")
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of a recipe; or a run directory, or a file.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
    ] = None,
) -> None:
    """Print a recipe as JSON, for `vidattn train --recipe`.

    Example: vidattn recipe show timesformer-k400 > mine.json
    """
    import json

    from vidattn import recipes
    from vidattn.plain import to_plain, with_settings

    path = Path(name)
    if name not in recipes.RECIPES and is_there(path):
        recipe = recipes.read(path / "recipe.json" if is_folder(path) else path)
    else:
        recipe = recipes.named(name)
    plain = to_plain(with_settings(recipe, settings or []))
    Desk().emit(json.dumps(plain, indent=2, ensure_ascii=False))

"""The house: imports go down, and every foreign package has one door."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vidattn

ROOT = Path(vidattn.__file__).parent

FLOOR = {
    # Words: everybody may use them, and they may use one another.
    "errors": 0, "types": 0, "config": 0, "classes": 0, "files": 0, "clock": 0,
    "archive": 0, "closing": 0, "compact": 0, "document": 0, "economy": 0, "explanation": 0,
    "gathering": 0, "layout": 0, "palette": 0, "plain": 0, "timeline": 0, "wording": 0,
    # Parts: strangers to one another.
    "models": 1, "video": 1, "sampling": 1, "transforms": 1, "metrics": 1, "output": 1,
    "answers": 1, "embeddings": 1, "device": 1, "optim": 1, "dist": 1, "recipes": 1,
    # Stores and plans.
    "shots": 2, "stills": 2, "film": 2, "heatfilm": 2,
    "weights": 2, "data": 2, "plan": 2, "figures": 2,
    # What acts on films are made of.
    "streaming": 3,
    # Acts.
    "infer": 4, "forecast": 4, "evidence": 4, "highlights": 4,
    "evaluate": 4, "evaluate_set": 4, "evaluate_time": 4, "compare": 4, "long": 4,
    "training": 4, "train": 4, "export": 4, "bench": 4, "bench_train": 4,
    # `import vidattn`: the front door.
    "": 5,
    # The desk.
    "cli": 6, "__main__": 7,
}  # fmt: skip

SAME_FLOOR = {
    ("forecast", "infer"),
    ("evidence", "infer"),
    ("highlights", "evidence"),
    ("long", "infer"),
    ("long", "evaluate_set"),
    ("training", "evaluate_set"),
    ("train", "training"),
    ("bench_train", "training"),
}
"""Acts that begin with another act."""

DOORS = {
    "av": {"video"},
    "cv2": {"data", "output", "video/opencv_reader"},
    "decord": {"video/decord_reader"},
    "einops": {"models", "transforms"},
    "huggingface_hub": {"weights"},
    "jinja2": {"output"},
    "markupsafe": {"output"},
    "numpy": {"*"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "PIL": {"output/lettering", "data/randaugment"},
    "psutil": {"bench", "cli"},
    "ray": {"cli/cluster"},
    "rich": {"cli"},
    "safetensors": {"weights"},
    "timm": {"data/randaugment"},
    "transformers": {"bench"},
    "torch": {"*"},
    "torchcodec": {"video/torchcodec_reader"},
    "typer": {"cli"},
    "typing_extensions": {"*"},
}
WITHOUT_TORCH = {
    "gathering", "streaming/windowlog", "layout", "shots", "palette", "film",
    "errors", "types", "config", "files", "clock", "compact", "plain", "timeline",
    "video", "sampling", "output", "plan", "metrics", "answers", "embeddings", "figures",
    "evaluate_time", "compare", "explanation",
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    """A file of the package, and what it imports anywhere in it, also in functions."""

    path: str
    """Such as "video/probe"."""
    inner: frozenset[str]
    """Names of the level below `vidattn`; "" is the package itself."""
    outer: frozenset[str]
    """Foreign packages."""

    @property
    def top(self) -> str:
        return self.path.split("/")[0]

    def __str__(self) -> str:
        return self.path


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names; `from a import b` counts as a.b, so that `from vidattn import x` tells x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Module]:
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        path = file.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")
        if path == "__init__":
            continue  # the front door, which leads everywhere, but only when asked
        names = [name.split(".") for name in imported(ast.parse(file.read_text("utf-8")))]
        inner = {".".join(name[1:2]) for name in names if name[0] == "vidattn"} - {"__version__"}
        outer = {name[0] for name in names} - {"vidattn", "__future__"} - sys.stdlib_module_names
        found.append(Module(path, frozenset(inner), frozenset(outer)))
    return found


MODULES = modules()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_a_floor(module: Module) -> None:
    assert module.top in FLOOR


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down(module: Module) -> None:
    assert module.inner <= FLOOR.keys()
    up = {name for name in module.inner if FLOOR[name] >= max(FLOOR[module.top], 1)}
    assert {(module.top, name) for name in up - {module.top}} <= SAME_FLOOR


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_foreign_package_has_its_door(module: Module) -> None:
    assert module.outer <= DOORS.keys()
    places = {module.path, module.top, "*"}
    assert [name for name in module.outer if not DOORS[name] & places] == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_what_needs_no_model_needs_no_torch(module: Module) -> None:
    if {module.top, module.path} & WITHOUT_TORCH and module.path != "video/torchcodec_reader":
        assert "torch" not in module.outer


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {part for module in MODULES for part in module.path.split("/")}
    assert names & {"utils", "util", "helpers", "common", "misc", "base"} == set()


def test_the_rules_see_a_breach() -> None:
    tree = ast.parse("def f():\n    from vidattn import cli\n    import torch.nn as nn")
    assert list(imported(tree)) == ["vidattn.cli", "torch.nn"]
    with pytest.raises(AssertionError, match="line 1: a relative import"):
        list(imported(ast.parse("from . import x")))

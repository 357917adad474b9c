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
    "compact": 0, "lookahead": 0, "economy": 0, "plain": 0, "reports": 0, "segments": 0,
    "timeline": 0,
    "decoding": 0, "runs": 0, "cuts": 0, "pooling": 0, "layout": 0,
    "windowlog": 0,
    # Parts: strangers to one another.
    "models": 1, "video": 1, "sampling": 1, "transforms": 1, "metrics": 1, "output": 1,
    "answers": 1, "device": 1, "optim": 1, "dist": 1, "recipes": 1, "rundir": 1,
    "curves": 1, "mixing": 1, "randaugment": 1,
    # Stores and plans.
    "shots": 2, "stills": 2, "resume": 3, "forecast": 3,
    "weights": 2, "data": 2, "plan": 2, "scorer": 2, "events": 2, "figures": 2,
    # Acts.
    "infer": 3, "viewer": 3, "survey": 3, "evaluate": 3, "evaluate_set": 3, "evaluate_time": 3,
    "compare": 3,
    "train": 3, "explain": 3, "export": 3, "bench": 3, "lessons": 3, "learner": 3, "outcome": 3,
    "bench_train": 3,
    # `import vidattn`: the front door.
    "": 4,
    # The desk.
    "cli": 5, "__main__": 6,
}  # fmt: skip

SAME_FLOOR = {
    ("infer", "resume"),
    ("forecast", "infer"),
    ("evaluate", "infer"),
    ("evaluate_set", "evaluate"),
    ("infer", "survey"),
    ("survey", "resume"),
    ("infer", "viewer"),
    ("survey", "viewer"),
    ("bench_train", "learner"),
    ("bench_train", "lessons"),
    ("lessons", "evaluate_set"),
    ("outcome", "learner"),
    ("outcome", "lessons"),
    ("train", "learner"),
    ("train", "lessons"),
    ("train", "outcome"),
    ("explain", "infer"),
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
    "PIL": {"randaugment"},
    "psutil": {"bench", "cli"},
    "rich": {"cli"},
    "safetensors": {"weights"},
    "timm": {"randaugment"},
    "transformers": {"bench"},
    "torch": {"*"},
    "torchcodec": {"video/torchcodec_reader"},
    "typer": {"cli"},
    "typing_extensions": {"*"},
}
WITHOUT_TORCH = {
    "decoding", "runs", "cuts", "pooling", "layout", "shots", "windowlog",
    "errors", "types", "config", "files", "clock", "compact", "plain", "segments", "timeline",
    "video", "sampling", "output", "plan", "metrics", "answers", "figures",
    "evaluate_time", "compare",
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
    if module.top in WITHOUT_TORCH and module.path != "video/torchcodec_reader":
        assert "torch" not in module.outer


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {part for module in MODULES for part in module.path.split("/")}
    assert names & {"utils", "util", "helpers", "common", "misc", "base"} == set()


def test_the_rules_see_a_breach() -> None:
    tree = ast.parse("def f():\n    from vidattn import cli\n    import torch.nn as nn")
    assert list(imported(tree)) == ["vidattn.cli", "torch.nn"]
    with pytest.raises(AssertionError, match="line 1: a relative import"):
        list(imported(ast.parse("from . import x")))

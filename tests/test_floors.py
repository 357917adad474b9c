"""The house: imports go down, and every foreign package has one door."""

import ast
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HOUSE: dict[str, Any] = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "house.py"))

FLOOR = {
    "errors": 1, "types": 1,                         # words
    "config": 2, "io": 2,                            # values; files
    "models": 3, "video": 3, "timeline": 3,          # parts, strangers to one another
    "weights": 4, "data": 4, "output": 4,            # stores and writers
    "inference": 5, "evaluation": 6, "training": 7,  # acts, one above the other
    "cli": 8,                                        # the command line
}  # fmt: skip

DOORS = {
    "_typeshed": {"*"},
    "av": {"video"},
    "cv2": {"data", "output", "video/readers/opencv"},
    "decord": {"video/readers/decord"},
    "einops": {"models", "data/transforms"},
    "filelock": {"io/locks"},
    "huggingface_hub": {"weights"},
    "jinja2": {"output"},
    "markupsafe": {"output"},
    "numpy": {"*"},
    "onnx": {"weights"},
    "onnxruntime": {"weights"},
    "openvino": {"weights"},
    "pandas": {"timeline/timeline"},
    "PIL": {"output/video/text", "data/augment"},
    "pyarrow": {"inference/batch/run_files"},
    "psutil": {"evaluation/benchmark", "cli"},
    "ray": {"inference/batch/ray"},
    "rich": {"cli"},
    "safetensors": {"weights", "training/checkpoint"},
    "timm": {"data/augment", "models/stam"},
    "transformers": {"evaluation/benchmark", "models/foreign"},
    "torch": {"*"},
    "torchcodec": {"video/readers/torchcodec"},
    "typer": {"cli"},
}
WITHOUT_TORCH = {
    "errors", "types", "config", "io", "timeline", "video", "output",
    "data/sampling", "data/plan", "data/embeddings", "inference/score_log",
    "inference/batch/job", "inference/shot_detection", "evaluation/metrics",
    "evaluation/predictions", "evaluation/classification", "evaluation/segmentation",
    "evaluation/diff",
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


def trees() -> dict[str, ast.Module]:
    """Dotted name of every module of the package -> its tree."""
    return HOUSE["parse_modules"]()  # type: ignore[no-any-return]


@cache
def modules() -> list[Module]:
    found = []
    for dotted, tree in trees().items():
        path = dotted.replace(".", "/")
        if path in ("__init__", "__main__"):
            continue  # the front door, which leads everywhere, but only when asked
        names = [name.split(".") for name in imported(tree)]
        inner = {".".join(name[1:2]) for name in names if name[0] == "vidattn"} - {"__version__"}
        outer = {name[0] for name in names} - {"vidattn", "__future__"} - sys.stdlib_module_names
        found.append(Module(path, frozenset(inner), frozenset(outer)))
    return found


def test_every_module_has_a_floor() -> None:
    assert {module.top for module in modules()} == FLOOR.keys()


def test_imports_go_down() -> None:
    assert {
        (module.path, name)
        for module in modules()
        for name in module.inner - {module.top, *({""} if module.top == "cli" else ())}
        if FLOOR[name] >= FLOOR[module.top]
    } == set()


def test_every_foreign_package_has_its_door() -> None:
    assert {
        (module.path, name)
        for module in modules()
        for name in module.outer
        if not DOORS.get(name, set()) & {module.path, module.top, "*"}
    } == set()


def test_what_needs_no_model_needs_no_torch() -> None:
    paths = {module.path for module in modules() if "torch" in module.outer}
    paths -= {"video/readers/torchcodec"}
    assert {path for path in paths if {path, path.split("/")[0]} & WITHOUT_TORCH} == set()


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {part for module in modules() for part in module.path.split("/")}
    assert names & {"utils", "util", "helpers", "common", "misc", "base"} == set()


def test_the_rules_see_a_breach() -> None:
    tree = ast.parse("def f():\n    from vidattn import cli\n    import torch.nn as nn")
    assert list(imported(tree)) == ["vidattn.cli", "torch.nn"]
    with pytest.raises(AssertionError, match="line 1: a relative import"):
        list(imported(ast.parse("from . import x")))

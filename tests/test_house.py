"""The size of the house and the words in it."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

from tests.test_floors import FLOOR, HOUSE, trees

ROOT = Path(__file__).parent.parent

LONGEST_FUNCTION, LONGEST_FILE, LONGEST_COMMAND = 60, 400, 15
"""In lines."""
BANNED_NAMES = {
    "answers": "predictions", "economy": "adaptive", "film": "video", "films": "videos",
    "held_back": "validation", "lessons": "samples", "licence": "license", "outcome": "result",
    "told": "a noun", "colour": "color", "centre": "center", "neighbour": "neighbor",
    "normalise": "normalize", "figures": "metrics", "filming": "scene",
}  # fmt: skip
"""Old word in an identifier -> the word of the glossary."""
BANNED_TEXT = {
    "film": "video", "films": "videos", "held back": "validation", "held-back": "validation",
    "data set": "dataset", "data sets": "datasets", "licence": "license", "colour": "color",
    "centre": "center", "neighbour": "neighbor", "normalise": "normalize", "labelled": "labeled",
}  # fmt: skip
"""Old word in docstrings, comments, messages and docs -> the word of the glossary."""


def test_the_house_is_small() -> None:
    arrows = HOUSE["arrows"](trees())
    assert len({HOUSE["room"](name) for name in trees()}) <= 16
    assert max(HOUSE["floors"](arrows).values()) <= 9
    assert len(arrows) <= 80


def test_no_arrow_goes_up_and_none_in_a_circle() -> None:
    levels = {**FLOOR, "__main__": max(FLOOR.values()) + 1}
    assert {(a, b) for a, b in HOUSE["arrows"](trees()) if levels[b] >= levels[a]} == set()
    assert HOUSE["circles"](HOUSE["module_arrows"](trees())) == set()


def test_functions_files_and_commands_are_short() -> None:
    functions = HOUSE["functions"](trees())
    lengths = [length for length, _ in functions]
    assert statistics.median(lengths) <= 8
    assert lengths[int(0.9 * len(lengths))] <= 25
    assert [name for length, name in functions if length > LONGEST_FUNCTION] == []
    assert [name for length, name in HOUSE["line_counts"]() if length > LONGEST_FILE] == []
    bodies = HOUSE["command_bodies"](trees())
    assert len(bodies) > 10
    assert [name for length, name in bodies if length > LONGEST_COMMAND] == []


def test_a_class_name_stands_for_one_thing() -> None:
    twice = {n: places for n, places in HOUSE["class_names"](trees()).items() if len(places) > 1}
    public = {n: places for n, places in twice.items() if not n.startswith("_")}
    assert not public


def identifiers(tree: ast.Module) -> set[str]:
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return names | {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}


def words_in(name: str) -> set[str]:
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return {*parts.split("_"), parts.strip("_")}


def test_no_name_has_an_old_word() -> None:
    breaches = {
        (module, name, BANNED_NAMES[word])
        for module, tree in trees().items()
        for name in {*identifiers(tree), *module.split(".")}
        for word in words_in(name) & {*BANNED_NAMES}
    }
    assert breaches == set()


TEXTS = [
    *sorted((ROOT / "vidattn").rglob("*.py")),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "examples" / "guides").glob("*.md")),
    ROOT / "examples" / "benchmarks" / "README.md",
]


def test_no_text_has_an_old_word() -> None:
    pattern = re.compile(
        rf"(?<![\w/.-])({'|'.join(BANNED_TEXT)})(?![\w/])(?!\.\w| grain)", re.IGNORECASE
    )
    breaches = set()
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"`[^`\n]*`|```.*?```", "", text, flags=re.DOTALL)
        breaches |= {(path.name, m, BANNED_TEXT[m.lower()]) for m in pattern.findall(text)}
    assert breaches == set()


def test_the_rules_see_a_breach() -> None:
    assert words_in("heldBack") & {"held_back"}
    assert words_in("FilmReader") & {"film"}
    assert HOUSE["circles"]({("a", "b"), ("b", "c"), ("c", "a")}) == {
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    }


def test_the_script_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    HOUSE["main"]()
    printed = capsys.readouterr().out
    assert "inference/stream.py" in printed
    assert printed.startswith("rooms")


OPENERS = {"write_text", "write_bytes", "read_text", "read_bytes"}
OWN_FILES = {
    "config.labels", "output.report.assets",  # of the package
    "evaluation.benchmark", "inference.estimate", "cli.commands.doctor",  # of the system
    "weights.download",  # a few bytes in the cache
    "cli", "cli.terminal.console",  # the standard streams
    "video.writer.cut", "video.writer.worker",  # by a descriptor from `open_output`
    "video.writer.h264", "weights.graph_export",  # in the place of `replacing_file`
}  # fmt: skip
"""Modules that read small files whose content is known."""


def test_files_are_written_and_read_whole_by_one_function_each() -> None:
    found = set()
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = {a.value for a in node.args[:2] if isinstance(a, ast.Constant)}
            writes = called == "open" and (
                modes & {"w", "wb", "a", "ab", "a+b", "r+b"} or "O_CREAT" in ast.dump(node)
            )
            if (called in OPENERS and not _is_ours(node)) or writes:
                found.add(name)
    assert {name for name in found if not name.startswith("io.")} - OWN_FILES == set()


def _is_ours(call: ast.Call) -> bool:
    """Whether a call is of `annotation.read_text`."""
    return "annotation" in ast.dump(call.func) or isinstance(call.func, ast.Name)

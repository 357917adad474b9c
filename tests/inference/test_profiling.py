"""The wall clock may jump: what waits, or gives up, goes by one that only runs forward."""

import ast
from pathlib import Path

import vidattn

WALL = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime", "strftime"}
ALLOWED = {("inference/batch/results.py", "time_ns")}
"""A file from the future says nothing of whether a result is older."""


def test_nobody_takes_it_by_another_name() -> None:
    root = Path(vidattn.__file__).parent
    taken = {
        (node.module, name.name)
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime")
        for name in node.names
    }
    assert taken <= {("time", "monotonic"), ("datetime", "timedelta")}


def test_only_one_place_asks_what_time_it_is() -> None:
    root = Path(vidattn.__file__).parent
    found = {
        (path.relative_to(root).as_posix(), node.func.attr)
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WALL
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("time", "datetime", "date")
    }
    assert found == ALLOWED

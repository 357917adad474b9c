"""The wall clock may jump: what waits, or gives up, goes by one that only runs forward."""

import ast
from pathlib import Path

import vidattn

WALL = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime", "strftime"}
ALLOWED = {
    ("inference/batch/results.py", "time_ns"),
    ("inference/batch/watch.py", "time"),
    ("output/camtrap.py", "now"),
}
"""A file from the future says nothing of whether a result is older; the age of a file that was
never seen before is known from its own time alone; a Camtrap package states when it was made."""


def test_the_clock_has_no_alias() -> None:
    root = Path(vidattn.__file__).parent
    taken = {
        (node.module, name.name)
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime")
        for name in node.names
    }
    of_dates = {("datetime", name) for name in ("UTC", "datetime", "timedelta", "timezone")}
    assert taken <= {("time", "monotonic"), *of_dates}


def test_one_module_reads_the_clock() -> None:
    root = Path(vidattn.__file__).parent
    users = {
        (path.relative_to(root).as_posix(), node.func.attr)
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WALL
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("time", "datetime", "date")
    }
    assert users == ALLOWED

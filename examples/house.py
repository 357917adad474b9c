"""The structure of the package in numbers: rooms, floors, imports, functions.

    python examples/house.py

A room is a file or folder of `vidattn/`, an arrow an import from one room to another. The floor of
a room is one above the highest room that it imports.
"""

from __future__ import annotations

import ast
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent / "vidattn"
PACKAGE_ROOT = "__init__"
"""It defines nothing: the public API imports its names on request."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parse_modules(root: Path = ROOT) -> dict[str, ast.Module]:
    """Dotted name of every module, without `vidattn.` -> its tree."""
    trees = {}
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        trees[name.removesuffix(".__init__")] = ast.parse(file.read_text(encoding="utf-8"))
    return trees


def imports(tree: ast.AST, modules: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of the package that a module imports anywhere, also in functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vidattn"):
            module = (node.module or "").removeprefix("vidattn").removeprefix(".")
            for alias in node.names:
                below = f"{module}.{alias.name}".removeprefix(".")
                yield below if below in modules else module or PACKAGE_ROOT
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (n.removeprefix("vidattn.") for n in names if n.startswith("vidattn."))


def room(module: str) -> str:
    """The room of a module."""
    return module.split(".")[0]


def arrows(modules: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """Imports between rooms."""
    pairs = {(room(a), room(b)) for a, b in module_arrows(modules)}
    return {(a, b) for a, b in pairs if a != b}


def module_arrows(modules: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """Imports between modules, the front door aside."""
    pairs = {(name, to) for name, tree in modules.items() for to in imports(tree, modules)}
    return {(a, b) for a, b in pairs if a != b and PACKAGE_ROOT not in (a, b)}


def circles(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Pairs of rooms, or of modules, that reach each other."""
    below = {a: {b for c, b in edges if c == a} for a, _ in edges}
    for middle in below:
        for targets in below.values():
            if middle in targets:
                targets |= below[middle]
    return {(a, b) for a in below for b in below[a] if a < b and a in below.get(b, ())}


def floors(edges: set[tuple[str, str]]) -> dict[str, int]:
    """Room -> its floor, from 1; only without circles."""
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in levels:
            levels[name] = 1 + max((level(b) for a, b in edges if a == name), default=0)
        return levels[name]

    for pair in edges:
        for name in pair:
            level(name)
    return levels


def closure(start: str, modules: dict[str, ast.Module]) -> set[str]:
    """The modules that a module reaches by imports."""
    reached, ahead = set[str](), [start]
    while ahead:
        name = ahead.pop()
        if name in modules and name not in reached:
            reached.add(name)
            ahead += imports(modules[name], modules)
    return reached


def functions(modules: dict[str, ast.Module]) -> list[tuple[int, str]]:
    """(lines, name) of every function, the shortest first."""
    found = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{module}.{node.name}")
        for module, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    ]
    return sorted(found)


def parameters(modules: dict[str, ast.Module]) -> list[tuple[int, str]]:
    """(parameters, name) of every function, the fewest first."""
    found = []
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                given = node.args
                count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
                found.append((count, f"{module}.{node.name}"))
    return sorted(found)


def command_bodies(modules: dict[str, ast.Module]) -> list[tuple[int, str]]:
    """(lines, name) of the body of every command, without its docstring."""
    found = []
    for module, tree in modules.items():
        for node in tree.body if module.startswith("cli.commands.") else ():
            if isinstance(node, Function) and "Example: " in (ast.get_docstring(node) or ""):
                lines = (node.body[-1].end_lineno or 0) - node.body[1].lineno + 1
                found.append((lines, f"{module}.{node.name}"))
    return sorted(found)


def class_names(modules: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Name of every top-level class -> the modules that define one."""
    places = defaultdict(list)
    for module, tree in modules.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    return dict(places)


def line_counts(root: Path = ROOT) -> list[tuple[int, str]]:
    """(lines, path) of every file, the shortest first."""
    files = root.rglob("*.py")
    return sorted(
        (f.read_text(encoding="utf-8").count("\n"), f.relative_to(root).as_posix()) for f in files
    )


def entered_by_stream() -> list[str]:
    """The files of the package whose functions run between `stream` and its last event."""
    import sample_video

    import vidattn

    entered = set[str]()
    classifier = vidattn.load("motion-tiny")
    with tempfile.TemporaryDirectory() as folder:
        path = sample_video.write(f"{folder}/video.mp4", (("static", 1.0),))
        sys.setprofile(lambda frame, event, _: entered.add(frame.f_code.co_filename))
        try:
            for _ in vidattn.stream(path, classifier):
                pass
        finally:
            sys.setprofile(None)
    return sorted(Path(f).relative_to(ROOT).as_posix() for f in entered if f.startswith(f"{ROOT}/"))


def main() -> None:
    """Print the numbers."""
    trees = parse_modules()
    edges = arrows(trees)
    lengths = [length for length, _ in functions(trees)]
    per_file = line_counts()
    between = module_arrows(trees)
    print(f"rooms      {len({room(name) for name in trees})}, floors {max(floors(edges).values())}")
    print(f"arrows     {len(edges)} between rooms, circles {len(circles(edges))}")
    print(f"           {len(between)} between modules, circles {len(circles(between))}")
    print(f"files      {len(trees)}, lines {sum(n for n, _ in per_file):,}, longest {per_file[-1]}")
    print(
        f"functions  {len(lengths)}, lines: median {statistics.median(lengths):g}, "
        f"p90 {lengths[int(0.9 * len(lengths))]}, longest {functions(trees)[-1]}"
    )
    print(f"signature  longest {parameters(trees)[-1]}")
    print(f"commands   longest body {command_bodies(trees)[-1]}")
    reached = closure("cli.commands.segment", trees)
    print(f"segment    imports {len(reached)} modules, directly and indirectly")
    entered = entered_by_stream()
    print(f"stream     runs through {len(entered)} files: {', '.join(entered)}")


if __name__ == "__main__":
    main()

"""What the README promises is there."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.printed import require_printed
from vidattn import output
from vidattn.cli.app import app
from vidattn.errors import VidattnError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_output_is_what_the_command_prints(tmp_path: Path) -> None:
    shown = README.partition("```console\n$ ")[2].partition("```")[0]
    command, _, lines = shown.partition("\n")
    video = Path(os.environ.get("VIDATTN_MEDIA", ""), "long", "big_buck_bunny_10min.mp4")
    if not video.is_file():
        pytest.skip("VIDATTN_MEDIA names no folder with Big Buck Bunny")
    (tmp_path / video.name).symlink_to(video)
    words = [sys.executable, "-m", *shlex.split(command)]
    run = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    require_printed(lines, run.stdout + run.stderr.splitlines()[-1])


def commands() -> dict[str, object]:
    """All commands by the words that call them."""
    group: Any = get_command(app)
    names: dict[str, object] = {}
    for name in group.commands:
        command = group.get_command(None, name)
        below = getattr(command, "commands", None)
        names.update({f"{name} {k}": v for k, v in below.items()} if below else {name: command})
    return names


def test_every_command_is_in_the_readme_and_has_an_example_in_its_help() -> None:
    assert "segment" in commands()
    for name, command in commands().items():
        assert re.search(rf"`?vidattn {name}\b", README), name
        assert f"Example: vidattn {name}" in (getattr(command, "help", None) or ""), name


def options() -> set[str]:
    """All options of all commands."""
    return {
        option
        for command in commands().values()
        for parameter in command.params  # type: ignore[attr-defined]
        for option in parameter.opts
    }


def named(text: str) -> set[str]:
    """The options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text))


def test_every_option_in_the_readme_exists() -> None:
    assert named(README)
    known = options() | {"--help"}
    assert named(README) <= known, named(README) - known


def test_every_option_in_a_guide_exists() -> None:
    """But for those of srun and torchrun, which stand before `-m vidattn`."""
    for guide in sorted((ROOT / "examples" / "guides").glob("*.md")):
        text = re.sub(
            r"^srun .*?-m vidattn", "", guide.read_text(encoding="utf-8"), flags=re.S | re.M
        )
        unknown = named(text) - options() - {"--help"}
        assert unknown == set(), guide.name


def test_every_option_in_an_error_exists() -> None:
    """In messages and hints of whatever is raised, and in hints that are kept apart."""
    shown: set[str] = set()
    for path in (ROOT / "vidattn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                texts = [*ast.walk(node)]
            elif isinstance(node, ast.keyword) and node.arg == "hint":
                texts = [*ast.walk(node.value)]
            else:
                continue
            shown |= named(" ".join(str(t.value) for t in texts if isinstance(t, ast.Constant)))
    assert {"--max-pixels", "--frames", "--reader"} <= shown
    of_others = {"--head", "--help"}  # ray start --head; every command has --help
    assert shown <= options() | of_others, shown - options()


def test_every_format_and_every_exit_code_is_in_the_readme() -> None:
    assert all(re.search(rf"\b{name}\b", README) for name in output.WRITERS)
    codes = {VidattnError.exit_code, *(c.exit_code for c in _below(VidattnError))}
    assert codes <= set(map(int, re.findall(r"^\| (\d+)", README, re.MULTILINE)))


def _below(kind: type[VidattnError]) -> list[type[VidattnError]]:
    return [names for k in kind.__subclasses__() for names in (k, *_below(k))]

"""Words that make no command end as all other mistakes do: two lines and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Run
from vidattn.cli.app import COMMANDS


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["bogus"], "no such command 'bogus'", "vidattn --help"),
        (["classify"], "missing argument 'INPUT'", "vidattn classify --help"),
        (["segment", "a.mp4", "--nope"], "no such option: --nope", "vidattn segment --help"),
        (["eval", "--samples", "x"], "invalid value for '--samples'", "vidattn eval --help"),
        (
            ["eval", "--samples", "0"],
            "invalid value for '--samples': must be at least 1",
            "vidattn eval --help",
        ),
        (
            ["segment", "x", "--smooth", "x"],
            "invalid value for '--smooth': 'x' is not one of 'auto'",
            "vidattn segment --help",
        ),
        (["models", "nope"], "no such command 'nope'", "vidattn models --help"),
    ],
)
def test_unknown_commands_have_a_hint(
    quick: Run, words: list[str], message: str, hint: str
) -> None:
    done = quick(*words, code=2)
    first, second = done.stderr.splitlines()
    assert done.stdout == ""
    assert first.startswith(f"error: {message}")
    assert second.startswith("hint: see ")
    assert second.endswith(hint)


@pytest.mark.parametrize("words", [[], ["models"]])
def test_groups_without_a_command_show_their_help(quick: Run, words: list[str]) -> None:
    done = quick(*words, code=2)
    text = done.stdout + done.stderr
    assert "Commands:" in text
    assert "error:" not in text


def test_help_lists_every_command(quick: Run) -> None:
    done = quick("--help")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_a_file_that_looks_like_an_option_has_a_hint(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "-a-.mp4").touch()
    assert "hint: name the file ./-a-.mp4\n" in quick("segment", "-a-.mp4", code=2).stderr

"""Words that make no command end as all other mistakes do: two lines and exit code 2."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from vidattn.cli.app import COMMANDS


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["bogus"], "no such command 'bogus'", "vidattn --help"),
        (["classify"], "missing argument 'INPUT'", "vidattn classify --help"),
        (["segment", "a.mp4", "--nope"], "no such option: --nope", "vidattn segment --help"),
        (["eval", "--clips", "x"], "invalid value for '--clips'", "vidattn eval --help"),
        (["models", "nope"], "no such command 'nope'", "vidattn models --help"),
    ],
)
def test_words_that_make_no_command_are_an_error_with_a_hint(
    quick: Run, words: list[str], message: str, hint: str
) -> None:
    done = quick(*words)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert first.startswith(f"error: {message}")
    assert second.startswith("hint: see ")
    assert second.endswith(hint)


@pytest.mark.parametrize("words", [[], ["models"]])
def test_commands_without_a_command_show_their_help(quick: Run, words: list[str]) -> None:
    done = quick(*words)
    text = done.stdout + done.stderr
    assert "Commands:" in text
    assert "error:" not in text


def test_help_lists_every_command(quick: Run) -> None:
    done = quick("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_help_says_the_same_of_the_same_and_repeats_no_dots(quick: Run) -> None:
    said = {name: " ".join(quick(name, "--help").stdout.split()) for name in COMMANDS}
    for name, text in said.items():
        usage = text.split("Options:")[0].replace("COMMAND [ARGS]...", "")
        assert "...}" not in usage, name
        assert "...]" not in usage, name
    for option in ("--stride SEC From the start of a window", "--overlap SHARE Of a window that"):
        assert option in said["segment"], option
        assert option in said["eval"], option
    for name in ("eval", "explain"):  # which have one answer, whatever they are given
        assert "Print one JSON document. " in said[name], name
    assert "[default: 0;" not in said["train"]

"""Words that make no command end as all other mistakes do: two lines and exit code 2."""

from __future__ import annotations

import pytest

from tests.helpers import Run
from vidattn.cli.app import COMMANDS


@pytest.mark.parametrize("words", [[], ["models"]])
def test_groups_without_a_command_show_their_help(quick: Run, words: list[str]) -> None:
    done = quick(*words, code=2)
    text = done.stdout + done.stderr
    assert "Commands:" in text
    assert "error:" not in text


def test_help_lists_every_command(quick: Run) -> None:
    done = quick("--help")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)

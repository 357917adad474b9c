"""Help texts: complete, narrow, in titled sections, in the words of the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.helpers import Run
from vidattn.cli.app import COMMANDS, app
from vidattn.data.sets import DATASETS
from vidattn.models.timesformer import SCHEMES

OLD_WORDS = re.compile(
    r"\b(films?|footage|data sets?|held back|holds? back|examples? of|answers?|figures?|forecast"
    r"|agreement|evidence|licen[c]e|neighbou?rs?|colou?rs?|centre|labelled|go on|anew|so many)\b",
    re.IGNORECASE,
)
SECTIONS = {
    "bench": ["Measurement", "Device", "Training", "Options"],
    "classify": ["Arguments", "Model", "Views", "Output", "Many inputs", "Video", "Options"],
    "eval": ["Dataset", "Results", "Model", "Views", "Video", "Processes", "Options"],
    "explain": ["Arguments", "Explanation", "Output", "Model", "Video", "Options"],
    "train": ["Recipe", "Run", "Processes", "Options"],
}


def find_commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    if hasattr(command, "commands"):
        for word in command.commands:
            yield from find_commands(f"{name} {word}".strip(), command.get_command(None, word))


ALL = dict(find_commands("", get_command(app)))


def help_of(name: str) -> str:
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", ALL)
def test_help_is_complete_narrow_and_in_current_words(name: str) -> None:
    for parameter in ALL[name].params:
        assert getattr(parameter, "help", None), parameter.name
    text = help_of(name)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert OLD_WORDS.findall(" ".join(text.split())) == []
    usage = text.split("\n\n")[0].replace("COMMAND [ARGS]...", "")
    assert "...}" not in usage
    assert "...]" not in re.sub(r"\[[A-Z]+\.\.\.\]", "", usage)
    assert re.findall(r"<(?:list|str|path)|\{[A-Z]", text) == []


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_begins_with_a_sentence_of_one_or_two_lines(name: str) -> None:
    first = help_of(name).split("\n\n")[1]
    assert first.endswith(".")
    assert len(first.splitlines()) <= 2


@pytest.mark.parametrize("name", SECTIONS)
def test_options_are_in_titled_sections_the_common_ones_first(name: str) -> None:
    assert re.findall(r"^(\w[\w -]+):$", help_of(name), re.MULTILINE) == SECTIONS[name]


@pytest.mark.parametrize("name", ["", "models", "data", "recipe"])
def test_lists_of_commands_are_not_cut_off(name: str) -> None:
    assert "..." not in help_of(name).split("Commands:")[1]


@pytest.mark.parametrize("words", [[], ["segment"], ["models", "info"]])
def test_help_is_also_a_word(words: list[str], quick: Run) -> None:
    assert quick("help", *words).stdout == quick(*words, "--help").stdout


def test_arguments_are_shown_by_name_alone() -> None:
    assert " segment [OPTIONS] INPUT...\n" in help_of("segment")
    assert "\n  INPUT...  Videos, folders" in help_of("segment")
    assert " doctor [OPTIONS] [INPUT...]\n" in help_of("doctor")


def test_help_names_every_dataset_and_attention_scheme() -> None:
    text = help_of("train")
    folders = {info.folder or name for name, info in DATASETS.items()}
    assert [name for name in (*folders, *SCHEMES) if name not in text] == []


def test_the_same_option_has_the_same_help_everywhere() -> None:
    texts: dict[str, set[str]] = {}
    for name in ("segment", "compare", "doctor"):
        for parameter in ALL[name].params:
            texts.setdefault(parameter.name, set()).add(parameter.help)
    assert {name for name in ("stride", "overlap", "device", "reader") if len(texts[name]) > 1} == (
        set()
    )


@pytest.mark.parametrize("words", [[], ["models"]])
def test_groups_without_a_command_show_their_help(quick: Run, words: list[str]) -> None:
    done = quick(*words, code=2)
    text = done.stdout + done.stderr
    assert "Commands:" in text
    assert "error:" not in text


def test_help_lists_every_command(quick: Run) -> None:
    done = quick("--help")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)

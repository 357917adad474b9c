"""Every command and every Python block of the guides runs, from files to result."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.main import get_command

from tests.data import layouts
from tests.data.conftest import moving_square, write_frames
from tests.helpers import mostly_slow, write_video
from tests.printed import require_printed
from vidattn.cli import main
from vidattn.cli.app import app

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "examples" / "guides").glob("*.md"))
LONG = {"behavior-lab", "camera-traps", "movies-and-archives", "tour", "weights-and-export"}
"""Guides that take ten seconds and more, which are run with the slow tests."""
BLOCK = re.compile(
    r"(?:<!-- (options only): .*? -->\n)?```(sh|python)\n(.*?)```(?:\n\n```text\n(.*?)```)?",
    re.DOTALL,
)
EXIT_CODE = re.compile(r"\s+# exit code (\d+)(?: or (\d+))?$")
SHORT_TRAINING = [
    *("--epochs", "1", "--batch-size", "4", "--device", "cpu"),
    *("--set", "data.clips_per_epoch=0", "--set", "data.workers=0"),
]
"""Options that reduce the training of a guide to seconds; those of the guide come after them."""


@dataclass(frozen=True)
class Command:
    """A line of a guide, and the exit codes that the guide promises."""

    words: list[str]
    exit_codes: frozenset[int]
    target: str | None
    """The file that stdout is redirected to."""


class Block(NamedTuple):
    """A block of a guide to run."""

    options_only: bool
    """Whether only the options of its commands are checked."""
    language: str
    text: str
    shown: str
    """The output below it, or some lines of that; empty for none."""


def blocks(guide: Path) -> list[Block]:
    examples = BLOCK.findall(guide.read_text(encoding="utf-8"))
    return [Block(bool(marker), *rest) for marker, *rest in examples]


def parse_commands(text: str) -> Iterator[Command]:
    for line in text.replace("\\\n", " ").splitlines():
        promise = EXIT_CODE.search(line)
        codes = {int(code) for code in promise.groups() if code} if promise else {0}
        words = shlex.split(os.path.expandvars(line), comments=True)
        target = None
        if ">" in words:
            words, target = words[: words.index(">")], words[-1]
        if words:
            yield Command(words, frozenset(codes), target)


def check_options(words: list[str]) -> None:
    """Raise unless vidattn knows the command and all its options."""
    command = get_command(app)
    name, *rest = words
    assert name == "vidattn"
    while hasattr(command, "commands"):
        command = command.get_command(None, rest.pop(0))  # type: ignore[arg-type]
    command.make_context("vidattn", rest, resilient_parsing=False).close()


def run(command: Command, *, as_shown: bool = False) -> None:
    """Run a line in this process; as_shown: with the very options of the guide."""
    name, *rest = command.words
    if name == "vidattn" and "train" in rest[:1]:
        rest[1:1] = SHORT_TRAINING[:6] if "--resume" in rest else SHORT_TRAINING
        rest = [word for i, word in enumerate(rest) if not _is_unused(rest, i)]
    if name == "vidattn" and "teach" in rest[:1] and "--flow" not in rest and not as_shown:
        rest += ["--flow", "off"]  # auto tries both, which takes seconds
    with contextlib.ExitStack() as stack:
        if command.target:
            file = stack.enter_context(Path(command.target).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(file))
        if name == "python":
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(sys, "argv", rest)
            runpy.run_path(rest[0], run_name="__main__")
            return
        assert name == "vidattn", name
        with pytest.raises(SystemExit) as ended:
            main(rest)
    assert ended.value.code in command.exit_codes, shlex.join(command.words)


def _is_unused(words: list[str], place: int) -> bool:
    """A resumed run has its batch size already."""
    return "--resume" in words and "--batch-size" in words[max(place - 1, 0) : place + 1]


def make_files(guide: str, folder: Path) -> None:
    """The files that a guide begins with."""
    short = write_video(folder / "movie.mp4", 3)
    (folder / "examples").symlink_to(ROOT / "examples")
    if guide == "movies-and-archives":
        places = ["tapes/tape_0001.mp4", "tapes/tape_0002.mp4"]
    elif guide == "camera-traps":
        places = []
        (folder / "list.txt").write_text("traps/site-a/IMG_0001.mp4\n")
    elif guide == "python":
        places = ["videos/a.mp4", "videos/b.mp4"]
    else:
        places = []
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(short, folder / place)
    if guide == "own-classes":
        _make_own_classes(folder)
    elif guide == "kinetics":
        (folder / "k400").mkdir()
        layouts.official_kinetics(folder / "k400", _place_moving_square, "k400")


def _make_own_classes(folder: Path) -> None:
    write_video(folder / "walk.mp4", 4)
    (folder / "truth.csv").write_text(
        "path,label,start,end\nwalk.mp4,short,0,2\nwalk.mp4,long,2,4\n"
    )
    rows = ["path,label,split\n"]
    for name, seconds in (("short", 0.5), ("long", 1.0)):
        (folder / "my_clips" / name).mkdir(parents=True)
        for i in range(5):
            write_video(folder / "my_clips" / name / f"{name}{i}.mp4", seconds + i / 10)
            split = "val" if i == 4 else "train"
            rows.append(f"embeddings/my_clips/{name}/{name}{i}.vidattn.npz,{name},{split}\n")
    (folder / "videos.csv").write_text("".join(rows))


def _place_moving_square(path: Path, kind: str, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frames(path, moving_square(kind, 10 * number + len(kind))[:10])


@pytest.fixture
def restored_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "guide",
    mostly_slow(GUIDES, *(path for path in GUIDES if path.stem not in LONG)),
    ids=lambda path: path.stem,
)
def test_guide_commands_run_and_print_what_is_shown(
    guide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_files(guide.stem, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # lines of both stay in their order
    names: dict[str, object] = {}
    for block in blocks(guide):
        capsys.readouterr()
        if block.language == "python":
            exec(compile(block.text, guide.name, "exec"), names)
            continue
        for command in parse_commands(block.text):
            if block.options_only:
                check_options(command.words)
            else:
                run(command, as_shown=bool(block.shown))
        if block.shown:
            require_printed(block.shown, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("shown", "holds"),
    [
        ("a 3\nb 97.3 % ###\nc about 00:02 and 7 MB", True),
        ("a 3\n...", True),
        ("...\nb 97.1 %  ####\n...", True),
        ("b 97.2 % ###\n...", False),  # not the first
        ("a 3\n...\na 3", False),
        ("...\nc about 00:02 and 7 MB\nb 97.2 % ###\n...", False),  # another order
        ("a 4\n...", False),
        ("...\nb 97.5 % ###\n...", False),
        ("a 3", False),  # more is printed
    ],
)
def test_what_a_guide_shows_is_printed_line_by_line(shown: str, holds: bool) -> None:
    with contextlib.nullcontext() if holds else pytest.raises(AssertionError):
        require_printed(shown, "a 3\nx: 1/2\nb 97.2 %  ###\nc under a second and 9 MB\n")


def test_few_commands_are_only_parsed() -> None:
    commands = [
        (block.options_only, command)
        for guide in GUIDES
        for block in blocks(guide)
        if block.language == "sh"
        for command in parse_commands(block.text)
    ]
    assert sum(options_only for options_only, _ in commands) <= len(commands) / 5


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_link_of_a_guide_leads_somewhere(guide: Path) -> None:
    for address in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / address).exists(), address

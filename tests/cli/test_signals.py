"""Signals that ask to stop, as work that listens for them step after step sees them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import write_video
from tests.processes import ROOT
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


CODE = """
import os, signal
from vidattn.cli.terminal.signals import StopFlag

asked = StopFlag()
asked.listen()
os.kill(os.getpid(), signal.SIGTERM)
asked.listen()  # as after the next step
print(asked(), flush=True)
os.kill(os.getpid(), signal.{again})
print("did not end", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("again", ["SIGTERM", "SIGINT"])
def test_a_first_signal_is_remembered_and_a_second_one_ends_the_process(again: str) -> None:
    code = CODE.format(again=again)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{int(signal.SIGTERM)}\n"
    assert done.returncode == -int(getattr(signal, again))


TWICE = """
import os, signal
from vidattn.cli.terminal.signals import stop_on_signals
from vidattn.errors import StopWork
from vidattn.io.files import replacing_file

stop_on_signals()
with replacing_file("a.txt") as part:
    part.write_text("half")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except StopWork:
        os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_second_signal_leaves_no_temporary_file(tmp_path: Path) -> None:
    words = [sys.executable, "-c", TWICE]
    done = subprocess.run(words, cwd=tmp_path, env=with_package(), capture_output=True, check=False)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert list(tmp_path.iterdir()) == []


IGNORED = """
import signal
from vidattn.cli.terminal.signals import stop_on_signals

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
stop_on_signals()
signal.raise_signal(signal.SIGHUP)
print("goes on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_hangup_is_ignored_under_nohup() -> None:
    words = [sys.executable, "-c", IGNORED]
    done = subprocess.run(words, env=with_package(), capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_terminal_ends_results_as_a_hangup_does_but_not_notes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, name, stream)
        console = Console()
        os.close(terminal)
        if name == "stdout":
            with pytest.raises(StopRequested) as caught:
                console.emit("a line")
            assert caught.value.exit_code == 128 + signal.SIGHUP
        else:
            console.err.print("progress")
            console.note("goes on")
            assert os.fstat(stream.fileno()).st_rdev == Path(os.devnull).stat().st_rdev


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_a_valid_partial_result(
    model: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "long.mp4", seconds=600)
    terminal, theirs = os.openpty()
    words = [sys.executable, "-m", "vidattn", "segment", "long.mp4", "-m", model, "-f", "json"]
    words += ["--stride", "0.02"]  # long enough to be interrupted
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    environment = {**with_package(), "TERM": "xterm"}  # a dumb one has no live display
    with subprocess.Popen(words, cwd=tmp_path, env=environment, **streams) as process:
        os.close(theirs)
        while b"windows" not in os.read(terminal, 1 << 16):
            continue
        os.close(terminal)
        process.send_signal(signal.SIGHUP)  # as its shell does
        assert process.wait(60) == 128 + signal.SIGHUP
    saved = json.loads((tmp_path / "long.vidattn.json").read_bytes())
    assert saved["coverage"]["reasons"] == ["E_INTERRUPTED"]

"""Signals that ask to stop, as work that listens for them step after step sees them."""

import signal
import subprocess
import sys

import pytest

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

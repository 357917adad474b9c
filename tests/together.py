"""Python in several real processes that know one another as torchrun's do."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from tests import processes

ROOT = Path(__file__).parent.parent
START = """
import json, os, sys

code, folder, count, *sys.argv[1:] = sys.argv[1:]
members = []
for rank in range(int(count)):
    members.append(os.fork())
    if not members[-1]:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        os.dup2(os.open(f"{folder}/{rank}", os.O_WRONLY | os.O_CREAT), 1)
        exec(code, {"json": json, "sys": sys, "__name__": "member"})
        sys.exit()
sys.exit(any([os.waitpid(member, 0)[1] for member in members]))
"""


def together(code: str, folder: Path, *arguments: object, count: int = 2) -> list[Any]:
    """What each of `count` processes prints last, as JSON; the code has `sys` and `json`.

    folder: where they may leave what they print; it is made.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "PYTHONPATH": str(ROOT),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    folder.mkdir(parents=True)
    words = [code, folder, count, *arguments]
    with processes.Popen(words, env=environment, code=START, stderr=2) as launcher:
        assert launcher.wait() == 0
    texts = [(folder / str(rank)).read_text() for rank in range(count)]
    return [json.loads(text.splitlines()[-1]) for text in texts]

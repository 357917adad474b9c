"""Python in several real processes that know one another as torchrun's do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def together(code: str, *arguments: object, count: int = 2) -> list[Any]:
    """What each of `count` processes prints last, as JSON; the code has `sys` and `json`."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    everyone = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "PYTHONPATH": str(ROOT),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    crew = [
        subprocess.Popen(
            [sys.executable, "-c", f"import json, sys\n{code}", *map(str, arguments)],
            env={**everyone, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        texts = [member.communicate(timeout=240)[0] for member in crew]
    finally:
        for member in crew:
            member.kill()
            member.wait()
    assert [member.returncode for member in crew] == [0] * count
    return [json.loads(text.splitlines()[-1]) for text in texts]

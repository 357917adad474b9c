"""Kill training runs at random moments, go on with --resume, and compare with one left alone.

    python examples/benchmarks/kills.py 20 --processes 2

Every attempt is `vidattn train` in processes of their own, forked from this one once everything is
loaded, so that SIGKILL meets training and not the loading of libraries. A run that is done before
all kills are spent is compared, and another one begun. What is compared, byte for byte: the last
model, the best one, the last checkpoint (weights, optimizer, counters), the log, the curves, the
recipe, and metrics.csv without its two columns of timings.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vidattn.cli import app as _app  # noqa: F401
from vidattn.cli import main
from vidattn.training import fit  # noqa: F401  loaded once, here
from vidattn.training.run_dir import checkpoints

torch.optim.AdamW([torch.zeros(1)])  # the first one loads half of torch

RECIPE = [
    *("--dataset", "motion", "--device", "cpu", "--epochs", "2", "--batch-size", "6"),
    *("--set", "data.clips_per_epoch=48", "--set", "data.val_clips=10", "--set", "data.workers=0"),
    *("--set", "model.depth=2", "--set", "model.width=32", "--set", "model.heads=2"),
    *("--set", "model.drop_path=0.1", "--set", "optim.ema=0.9", "--set", "optim.accumulate=2"),
    *("--save-every", "2", "--quiet"),
]
TIMINGS = {"seconds", "waiting"}


def start(folder: Path, processes: int, resume: bool) -> list[int]:
    """Begin or go on; the ids of the processes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["train", *RECIPE, "--run-dir", str(folder), *(["--resume"] if resume else [])]
    crew = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                os.environ |= {"WORLD_SIZE": str(processes), "MASTER_PORT": str(port)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1"}
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                try:
                    main(words)
                except SystemExit as ended:
                    os._exit(int(ended.code or 0))
        crew.append(child)
    return crew


def ended(crew: list[int], within: float) -> bool:
    """Whether all processes are done by then; exits when one of them fails."""
    deadline, waiting = time.monotonic() + within, list(crew)
    while waiting and time.monotonic() < deadline:
        for child in list(waiting):
            found, status = os.waitpid(child, os.WNOHANG)
            if status:
                sys.exit(f"a run ended by itself with status {status}")
            if found:
                waiting.remove(child)
                crew.remove(child)
        time.sleep(0.002)
    return not waiting


def kill(crew: list[int]) -> None:
    """SIGKILL to all that are left."""
    for child in crew:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def outcome(folder: Path) -> dict[str, bytes]:
    """All that two runs must have in common."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    rows = csv.DictReader(files.pop("metrics.csv").decode().splitlines())
    files["metrics"] = repr([{k: row[k] for k in row if k not in TIMINGS} for row in rows]).encode()
    return {**files, "checkpoint": checkpoints(folder)[0].read_bytes()}


def whole(folder: Path, processes: int) -> float:
    """A run that is left alone; its seconds."""
    began = time.monotonic()
    assert ended(start(folder, processes, resume=False), 3600)
    return time.monotonic() - began


def killed(folder: Path, kills: int, processes: int, seconds: float, rng: random.Random) -> int:
    """One run to its end, killed up to so many times; how often it was."""
    count, resume = 0, False
    while True:
        # Mostly after a few steps, at times at once, so that progress is made and all is met.
        moment = rng.uniform(0.05, 0.35) * seconds
        crew = start(folder, processes, resume)
        if ended(crew, moment if count < kills else 3600):
            return count
        kill(crew)
        count += 1
        resume = (folder / "recipe.json").exists()


def benchmark(kills: int, processes: int, seed: int, work: Path) -> bool:
    """Kill, compare, report; whether all was the same."""
    # The model is named after its directory, which must therefore be called the same.
    seconds = whole(work / "whole" / "run", processes)
    expected, rng, done, runs, same = outcome(work / "whole" / "run"), random.Random(seed), 0, 0, 0
    while done < kills:
        folder = work / "killed" / "run"
        done += killed(folder, kills - done, processes, seconds, rng)
        found, runs = outcome(folder), runs + 1
        differing = sorted(k for k in expected | found if expected.get(k) != found.get(k))
        left = list(folder.rglob(".vidattn-*"))
        same += not differing and not left
        if differing or left:
            print(f"run {runs}: different: {', '.join(differing)}; left over: {left}")
        shutil.rmtree(folder)
    print(f"{done} kills in {runs} runs of {processes} processes: {same} of {runs} runs the same")
    return same == runs


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("kills", type=int, nargs="?", default=20)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = benchmark(chosen.kills, chosen.processes, chosen.seed, Path(folder))
    sys.exit(0 if good else 1)

"""Segment all videos below a folder, good and broken, in processes killed at random.

    python examples/benchmarks/corpus.py FOLDER [--processes 2] [--most 40] [--seed 0]

Several runs share one folder of results. Whenever some more results are there, up to `--most`, one
of the runs, or one of the processes that decode for them, gets SIGKILL; a run that was killed is
begun again. When all have ended, a last one tries again what failed, for a decoder that was killed
is a failure, too. Then every result is compared with that of a run left alone, byte for byte, a few
of them with those of a process for each video, and so are the failures and their reasons.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "vidattn", "segment"]
OPTIONS = ["-m", "motion-tiny", "-f", "json,csv", "-q", "--offline"]
ALONE = 8
"""Videos done in a process each, beside those that failed."""


def start(given: str, out: Path, *more: str) -> psutil.Popen:
    """Begin a run."""
    nowhere = subprocess.DEVNULL
    return psutil.Popen(
        [*COMMAND, given, *OPTIONS, "-o", str(out), *more], stdout=nowhere, stderr=nowhere
    )


def results(out: Path) -> dict[str, bytes]:
    """All files but the list of failures, which knows about attempts."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "failures.jsonl")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def failures(out: Path) -> dict[str, str]:
    """The code of each input that failed."""
    path = out / "failures.jsonl"
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return {row["path"]: row["code"] for row in rows}


def done(out: Path) -> int:
    """How many inputs have a result or have failed."""
    return sum(1 for _ in out.rglob("*.json")) + len(failures(out))


def strike(run: psutil.Popen, rng: random.Random) -> bool:
    """Kill a run or a process that decodes for it; whether it was the run."""
    decoders = [p for p in run.children() if p.is_running()]
    victim = rng.choice(decoders) if decoders and rng.random() < 0.5 else run
    victim.kill()
    return victim is run


def killed(given: str, out: Path, count: int, most: int, rng: random.Random) -> tuple[int, int]:
    """Several runs at once until all end by themselves; how many runs and decoders were killed."""
    runs = [start(given, out, "--skip-existing") for _ in range(count)]
    struck = [0, 0]
    target = rng.randrange(1, most)
    while runs:
        time.sleep(0.1)
        if done(out) >= target:
            time.sleep(rng.uniform(0, 0.5))
            run = rng.choice(runs)
            try:
                was_run = strike(run, rng)
            except psutil.NoSuchProcess:
                was_run = False
            else:
                struck[not was_run] += 1
            if was_run:
                run.wait()
                runs[runs.index(run)] = start(given, out, "--skip-existing")
            target = done(out) + rng.randrange(1, most)
            print(
                f"  {done(out)} done, {struck[0]} runs and {struck[1]} decoders killed", flush=True
            )
        for run in [run for run in runs if run.poll() is not None]:
            assert run.returncode in (0, 4), run.returncode
            runs.remove(run)
    return struck[0], struck[1]


def same_alone(work: Path, whole: Path, rng: random.Random) -> bool:
    """Whether videos done in processes of their own give what they gave in the corpus."""
    saved = sorted(whole.rglob("*.json"))
    for path in rng.sample(saved, min(ALONE, len(saved))):
        video = json.loads(path.read_bytes())["input"]["path"]
        assert start(video, work / "alone").wait() in (0, 4)
        (one,) = (work / "alone").rglob("*.json")
        if one.read_bytes() != path.read_bytes():
            print(f"{video}: another result alone")
            return False
        for file in (work / "alone").iterdir():
            file.unlink()
    return True


def benchmark(given: str, count: int, most: int, seed: int, work: Path) -> bool:
    """Run, kill, compare, report."""
    rng = random.Random(seed)
    begin = time.monotonic()
    assert start(given, work / "whole").wait() == 4
    seconds = time.monotonic() - begin
    expected, bad = results(work / "whole"), failures(work / "whole")
    videos = sum(name.endswith(".json") for name in expected)
    print(f"{videos} videos with a result and {len(bad)} that fail, {seconds:.0f} s", flush=True)
    runs, decoders = killed(given, work / "out", count, most, rng)
    before = {path: code for path, code in failures(work / "out").items() if path not in bad}
    assert start(given, work / "out", "--retry-failed").wait() == 4
    found = results(work / "out")
    differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    print(f"{count} processes, {runs} kills of a run and {decoders} of a decoder")
    print(f"failed for want of a decoder and tried again: {before}")
    print(f"results that differ: {differing}; reasons as before: {failures(work / 'out') == bad}")
    for path, code in sorted(bad.items()):
        print(f"  {code}  {Path(path).name}")
    alone = same_alone(work, work / "whole", rng)
    print(f"videos alone give the same: {alone}")
    return not differing and failures(work / "out") == bad and alone


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--most", type=int, default=40)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = benchmark(chosen.folder, chosen.processes, chosen.most, chosen.seed, Path(folder))
    sys.exit(0 if good else 1)

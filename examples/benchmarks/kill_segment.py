"""Kill `vidattn segment --resume` with SIGKILL at random instants, and compare what it ends with.

    python examples/benchmarks/kill_segment.py VIDEO [KILLS] [SEED]

Each run is killed when some windows more than before are in its log, and up to 50 ms later. A video
that is done before all kills are spent is compared, and begun again. Prints what every kill left,
and whether the files are those of a run that was never interrupted, byte for byte.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "vidattn", "segment"]
OPTIONS = ["-m", "motion-tiny", "--overlap", "0.5", "-q", "-f", "json,srt,csv"]


def start(video: str, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Begin a run."""
    words = [*COMMAND, video, *OPTIONS, "-o", str(folder), *more]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def struck(video: str, folder: Path, rng: random.Random) -> bool:
    """Begin or go on, and kill; whether the run was still at it."""
    log = folder / f"{Path(video).stem}.vidattn.log"
    before = size(log)
    wanted = max(before, 1) + rng.randrange(1, 4000)
    process = start(video, folder, "--resume")
    while process.poll() is None and size(log) < wanted:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    if process.poll() is not None:
        assert process.returncode == 0
        return False
    process.kill()
    process.wait()
    left = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    print(f"  {size(log) - before} bytes more, {size(log)} in all; left: {left}", flush=True)
    return True


def main(video: str, kills: int = 20, seed: int = 0) -> int:
    """Kill, go on, compare; 0 when all is well."""
    rng, done, runs, same = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name, "whole"), Path(name, "killed")
        begin = time.monotonic()
        assert start(video, whole).wait() == 0
        print(f"uninterrupted: {time.monotonic() - begin:.1f} s", flush=True)
        expected = {path.name: path.read_bytes() for path in whole.iterdir()}
        while done < kills:
            while done < kills and struck(video, killed, rng):
                done += 1
            assert start(video, killed, "--resume").wait() == 0
            runs += 1
            same += {path.name: path.read_bytes() for path in killed.iterdir()} == expected
            print(f"{done} kills; identical in {same} of {runs} runs", flush=True)
            shutil.rmtree(killed)
    return 0 if same == runs else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))

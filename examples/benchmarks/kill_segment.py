"""Kill `vidattn segment --resume` with SIGKILL at random instants, and compare what it ends with.

    python examples/benchmarks/kill_segment.py FILM [KILLS] [SEED]

Each run is killed when some windows more than before are in its log, and up to 50 ms later; the
last one may end. Prints what every kill left, and whether the files are those of a run that was
never interrupted, byte for byte.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "vidattn", "segment"]
OPTIONS = ["-m", "motion-tiny", "--overlap", "0.5", "-q", "-f", "json,srt,csv"]


def start(film: str, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Begin a run."""
    words = [*COMMAND, film, *OPTIONS, "-o", str(folder), *more]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def main(film: str, kills: int = 20, seed: int = 0) -> int:
    """Kill, go on, compare; 0 when all is well."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name, "whole"), Path(name, "killed")
        begin = time.monotonic()
        assert start(film, whole).wait() == 0
        print(f"uninterrupted: {time.monotonic() - begin:.1f} s", flush=True)
        log = killed / f"{Path(film).stem}.vidattn.log"
        struck = 0
        while struck < kills:
            before = size(log)
            wanted = max(before, 1) + rng.randrange(1, 4000)
            process = start(film, killed, "--resume")
            while process.poll() is None and size(log) < wanted:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            struck += 1
            print(f"kill {struck}: {size(log) - before} bytes more, {size(log)} in all", flush=True)
        left = sorted(path.name for path in killed.iterdir())
        assert start(film, killed, "--resume").wait() == 0
        one, two = (sorted(p for p in folder.iterdir()) for folder in (whole, killed))
        same = [p.name for p in one] == [p.name for p in two]
        same = same and all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
        print(f"{struck} kills; left by the last: {left}; {'identical' if same else 'DIFFERENT'}")
        return 0 if same and struck == kills else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))

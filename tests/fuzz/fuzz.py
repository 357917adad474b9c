"""Spoil files of every kind that vidattn reads, and let it read them.

    python tests/fuzz/fuzz.py CASES [--seed 0] [--cli 20] [--media DIR] [--only N] [--keep DIR]

Case N of a seed is the same file on every machine with the same encoders. All cases are read in
this process, videos by its supervised child; `--cli` of them, spread evenly, go through the real
command line as well. A case passes when it is read, read in part, or refused with a VidattnError,
within SECONDS; a command when it exits with 0, 2, 3 or 4 and shows no traceback. Exit code 1 when
there are findings.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from seeds import Seed, build_seeds
from targets import Target, targets

from vidattn.errors import VidattnError

SECONDS = 60
"""No case may take longer, a silent decoder and one try with another process included."""
FINE = {0, 2, 3, 4}


class TooLongError(Exception):
    """A case did not end."""


class Run:
    """Cases of one seed, one after the other, and what came of them."""

    def __init__(self, seed: int, folder: Path, media: Path | None, keep: Path | None) -> None:
        self.seed, self.folder, self.keep = seed, folder, keep
        self.seeds = build_seeds(folder, media)
        self.targets = targets(seed)
        kinds = [s.kind for s in self.seeds]
        self.shares = [self.targets[k].share / kinds.count(k) for k in kinds]
        self.results: Counter[tuple[str, str]] = Counter()
        self.findings: list[str] = []
        self.slowest = (0.0, -1)
        for sound in self.seeds:  # otherwise nothing that follows says much
            self.targets[sound.kind].read(self._placed(sound, sound.data), random.Random(0))

    def case(self, number: int, *, through_cli: bool) -> None:
        """Make a file, read it, and note the outcome."""
        chance = random.Random(f"{self.seed}:{number}")
        seed = chance.choices(self.seeds, self.shares)[0]
        target = self.targets[seed.kind]
        others = [s.data for s in self.seeds if s.kind == seed.kind]
        data = target.spoil(seed.data, chance, chance.choice(others))
        path = self._placed(seed, data)
        start = time.monotonic()
        signal.alarm(SECONDS)
        try:
            result = target.read(path, chance)
        except VidattnError:
            result = "refused"
        except (Exception, Warning, TooLongError):  # whatever it is, it must not happen
            result = "FINDING"
            self._found(number, seed, data, traceback.format_exc())
        finally:
            signal.alarm(0)
        self.slowest = max(self.slowest, (time.monotonic() - start, number))
        if through_cli and target.command:
            self._command(number, seed, data, target, self._placed(seed, data))
        self.results[seed.kind, result] += 1

    def _placed(self, seed: Seed, data: bytes) -> Path:
        """The spoiled file, where the sound one was, so that what it names is there."""
        path = seed.path if self.folder in seed.path.parents else self.folder / seed.path.name
        if path.parent.name == "hub":
            copy = self.folder / "spoiled"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(path.parent, copy)
            path = copy / path.name
        else:
            path = path.with_name(f"spoiled-{path.name}")
        path.write_bytes(data)
        return path

    def _command(self, number: int, seed: Seed, data: bytes, target: Target, path: Path) -> None:
        words = [str(path) if word == "FILE" else word for word in target.command]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "vidattn", *words],
                cwd=self.folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
            output, code = done.stderr, done.returncode
        except subprocess.TimeoutExpired:
            output, code = "", -1
        fine = code in FINE and "Traceback" not in output
        self.results["command line", f"exit {code}" if fine else "FINDING"] += 1
        if not fine:
            self._found(number, seed, data, f"{' '.join(words)}: exit {code}\n{output}")

    def _found(self, number: int, seed: Seed, data: bytes, what: str) -> None:
        lines = [line if len(line) < 300 else f"{line[:300]} ..." for line in what.splitlines()]
        where = f"case {number}, {seed.kind} from {seed.path.name}:"
        self.findings.append("\n".join([where, *lines[-12:]]))
        print(self.findings[-1], flush=True)
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / f"{number}-{seed.path.name}").write_bytes(data)

    def summary(self, cases: int, seconds: float) -> str:
        """A table of what came of the cases."""
        kinds = dict.fromkeys(kind for kind, _ in sorted(self.results))
        lines = []
        for kind in kinds:
            counts = {r: n for (k, r), n in sorted(self.results.items()) if k == kind}
            lines.append(f"{kind:14} " + ", ".join(f"{r} {n}" for r, n in counts.items()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        lines.append(
            f"{cases} cases, seed {self.seed}: {len(self.findings)} findings in {seconds:.0f} s, "
            f"slowest {self.slowest[0]:.1f} s (case {self.slowest[1]}), peak memory {peak} MB"
        )
        return "\n".join(lines)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TooLongError(f"no end after {SECONDS} s")


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases; 0 when there are no findings."""
    parser = argparse.ArgumentParser(description="Spoil files and let vidattn read them.")
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cli", type=int, default=0, metavar="N")
    parser.add_argument("--media", type=Path, metavar="DIR")
    parser.add_argument("--only", type=int, metavar="N", help="This case alone.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="Where findings are kept.")
    given = parser.parse_args(words)
    signal.signal(signal.SIGALRM, _give_up)
    warnings.simplefilter("ignore")
    numbers = range(given.cases) if given.only is None else [given.only]
    every = max(given.cases // given.cli, 1) if given.cli else 0
    with tempfile.TemporaryDirectory() as name:
        run = Run(given.seed, Path(name), given.media, given.keep)
        begin, count = time.monotonic(), 0
        try:
            for count, number in enumerate(numbers, 1):
                run.case(number, through_cli=bool(every) and number % every == 0)
                if count % 500 == 0:
                    print(f"{count} cases, {len(run.findings)} findings", flush=True)
        except KeyboardInterrupt:
            print("stopped")
        print(run.summary(count, time.monotonic() - begin), flush=True)
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())

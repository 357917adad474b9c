"""When a jump to a later key frame pays, and when decoding on does: the reader's rule, tried.

    python examples/benchmarks/crossover.py
    python examples/benchmarks/crossover.py --codec HEVC --size 1920x1080 --rounds 5

The reader leaves a group of frames for a later key frame when that spares it more than so many
packets (`plan.MIN_GAIN_PACKETS`, marked with a star). Videos with a key frame every 30 and 150
frames are read with a frame wanted every so often, under other values of that rule, in turns:
"never" is one pass over all, "0" jumps whenever it can. Printed are medians of processor time as a
multiple of the best; the last line is the largest loss of each rule anywhere.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from decoding import ENCODERS, SHORT, encode, repeat

from vidattn.video.container import cursor
from vidattn.video.container.open import open_container
from vidattn.video.container.probe import probe
from vidattn.video.pixels import Converter
from vidattn.video.protocol import Limits
from vidattn.video.readers.pyav import PyAVReader

NEVER = 1 << 40
RULES = (0, 4, 8, 16, 32, 64, NEVER)
KEYS = (30, 150)
STEPS = (20, 40, 75, 150, 300, 600)


class Video:
    """A video that is read again and again in this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found = probe(self.source, lambda: None)

    def source(self):
        """Opened anew."""
        return open_container(str(self.path), Limits())

    def seconds(self, step: int, rule: int) -> float:
        """Processor time to read every `step`-th frame under a rule."""
        convert = Converter(*self.found.stored, self.found.rotation, SHORT)
        reader = PyAVReader(self.source, self.found.table, convert)
        wanted = np.arange(step // 2, len(self.found.table.times), step)
        before, cursor.MIN_GAIN_PACKETS = cursor.MIN_GAIN_PACKETS, rule
        begin = time.process_time()
        count = sum(1 for event in reader.frames(wanted) if event)
        taken = time.process_time() - begin
        cursor.MIN_GAIN_PACKETS = before
        reader.close()
        assert count == len(wanted)
        return taken


def main() -> None:
    """Make the videos, read them under every rule, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", choices=ENCODERS, default="H.264")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    width, height = map(int, wanted.size.split("x"))
    encoder, container, options = ENCODERS[wanted.codec]
    own = cursor.MIN_GAIN_PACKETS
    rules = sorted({*RULES, own})
    names = ["never" if rule == NEVER else f"{rule}{'*' * (rule == own)}" for rule in rules]
    print(f"{wanted.codec}, {wanted.seconds} s of {wanted.size}; least packets to spare for a jump")
    print(
        f"{'key frames':>10} {'wanted':>8} {'best':>8} " + "".join(f"{name:>8}" for name in names)
    )
    worst = [1.0] * len(rules)
    for key in KEYS:
        with tempfile.TemporaryDirectory() as folder:
            piece, path = Path(folder, f"piece.{container}"), Path(folder, f"video.{container}")
            encode(piece, encoder, {**options, "g": str(key)}, width, height)
            repeat(piece, path, wanted.seconds // 5)
            video = Video(path)
            for step in STEPS:
                rows: list[list[float]] = [[] for _ in rules]
                for _ in range(wanted.rounds):
                    for row, rule in zip(rows, rules, strict=True):
                        row.append(video.seconds(step, rule))
                taken = [statistics.median(row) for row in rows]
                ratios = [one / min(taken) for one in taken]
                worst = [max(pair) for pair in zip(worst, ratios, strict=True)]
                print(
                    f"{key:>10} {step:>8} {min(taken):>6.2f} s "
                    + "".join(f"{ratio:>8.2f}" for ratio in ratios)
                )
    print(f"{'largest loss':>28} " + "".join(f"{ratio:>8.2f}" for ratio in worst))


if __name__ == "__main__":
    main()

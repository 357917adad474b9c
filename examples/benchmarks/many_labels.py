"""Processor time from the scores of many windows and labels to segments with their confidence.

python examples/benchmarks/many_labels.py [--windows 14400] [--labels 400]

Scores are drawn, a label lasts for eight windows of a second, one every 1, 0.5 and 0.25 s.
"""

import argparse
import time

import numpy as np

from vidattn import Timeline, Window
from vidattn.timeline import Decoding


def main() -> None:
    """Print a line for each overlap."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=14_400)
    parser.add_argument("--labels", type=int, default=400)
    options = parser.parse_args()
    rng, rows = np.random.default_rng(0), np.arange(options.windows)
    for stride in (1.0, 0.5, 0.25):
        true = rng.integers(0, options.labels, options.windows)[(rows * stride / 8).astype(int)]
        scores = rng.normal(0, 1, (options.windows, options.labels))
        scores[rows, true] += 5
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        windows = tuple(Window(i * stride, i * stride + 1) for i in rows.tolist())
        names = tuple(f"label {k}" for k in range(options.labels))
        timeline = Timeline("drawn", names, windows, scores, decoding=Decoding())
        start = time.process_time()
        count = len(timeline.segments)
        print(f"overlap {1 - stride:.2f}  {count} segments  {time.process_time() - start:.2f} s")


if __name__ == "__main__":
    main()

"""What --skip-static saves on video from fixed cameras, and how often the answer stays the same.

python examples/benchmarks/static.py VIDEO...
"""

import argparse
from pathlib import Path

import numpy as np

import vidattn


def main() -> None:
    """Look at every video in full, then with rising thresholds; print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--model", default="motion-tiny")
    parser.add_argument("--levels", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0])
    wanted = parser.parse_args()
    classifier = vidattn.load(wanted.model)
    for video in wanted.videos:
        vidattn.segment(video, classifier, end=2.0)  # the first run of all prepares much
        full = vidattn.segment(video, classifier)
        best, count = full.scores.argmax(1), len(full.windows)
        for level in wanted.levels:
            some = vidattn.segment(video, classifier, skip_static=level)
            reused, same = some.reused or 0, some.scores.argmax(1) == best
            spent = [f"{t.run['model_s']:.1f} s" for t in (some, full)]
            off = np.abs(some.scores - full.scores).max(1)
            print(
                f"{video.name}, LEVEL {level:g}: {reused} of {count} windows reused "
                f"({100 * reused / count:.0f} %), model {spent[0]} of {spent[1]}, "
                f"same label in {100 * same.mean():.1f} %, "
                f"scores differ by {off.mean():.3f} on average, {off.max():.3f} at most"
            )


if __name__ == "__main__":
    main()

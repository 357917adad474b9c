"""Timelines from the scores of windows: vidattn's default beside the rules of others.

    python examples/benchmarks/gathering_labels.py [--layout LAYOUT...] [--data-root DIR] [--seed 0]
    python examples/benchmarks/gathering_labels.py --runs OUT/shapes-divided-* [--layout LAYOUT...]

Joins shots of known camera motion, 24 frames a second, over generated textures or over frames of
the images and videos below DIR, and lets motion-tiny score their windows. With --runs it joins the
validation clips of models that training.py has trained, each for the model that has not seen them.
Layouts: shots, mixed, breakfast, activitynet (see gathering_videos.py). Every rule makes timelines
of the same scores: F1 at 50 and 75 % overlap as MS-TCN counts it, the share of the time that is
right, and how many segments came out where so many are true. Of the default also how far its
confidence is from the share of time that is right (in ten groups of segments), and how far F1@50
is behind the best of 25 fixed settings, chosen afterwards.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
from gathering import RULES, Rule, count, decoded
from gathering_videos import (
    LAYOUTS,
    ClipShots,
    KnownVideo,
    MotionShots,
    Shots,
    Size,
    Span,
    make_videos,
)

import vidattn
from vidattn.evaluation.metrics import f1
from vidattn.timeline.segments import Segment
from vidattn.types import Window

Scored = list[tuple[vidattn.Timeline, KnownVideo]]
COSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
FIXED: tuple[dict[str, object], ...] = (
    {"smooth": "none"},
    *({"smooth": how, "kernel": k} for how, k in product(("median", "mean"), (3, 5, 9, 15))),
    *({"smooth": how, "switch_cost": c} for how, c in product(("viterbi", "auto"), COSTS)),
    *({"smooth": "none", "min_duration": s} for s in (1.0, 2.0, 4.0)),
    *({"smooth": "mean", "kernel": 5, "min_duration": s} for s in (1.0, 2.0, 4.0)),
)


def seconds_of(span: Window, truth: Iterable[Span], label: int) -> float:
    """Seconds of a span in which a label is true."""
    shared = (min(span.stop, b) - max(span.start, a) for a, b, k in truth if k == label)
    return sum(max(seconds, 0.0) for seconds in shared)


def everywhere(known: KnownVideo) -> list[Span]:
    """The true segments and, as one of its label, background between them."""
    if known.background is None:
        return known.truth
    truth = [span for span in known.truth if span[2] != known.background]
    edges = [0.0, *(time for a, b, _ in truth for time in (a, b)), known.video.duration]
    return truth + [(a, b, known.background) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def measure(rule: Rule, scored: Scored) -> tuple[float, float, float, int]:
    """F1 at 50 and 75 %, the share of the time that is right, and the number of segments."""
    half, most, right, segments = np.zeros(3), np.zeros(3), 0.0, 0
    for timeline, known in scored:
        spans, truth = rule(timeline), everywhere(known)
        right += sum(seconds_of(Window(a, b), truth, k) for a, b, k in spans)
        own, true = ([s for s in all_ if s[2] != known.background] for all_ in (spans, truth))
        half, most = half + count(own, true, 0.5), most + count(own, true, 0.75)
        segments += len(own)
    share = right / sum(known.video.duration for _, known in scored)
    return 100 * f1(*half), 100 * f1(*most), 100 * share, segments


def calibration(scored: Scored, value: Callable[[Segment], float]) -> float:
    """The mean distance, in percent, of a number of segments from the share of their time that is
    right, over ten groups of segments with equal numbers, weighted by their time."""
    rows = [
        (value(s), seconds_of(s.window, everywhere(known), s.label_id), s.window.duration)
        for timeline, known in scored
        for s in timeline.segments
    ]
    given, right, seconds = np.array(rows).T
    group = np.minimum((given * 10).astype(int), 9)
    gaps = np.bincount(group, given * seconds - right)
    return float(100 * np.abs(gaps).sum() / seconds.sum())


def show(title: str, scored: Scored) -> None:
    """Print a row for every rule, and what is said of the default alone."""
    true = sum(span[2] != known.background for _, known in scored for span in known.truth)
    for name, rule in RULES.items():
        *shares, segments = measure(rule, scored)
        print(f"{title}  {name:18} {'%6.1f ' * 3 % tuple(shares)}  {segments} ({true})", flush=True)
    best, setting = max((measure(decoded(**s), scored)[0], str(s)) for s in FIXED)
    behind = best - measure(RULES["default"], scored)[0]
    confidence = calibration(scored, lambda s: s.confidence or 0.0)
    score = calibration(scored, lambda s: s.score)
    print(f"{title}  confidence off by {confidence:.1f} (score {score:.1f}); F1@50 ", end="")
    print(f"{behind:.1f} behind the best fixed: {setting}", flush=True)


def main() -> None:
    """Make the videos, score them at each overlap, print a row for every rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--layout", choices=LAYOUTS, nargs="+", default=["shots"])
    parser.add_argument("--overlaps", type=float, nargs="+", default=[0.0, 0.5, 0.75])
    options = parser.parse_args()
    size = Size(options.videos, options.shots, options.seed)
    sources: list[Shots] = [ClipShots(run) for run in options.runs]
    sources = sources or [MotionShots(options.seed, options.data_root)]
    print(f"{'layout':11}  overlap  {'rule':18} {'F1@50':>6} {'F1@75':>6} {'time':>6}  segments")
    for layout in options.layout:
        with tempfile.TemporaryDirectory() as folder:
            videos = [
                (source, known)
                for number, source in enumerate(sources)
                for known in make_videos(source, layout, size, Path(folder, str(number)))
            ]
        for overlap in options.overlaps:
            scored = [
                (vidattn.segment(k.video, s.classifier, window=s.window, overlap=overlap), k)
                for s, k in videos
            ]
            show(f"{layout:11}  {overlap:7.2f}", scored)


if __name__ == "__main__":
    main()

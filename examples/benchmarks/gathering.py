"""Timelines from the scores of windows: vidattn's default beside the rules of others.

    python examples/benchmarks/gathering.py [--seeds 0 1] [--layout LAYOUT...] [--data-root DIR]
    python examples/benchmarks/gathering.py --runs OUT/shapes-divided-* [--layout LAYOUT...]
    python examples/benchmarks/gathering.py --teach FOLDER/labels.csv [--layout LAYOUT...]
    python examples/benchmarks/gathering.py --several [--data-root DIR]

Joins shots of known camera motion, 24 frames a second, over generated textures or over frames of
the images and videos below DIR, and lets motion-tiny score their windows. With --runs it joins the
validation clips of models that training.py has trained, with --teach clips of a list that are held
back from `vidattn teach` on motion-tiny, a third at a time: every clip for the model that has not
seen it. With --several the scores count as those of labels that may hold at once, each found beside
its absence at even odds. Layouts and videos: see gathering_videos.py; the videos of all seeds count
together. Every rule makes timelines of the same scores: F1 at 50 and 75 % overlap as MS-TCN counts
it, the share of the time that is right, and how many segments came out where so many are true; +-
half of a 95 % interval, by drawing the videos again. The last row has the likeliest label between
true boundaries, the most that the scores allow. Of the default also how far its confidence is from
the share of time that is right (expected calibration error of ten groups of segments), and how far
F1@50 is behind 25 fixed settings: the best of them chosen afterwards, and chosen on one half of the
videos for the other half (mean of a hundred divisions), as one who has labeled timelines could
choose.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from gathering_videos import (
    FOLDS,
    LAYOUTS,
    ClipShots,
    MotionShots,
    Size,
    Span,
    Truth,
    make_videos,
)

import vidattn
from vidattn.evaluation.metrics import f1, f1_counts
from vidattn.timeline.decoding import LEAST
from vidattn.timeline.segments import Segment
from vidattn.types import Window

Scored = list[tuple[vidattn.Timeline, Truth]]
Rule = Callable[[vidattn.Timeline, Truth], list[Span]]
Counts = np.ndarray
"""A row for each video: right, wrong and missed segments at 50 % and at 75 % overlap, seconds that
are right, seconds, segments."""
COSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
FIXED: tuple[dict[str, object], ...] = (
    {"smooth": "none"},
    *({"smooth": how, "kernel": k} for how, k in product(("median", "mean"), (3, 5, 9, 15))),
    *({"smooth": how, "switch_cost": c} for how, c in product(("viterbi", "auto"), COSTS)),
    *({"smooth": "none", "min_duration": s} for s in (1.0, 2.0, 4.0)),
    *({"smooth": "mean", "kernel": 5, "min_duration": s} for s in (1.0, 2.0, 4.0)),
)
DRAWS, HALVES = 1000, 100


def decoded(**settings: object) -> Rule:
    """The segments that `vidattn timeline` makes with these settings."""

    def spans(timeline: vidattn.Timeline, _: Truth) -> list[Span]:
        found = timeline.with_decoding(**settings).segments
        return [(s.start, s.stop, s.label_id) for s in found if s.label_id is not None]

    return spans


def last_window(timeline: vidattn.Timeline, _: Truth) -> list[Span]:
    """Each window's label from its end until the end of the next, as mmaction2's demo shows it."""
    stops = [w.stop for w in timeline.windows]
    edges = [0.0, *stops[1:], timeline.duration]
    spans: list[Span] = []
    labels = timeline.scores.argmax(axis=1).tolist()
    for (start, stop), label in zip(pairwise(edges), labels, strict=True):
        if spans and spans[-1][2] == label:
            start = spans.pop()[0]
        if stop > start:
            spans.append((start, stop, label))
    return spans


def at_true_edges(timeline: vidattn.Timeline, truth: Truth) -> list[Span]:
    """The likeliest label between true boundaries: what is wrong is the model's fault alone."""
    logs = np.log(np.maximum(timeline.scores, LEAST))
    spans = []
    for start, stop, _ in truth.everywhere():
        seen = (max(min(w.stop, stop) - max(w.start, start), 0) for w in timeline.windows)
        shares = [s / w.duration for s, w in zip(seen, timeline.windows, strict=True)]
        spans.append((start, stop, int((np.square(shares) @ logs).argmax())))
    return spans


RULES: dict[str, Rule] = {
    "last window wins": last_window,
    "mean of windows": decoded(smooth="none"),
    "median": decoded(smooth="median"),
    "viterbi, cost 2": decoded(smooth="viterbi"),
    "viterbi, cost 8": decoded(smooth="viterbi", switch_cost=8.0),
    "default, no cuts": lambda timeline, truth: decoded()(replace(timeline, cuts=None), truth),
    "default": decoded(),
    "true boundaries": at_true_edges,
}


def seconds_of(span: Window, truth: Iterable[Span], label: int | None) -> float:
    """Seconds of a span in which a label is true."""
    shared = (min(span.stop, b) - max(span.start, a) for a, b, k in truth if k == label)
    return sum(max(seconds, 0.0) for seconds in shared)


def count(rule: Rule, scored: Scored) -> Counts:
    """What a rule makes of each video."""
    rows = []
    for timeline, known in scored:
        spans, truth = rule(timeline, known), known.everywhere()
        right = sum(seconds_of(Window(a, b), truth, k) for a, b, k in spans)
        own, true = (
            np.array([span for span in all_ if span[2] != known.background]).reshape(-1, 3)
            for all_ in (spans, truth)
        )
        pair = own[:, :2], own[:, 2], true[:, :2], true[:, 2]
        found = [number for share in (0.5, 0.75) for number in f1_counts(*pair, share)]
        rows.append([*found, right, known.seconds, len(own)])
    return np.array(rows, dtype=np.float64)


def figures(counts: Counts) -> np.ndarray:
    """F1 at 50 and 75 % and the share of the time that is right, in percent."""
    total = counts.sum(axis=0)
    return 100 * np.array([f1(*total[:3]), f1(*total[3:6]), total[6] / total[7]])


def half_interval(value: Callable[[np.ndarray], np.ndarray], videos: int) -> np.ndarray:
    """Half of the 95 % interval of a value of some videos, given by their indices."""
    rng = np.random.default_rng(0)
    values = [value(rng.integers(videos, size=videos)) for _ in range(DRAWS)]
    low, high = np.nanpercentile(values, (2.5, 97.5), axis=0)
    return np.asarray((high - low) / 2)


def calibration(scored: Scored, value: Callable[[Segment], float]) -> float:
    """The mean distance, in percent, of a number of segments from the share of their time that is
    right, over ten groups of segments with equal numbers, weighted by their time."""
    rows = [
        (value(s), seconds_of(s.window, known.everywhere(), s.label_id), s.window.duration)
        for timeline, known in scored
        for s in timeline.segments
    ]
    given, right, seconds = np.array(rows).T
    group = np.minimum((given * 10).astype(int), 9)
    gaps = np.bincount(group, given * seconds - right)
    return float(100 * np.abs(gaps).sum() / seconds.sum())


def choose_on_half(default: Counts, fixed: Counts) -> float:
    """Points of F1@50 that the default is behind the fixed setting that is best on other videos.

    default: of each video; fixed: [settings, videos, ...].
    """
    rng, behind = np.random.default_rng(0), []
    for _ in range(HALVES):
        order = rng.permutation(len(default))
        half = np.array_split(order, 2)
        for own, other in (half, half[::-1]):
            best = int(np.argmax([figures(one[own])[0] for one in fixed]))
            behind.append(figures(fixed[best][other])[0] - figures(default[other])[0])
    return float(np.mean(behind))


def show(title: str, scored: Scored) -> None:
    """Print a row for every rule, and what is said of the default alone."""
    true = sum(span[2] != known.background for _, known in scored for span in known.spans)
    counts = {}
    for name, rule in RULES.items():
        own = count(rule, scored)
        counts[name] = own
        spread = half_interval(lambda some, own=own: figures(own[some]), len(own))
        pairs = zip(figures(own), spread, strict=True)
        row = "  ".join(f"{value:5.1f} +-{half:4.1f}" for value, half in pairs)
        print(f"{title}  {name:18} {row}  {own[:, 8].sum():.0f} ({true})", flush=True)
    confidence = calibration(scored, lambda s: s.confidence or 0.0)
    score = calibration(scored, lambda s: s.score)
    print(f"{title}  confidence off by {confidence:.1f} (score {score:.1f}); F1@50 ", end="")
    fixed = np.array([count(decoded(**setting), scored) for setting in FIXED])
    best, own = int(np.argmax([figures(one)[0] for one in fixed])), counts["default"]

    def behind(some: np.ndarray) -> np.ndarray:
        return figures(fixed[best][some]) - figures(own[some])

    points, half = behind(np.arange(len(own)))[0], half_interval(behind, len(own))[0]
    print(f"{points:.1f} +- {half:.1f} behind the best fixed afterwards, {FIXED[best]}; ", end="")
    print(f"{choose_on_half(own, fixed):.1f} behind that of the other half", flush=True)


def main() -> None:
    """Make the videos, score them at each overlap, print a row for every rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--teach", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, nargs="+", default=["shots"])
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--overlaps", type=float, nargs="+", default=[0.0, 0.5, 0.75])
    options = parser.parse_args()
    clips = [ClipShots.of_run(run) for run in options.runs]
    clips += [ClipShots.taught(options.teach, k) for k in range(FOLDS if options.teach else 0)]
    for model in clips:
        right, number = model.right()
        print(f"a model names {right} of the {number} clips rightly")
    print(f"{'layout':11}  overlap  {'rule':18} {'F1@50':12}  {'F1@75':12}  {'time':12}  segments")
    for layout in options.layout:
        scored: dict[float, Scored] = {overlap: [] for overlap in options.overlaps}
        for seed in options.seeds:
            size = Size(options.videos, options.shots, seed)
            for shots in clips or [MotionShots(seed, options.data_root)]:
                for video, known in make_videos(shots, layout, size):
                    for overlap, own in scored.items():
                        given = video, shots.classifier
                        timeline = vidattn.segment(*given, window=shots.window, overlap=overlap)
                        if options.several:
                            model = replace(timeline.model, activation="sigmoid")
                            timeline = replace(timeline, model=model)
                        own.append((timeline, known))
        for overlap, own in scored.items():
            show(f"{layout:11}  {overlap:7.2f}", own)


if __name__ == "__main__":
    main()

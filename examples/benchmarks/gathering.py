"""Timelines from the scores of windows: vidattn's default beside the rules of others.

    python examples/benchmarks/gathering.py [--videos 4] [--shots 20] [--seed 0] [--data-root DIR]
                                            [--mixed]

Joins shots of known camera motion, 1.5 to 9 s each, 24 frames a second, over generated textures or
over frames of the images and videos below DIR, and lets motion-tiny score their windows. With
--mixed only half of the labels change at a cut, and half of the shots have one inside. Every rule
makes timelines of the same scores. F1 at 50 and 75 % overlap as MS-TCN counts it, the share of the
time with the right label, and how many segments came out where so many are true.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

import vidattn
from vidattn.data.motion.camera import LABELS, CameraPath, draw_shake
from vidattn.data.motion.scene import degrade, render
from vidattn.data.motion.textures import DrawnTextures, PhotographedTextures
from vidattn.evaluation.metrics import f1, overlaps
from vidattn.types import Window
from vidattn.video import MemoryVideo

FPS, STEP, SIDE = 24, 8, 64  # frames a second, steps of the model a second, pixels
AXES = {"pan": 0, "tilt": 1, "zoom": 2, "roll": 3}
POSITIVE = {"right", "down", "in", "cw"}
Span = tuple[float, float, int]
Rule = Callable[[vidattn.Timeline], list[Span]]


def camera(rng: np.random.Generator, label: int, frames: int) -> CameraPath:
    """The path of a shot of `frames` at FPS, its speed and unsteadiness drawn."""
    steps = frames * STEP // FPS + 4
    points = np.zeros((steps, 4))
    speed = float(np.exp(rng.uniform(np.log(0.012), np.log(0.04))))
    kind, _, way = LABELS[label].partition(" ")
    if kind in AXES:
        axis = AXES[kind]
        rate = speed if axis < 2 else 2 * speed
        if axis == 2:  # not so far that nothing is left to see
            rate = max(min(rate, 1.3 / steps), 0.018)
        points[:, axis] = (1 if way in POSITIVE else -1) * rate * np.arange(steps)
    shake = {"static": rng.uniform(0, 0.0015), "handheld": max(speed, 0.012)}
    points += draw_shake(rng, steps, shake.get(kind, rng.uniform(0, 0.25) * speed))
    times = np.arange(-1, frames + 1) * STEP / FPS + 1
    return CameraPath(CameraPath(points).at(times - 1))


def video(
    rng: np.random.Generator, textures: object, shots: int, mixed: bool = False
) -> tuple[MemoryVideo, list[Span]]:
    """A video of joined shots, and its true spans: start, stop, label.

    mixed: whether some labels change without a cut, and some cuts change no label.
    """
    frames, spans, begin, last = [], [], 0, -1
    path, edges = np.zeros((0, 4)), [0]  # of what is filmed without a stop
    for _ in range(shots):
        # A zoom begins at a cut, so that none goes too far.
        free = [k for k, name in enumerate(LABELS) if not len(path) or "zoom" not in name]
        label = int(rng.choice([k for k in free if k != last]))
        count = round(rng.uniform(1.5, 9) * FPS)
        points = camera(rng, label, count).points
        if len(path):
            points = np.concatenate([path[:-1], points[1:] - points[0] + path[-2]])
        spans.append((begin / FPS, (begin + count) / FPS, label))
        begin, last, path = begin + count, label, points
        if mixed and rng.random() < 0.5:
            edges.append(len(path) - 2 - count // 2)
        if not mixed or rng.random() < 0.5 or len(spans) == shots:
            for start, stop in pairwise([*edges, len(path) - 2]):
                shot, _ = render(rng, textures, CameraPath(path[start : stop + 2]), SIDE, 0.6, 4)
                frames.append(degrade(rng, shot, 0.6))
            path, edges = np.zeros((0, 4)), [0]
    return MemoryVideo(np.concatenate(frames), fps=FPS), spans


def decoded(**settings: object) -> Rule:
    """The segments that `vidattn timeline` makes with these settings."""

    def spans(timeline: vidattn.Timeline) -> list[Span]:
        found = timeline.with_decoding(**settings).segments
        return [(s.window.start, s.window.stop, s.label_id) for s in found]

    return spans


def last_window(timeline: vidattn.Timeline) -> list[Span]:
    """Each window's label from its end until the end of the next, as mmaction2's demo shows it."""
    stops = [w.stop for w in timeline.windows]
    edges = [0.0, *stops[1:], timeline.duration]
    return joined(edges, timeline.scores.argmax(axis=1).tolist())


def joined(edges: list[float], labels: list[int]) -> list[Span]:
    """Neighbors of equal label as one span."""
    spans: list[Span] = []
    for start, stop, label in zip(edges, edges[1:], labels, strict=False):
        if spans and spans[-1][2] == label:
            start = spans.pop()[0]
        if stop > start:
            spans.append((start, stop, label))
    return spans


RULES: dict[str, Rule] = {
    "last window wins": last_window,
    "mean of windows": decoded(smooth="none"),
    "median": decoded(smooth="median"),
    "viterbi, cost 2": decoded(smooth="viterbi"),
    "viterbi, cost 8": decoded(smooth="viterbi", switch_cost=8.0),
    "default, no cuts": lambda timeline: decoded()(replace(timeline, cuts=None)),
    "default": decoded(),
}


def count(spans: list[Span], truth: list[Span], share: float) -> np.ndarray:
    """Right, wrong and missed segments, each true one found once."""
    free, right = list(range(len(truth))), 0
    for start, stop, label in spans:
        same = [i for i in free if truth[i][2] == label]
        if not same:
            continue
        pairs = overlaps(np.array([[start, stop]]), np.array([truth[i][:2] for i in same]))[0]
        if pairs.max() >= share:
            free.remove(same[int(pairs.argmax())])
            right += 1
    return np.array([right, len(spans) - right, len(truth) - right])


def main() -> None:
    """Make the videos, score them at each overlap, print a row for every rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--overlaps", type=float, nargs="+", default=[0.0, 0.5, 0.75])
    options = parser.parse_args()
    folder, seed = options.data_root, options.seed
    textures = PhotographedTextures(folder) if folder else DrawnTextures((seed, 7), 48)
    classifier = vidattn.load("motion-tiny")
    rngs = [np.random.default_rng((seed, i)) for i in range(options.videos)]
    videos = [video(rng, textures, options.shots, options.mixed) for rng in rngs]
    print(f"{'overlap':>7}  {'rule':18} {'F1@50':>6} {'F1@75':>6} {'time':>6}  segments")
    for overlap in options.overlaps:
        timelines = [vidattn.segment(v, classifier, overlap=overlap) for v, _ in videos]
        for name, rule in RULES.items():
            half, most, right, segments = np.zeros(3), np.zeros(3), 0.0, 0
            for timeline, (_, truth) in zip(timelines, videos, strict=True):
                spans = rule(timeline)
                half, most = half + count(spans, truth, 0.5), most + count(spans, truth, 0.75)
                segments += len(spans)
                for start, stop, label in truth:
                    same = (Window(a, b) for a, b, k in spans if k == label and b > start)
                    right += sum(max(min(w.stop, stop) - max(w.start, start), 0) for w in same)
            share = right / sum(v.duration for v, _ in videos)
            print(
                f"{overlap:7.2f}  {name:18} {100 * f1(*half):6.1f} {100 * f1(*most):6.1f} "
                f"{100 * share:6.1f}  {segments} ({options.videos * options.shots})",
                flush=True,
            )


if __name__ == "__main__":
    main()

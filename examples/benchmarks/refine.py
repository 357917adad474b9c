"""Coarse to fine beside a denser pass: how well boundaries are found, and with how many windows.

    python examples/benchmarks/refine.py

Films are joined from shots of 3 to 6 s with known camera motions (never trained on), so boundaries
are known; motion-tiny names them. F1@50: segments whose label is right and which overlap a true one
of that label by half of their union or more, over all films.
"""

import argparse
from dataclasses import replace

import numpy as np

import vidattn
from vidattn.data.camera import LABELS
from vidattn.data.motion import HELD_BACK, example
from vidattn.data.textures import Drawn
from vidattn.economy import Economy
from vidattn.video import MemoryVideo

FPS = 8
Span = tuple[float, float, str]


def film(
    seed: int, shots: int, clip: vidattn.config.ClipConfig, textures: Drawn
) -> tuple[MemoryVideo, list[Span]]:
    """A film of so many shots, and what each shows from when to when."""
    rng = np.random.default_rng((HELD_BACK, 7, seed))
    frames, spans, last = [], list[Span](), -1
    for _ in range(shots):
        label = int(rng.choice([k for k in range(len(LABELS)) if k != last]))
        count = int(rng.integers(3 * FPS, 6 * FPS + 1))
        frames.append(example(rng, textures, label, replace(clip, frames=count), 0.7).frames)
        start = spans[-1][1] if spans else 0.0
        spans.append((start, start + count / FPS, LABELS[label]))
        last = label
    return MemoryVideo(np.concatenate(frames), fps=FPS), spans


def hits(found: list[Span], true: list[Span], overlap: float) -> int:
    """How many true segments are found: same label, intersection over union at least `overlap`."""
    left, count = list(true), 0
    for start, stop, label in found:
        for one in left:
            shared = min(stop, one[1]) - max(start, one[0])
            union = max(stop, one[1]) - min(start, one[0])
            if one[2] == label and shared >= overlap * union:
                left.remove(one)
                count += 1
                break
    return count


def main() -> None:
    """Make the films, look at each in three ways, print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--unsure", type=float, default=Economy.unsure)
    wanted = parser.parse_args()
    classifier = vidattn.load("motion-tiny")
    span = classifier.clip.frames * classifier.clip.step_seconds
    textures = Drawn((HELD_BACK, 7), 60)
    films = [film(i, wanted.shots, classifier.clip, textures) for i in range(wanted.films)]
    ways = {
        "side by side": {},
        "four times denser": {"stride": span / 4},
        "coarse to fine": {"economy": Economy(refine=span / 4, unsure=wanted.unsure)},
    }
    dense = 0
    for name, how in ways.items():
        windows, found, true, good = 0, 0, 0, {0.25: 0, 0.5: 0, 0.75: 0}
        for video, spans in films:
            timeline = vidattn.segment(video, classifier, **how)
            rows = [(s.window.start, s.window.stop, s.label) for s in timeline.segments]
            windows, found, true = (
                windows + len(timeline.windows),
                found + len(rows),
                true + len(spans),
            )
            for overlap in good:
                good[overlap] += hits(rows, spans, overlap)
        dense = windows if "denser" in name else dense
        scores = [f"F1@{100 * k:.0f} {200 * n / (found + true):.1f}" for k, n in good.items()]
        share = f", {100 * windows / dense:.0f} % of the denser pass" if dense else ""
        print(f"{name:18} {windows:6} windows{share}; {found} segments, {', '.join(scores)}")


if __name__ == "__main__":
    main()

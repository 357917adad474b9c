"""Best-first windows beside an even stride: as many windows, but where the decoder is unsure.

    python examples/benchmarks/best_first.py [--videos 8] [--shots 20] [--seed 0] [--mixed]

Scores the videos of gathering.py at overlap 0.75. From windows side by side, adds those of the
dense pass around which labels most probably switch, in four rounds, until they are as many as at a
longer stride; both make timelines in the default way. Figures as those of gathering.py.
"""

import argparse
from dataclasses import replace
from functools import partial

import numpy as np
from gathering import count, decoded, video

import vidattn
from vidattn.data.motion.textures import DrawnTextures
from vidattn.evaluation.metrics import f1

DENSE, ROUNDS = 0.25, 4  # seconds between windows; window length: 1


def pick(dense: vidattn.Timeline, kept: list[int]) -> vidattn.Timeline:
    """A timeline of some of the windows."""
    windows = tuple(dense.windows[i] for i in kept)
    return replace(dense, windows=windows, scores=dense.scores[kept], seen=None, cell_frames=None)


def even(dense: vidattn.Timeline, stride: float) -> list[int]:
    """The windows at multiples of a stride, and the last one."""
    steps = [window.start / stride for window in dense.windows]
    return sorted({i for i, s in enumerate(steps) if abs(s - round(s)) < 1e-6} | {len(steps) - 1})


def best_first(dense: vidattn.Timeline, most: int) -> list[int]:
    """As many windows, those added that lie where labels may switch, apart from those there are."""
    kept = even(dense, 1.0)
    centers = np.array([window.center for window in dense.windows])
    room = -(-(most - len(kept)) // ROUNDS)
    for _ in range(ROUNDS):
        timeline = pick(dense, kept)
        assert timeline.path is not None
        posteriors = timeline._path_model.posteriors(timeline.path)
        switch = np.abs(np.diff(posteriors, axis=0)).sum(axis=1) / 2  # at the start of each cell
        edges = np.array([cell.start for cell in timeline.path.cells[1:]])
        near = np.maximum(1 - 2 * np.abs(centers[:, None] - edges), 0)
        gap = np.abs(centers[:, None] - centers[kept]).min(axis=1)
        gain, added = (near @ switch) * gap, []
        for i in np.argsort(-gain, kind="stable").tolist():
            apart = all(abs(centers[i] - centers[k]) > DENSE + 0.05 for k in added)
            if gap[i] and apart and len(added) < min(room, most - len(kept)):
                added.append(i)
        kept = sorted([*kept, *added])
    return kept


def main() -> None:
    """Make and score the videos, print a row for every choice of windows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mixed", action="store_true")
    options = parser.parse_args()
    textures, classifier = DrawnTextures((options.seed, 7), 48), vidattn.load("motion-tiny")
    rngs = [np.random.default_rng((options.seed, i)) for i in range(options.videos)]
    videos = [video(rng, textures, options.shots, options.mixed) for rng in rngs]
    dense = [vidattn.segment(made, classifier, overlap=0.75) for made, _ in videos]
    choices = {"side by side": lambda one: even(one, 1.0), "all": lambda one: even(one, DENSE)}
    for stride in (0.75, 0.5):
        plain = partial(even, stride=stride)
        choices[f"every {stride:g} s"] = plain
        choices[f"{stride:g} s, best first"] = lambda one, plain=plain: best_first(
            one, len(plain(one))
        )
    print(f"{'windows':18} {'number':>6} {'F1@50':>6} {'F1@75':>6}")
    for name, choose in choices.items():
        kept = [choose(one) for one in dense]
        counts = np.zeros((2, 3))
        for one, own, (_, truth) in zip(dense, kept, videos, strict=True):
            spans = decoded()(pick(one, own))
            counts += [count(spans, truth, share) for share in (0.5, 0.75)]
        half, most = (100 * f1(*row) for row in counts)
        print(f"{name:18} {sum(map(len, kept)):6d} {half:6.1f} {most:6.1f}", flush=True)


if __name__ == "__main__":
    main()

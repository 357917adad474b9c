"""A learned decoder beside the default one: a temporal convolution over windows, cross-validated.

    python examples/benchmarks/learned.py [--videos 28] [--shots 20] [--folds 2] [--epochs 160]

Makes the videos of gathering.py, every second one as with --mixed, and saves embedding and scores
of their windows at overlap 0.75. Dilated convolutions (as in MS-TCN, arXiv:1903.01945) learn from
the true spans of the other folds to say the label at the center of each window and whether it
changes there. Their labels are decoded with costs of a switch that follow from the latter
("boundary"), or their probabilities replace the scores in the default decoder ("refined").
"""

import argparse
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from gathering import Span, count, decoded, joined, video
from torch import Tensor, nn
from torch.nn import functional

import vidattn
from vidattn.data.motion.textures import DrawnTextures
from vidattn.evaluation.metrics import f1
from vidattn.timeline.decoding import most_likely_path

WIDTH, LAYERS, LENGTH, BATCH = 64, 6, 160, 8
Video = tuple[vidattn.Timeline, Tensor, Tensor, list[Span]]


class Network(nn.Module):
    """Features [B, D, N] of windows to logits [B, K + 1, N]: of the labels, and of a boundary."""

    def __init__(self, features: int, labels: int) -> None:
        super().__init__()
        self.enter, self.drop = nn.Conv1d(features, WIDTH, 1), nn.Dropout(0.3)
        self.wide = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, 3, padding=2**i, dilation=2**i) for i in range(LAYERS)
        )
        self.mix = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(LAYERS))
        self.head = nn.Conv1d(WIDTH, labels + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(self.drop(x))
        for wide, mix in zip(self.wide, self.mix, strict=True):
            x = x + self.drop(mix(wide(x).relu()))
        logits: Tensor = self.head(x)
        return logits


def score(made: tuple[object, list[Span]], classifier: object) -> Video:
    """The timeline of a video, features [D, N] and true labels [N] of its windows, and spans."""
    *_, last = vidattn.stream(made[0], classifier, overlap=0.75, embeddings=True)
    timeline, centers = last.timeline, np.array([w.center for w in last.timeline.windows])
    cuts = np.histogram(timeline.cuts or (), [*centers, np.inf])[0][:, None] > 0
    logs = np.log(np.maximum(timeline.scores, 1e-5)) / 3
    features = np.concatenate([last.embeddings / 5, logs, cuts], axis=1, dtype=np.float32)
    starts = np.array([start for start, _, _ in made[1]])
    labels = np.array([k for _, _, k in made[1]])[np.searchsorted(starts, centers, "right") - 1]
    return timeline, torch.tensor(features.T), torch.tensor(labels), made[1]


def train(videos: list[Video], epochs: int, seed: int) -> Network:
    """A network trained on random parts of some videos."""
    torch.manual_seed(seed)
    rng, classes = np.random.default_rng(seed), videos[0][0].scores.shape[1]
    network, steps = Network(len(videos[0][1]), classes), epochs * len(videos) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        parts = []
        for i in rng.integers(len(videos), size=BATCH):
            first = rng.integers(videos[i][1].shape[1] - LENGTH)
            parts.append([row[..., first : first + LENGTH] for row in videos[i][1:3]])
        features, labels = map(torch.stack, zip(*parts, strict=True))
        logits = network(features)
        turns = functional.pad((labels[:, 1:] != labels[:, :-1]).float(), (1, 0))
        loss = functional.cross_entropy(logits[:, :-1], labels)
        loss = loss + 0.3 * functional.binary_cross_entropy_with_logits(logits[:, -1], turns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return network.eval()


@torch.no_grad()
def decode(network: Network, timeline: vidattn.Timeline, features: Tensor) -> dict[str, list[Span]]:
    """The segments of a video in each way."""
    logits = network(features[None])[0].T
    logs = logits[:, :-1].log_softmax(-1).double().clamp(min=-6).numpy()
    turn = functional.logsigmoid(-logits[:, -1]) - functional.logsigmoid(logits[:, -1])
    path = most_likely_path(logs / 4, turn.double().clamp(0.2, 8).numpy())
    centers = [window.center for window in timeline.windows]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(centers))]
    refined = logits[:, :-1].softmax(-1).numpy()
    return {
        "default": decoded()(timeline),
        "boundary": joined([*edges, timeline.duration], path.tolist()),
        "refined": decoded()(replace(timeline, scores=refined)),
    }


def main() -> None:
    """Make and score the videos, train and test on folds of them, print a row for each way."""
    parser = argparse.ArgumentParser()
    for name, default in (("videos", 28), ("shots", 20), ("folds", 2), ("epochs", 160)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    textures, classifier = DrawnTextures((0, 7), 48), vidattn.load("motion-tiny")
    rngs = [np.random.default_rng((0, i)) for i in range(options.videos)]
    made = [video(rng, textures, options.shots, bool(i % 2)) for i, rng in enumerate(rngs)]
    videos = [score(one, classifier) for one in made]
    counts: dict[str, np.ndarray] = {}
    for fold in range(options.folds):
        others = [one for i, one in enumerate(videos) if i % (2 * options.folds) // 2 != fold]
        network = train(others, options.epochs, fold)
        for timeline, features, _, truth in videos:
            if any(timeline is one[0] for one in others):
                continue
            for name, spans in decode(network, timeline, features).items():
                rows = [count(spans, truth, share) for share in (0.5, 0.75)]
                counts[name] = counts.get(name, 0) + np.array(rows)
    for name, rows in counts.items():
        print(f"{name:10} F1@50 {100 * f1(*rows[0]):5.1f}  F1@75 {100 * f1(*rows[1]):5.1f}")


if __name__ == "__main__":
    main()

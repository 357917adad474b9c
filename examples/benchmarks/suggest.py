"""Windows that `vidattn suggest` chooses to be labeled, beside windows drawn at random.

    python examples/benchmarks/suggest.py DATASET [--each 4] [--rounds 8] [--seeds 24] [--rare]

DATASET: a dataset as of `vidattn teach`. A quarter of its groups, others for each seed, measures;
the rest is the pool, in which one window of each class has a label at first. In every round a
logistic regression on frozen embeddings (motion-tiny, the moving part of the frame) chooses EACH
windows, whose labels it then learns. --rare: two of three classes keep only 30 % of their windows.
Prints the mean class accuracy after each round, and how far the mean over all rounds is from that
of chance, with a 95 % interval over seeds.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import torch

import vidattn
from vidattn.data.plan import Windowing
from vidattn.data.sets import open_samples
from vidattn.inference.embed import Embedder
from vidattn.inference.suggest import choose_windows, measure_doubt, measure_rarity
from vidattn.models.taught import TaughtModel
from vidattn.training.heads import HeadChoice, TrainingWindows, fit_head
from vidattn.training.taught_data import LabeledWindows, choose_span, design_views, embed_samples

CHOICE = HeadChoice("linear", (1,), 1.0)


@dataclass
class Samples:
    """Embeddings [N, D] of windows, the samples they are of, and the model they are for."""

    vectors: torch.Tensor
    numbers: np.ndarray
    spans: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    model: TaughtModel

    def predict(self, known: np.ndarray) -> np.ndarray:
        """Scores [N, K] of all windows by a head fitted to some."""
        count = self.labels.max() + 1
        truth = torch.eye(count)[self.labels[known]]
        windows = TrainingWindows(self.vectors[known], truth, torch.ones(len(known)))
        config = CHOICE.configure(self.model.config, len(known))
        config = replace(config, classes=int(count))
        head = fit_head(CHOICE, config, self.model.head.shape, windows)
        with torch.inference_mode():
            return head(self.vectors).softmax(-1).double().numpy()


def embed(dataset: str) -> Samples:
    """The windows of all samples, from the cache where they are there."""
    backbone, found = vidattn.load("motion-tiny"), open_samples(dataset)
    span = choose_span(Embedder(backbone), found, None)
    shown = design_views(backbone, span, zoom=True)
    *_, windows = embed_samples(Embedder(shown, Windowing(overlap=0.5)), found)
    assert isinstance(windows, LabeledWindows)
    items = [found.items[n] for n in windows.samples]
    return Samples(
        windows.vectors,
        windows.samples,
        windows.spans,
        np.array([item.label for item in items]),
        np.array([item.group or item.path for item in items]),
        shown.model,
    )


def split(samples: Samples, rng: np.random.Generator, *, rare: bool) -> tuple[np.ndarray, ...]:
    """Numbers of the pool, of the first labeled windows, and of those that measure."""
    groups = np.unique(samples.groups)
    held = rng.choice(groups, max(len(groups) // 4, 1), replace=False)
    test = np.flatnonzero(np.isin(samples.groups, held))
    pool, first = [], []
    for k in np.unique(samples.labels):
        own = rng.permutation(
            np.flatnonzero((samples.labels == k) & ~np.isin(samples.groups, held))
        )
        own = own[: max(round(0.3 * len(own)), 3)] if rare and k % 3 else own
        pool, first = [*pool, *own[1:]], [*first, *own[:1]]
    return np.array(pool), np.array(first), test


def learn(
    samples: Samples, parts: tuple[np.ndarray, ...], how: str, each: int, rounds: int, seed: int
) -> list[float]:
    """The mean class accuracy on the windows that measure, at first and after each round."""
    pool, known, test = parts
    rng, accuracy = np.random.default_rng(seed), []
    classifier = vidattn.load("motion-tiny")
    for _ in range(rounds + 1):
        scores = samples.predict(known)
        right = scores[test].argmax(1) == samples.labels[test]
        accuracy.append(
            np.mean(
                [right[samples.labels[test] == k].mean() for k in np.unique(samples.labels[test])]
            )
        )
        if len(pool) < each:
            break
        if how == "random":
            chosen = rng.choice(len(pool), each, replace=False)
        else:
            counts = np.bincount(samples.labels[known], minlength=scores.shape[1])
            doubt = measure_doubt(scores[pool], classifier)
            priority = doubt * measure_rarity(scores[pool], counts)
            chosen = (
                choose_windows(samples.numbers[pool], samples.spans[pool], priority, each)
                if how == "suggest"
                else np.argsort(-doubt, kind="stable")[:each]
            )
        known, pool = np.concatenate([known, pool[chosen]]), np.delete(pool, chosen)
    return accuracy


def main() -> None:
    """Print a row for each way to choose."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--rare", action="store_true")
    given = parser.parse_args()
    samples = embed(given.dataset)
    curves = {"random": [], "doubt": [], "suggest": []}
    for seed in range(given.seeds):
        parts = split(samples, np.random.default_rng(seed), rare=given.rare)
        for how, rows in curves.items():
            rows.append(learn(samples, parts, how, given.each, given.rounds, seed))
    least = min(len(row) for rows in curves.values() for row in rows)  # where a pool was used up
    chance = 100 * np.array([row[:least] for row in curves["random"]])
    for how, rows in curves.items():
        table = 100 * np.array([row[:least] for row in rows])
        gain = table.mean(1) - chance.mean(1)
        print(
            f"{how:8}",
            " ".join(f"{value:5.1f}" for value in table.mean(0)),
            f"  mean {table.mean():.1f}, {gain.mean():+.1f} +- "
            f"{1.96 * gain.std(ddof=1) / len(gain) ** 0.5:.1f}",
        )


if __name__ == "__main__":
    main()

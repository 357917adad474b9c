"""How many clips a processor should score at once: the time of a clip in batches of each size.

    python examples/benchmarks/batches.py

One thread, models as the commands run them, random weights except for motion-tiny; ViT-B has two
of its twelve blocks. Sizes take turns; each figure is the least processor time of some rounds, as a
multiple of that in batches of 8. The last figure is what vidattn chooses by itself (for ViT-B: with
all its blocks).
"""

import time
from dataclasses import replace

import torch

import vidattn
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.inference.scorer import Scorer, batch_size_of
from vidattn.models.classifier import Classifier
from vidattn.models.timesformer import TimeSformer

SIZES = (1, 2, 4, 8, 16, 32)
VIT_B = TimeSformerConfig(classes=400)
SMALL = TimeSformerConfig(classes=400, width=192, heads=3, size=112)


def classifier_of(config: TimeSformerConfig) -> Classifier:
    """A model of random weights."""
    clip = ClipConfig(frames=config.frames, short_side=config.size, crop=config.size)
    labels = tuple(map(str, range(config.classes)))
    return Classifier(TimeSformer(config).eval(), clip, labels)


def seconds(classifier: Classifier, precision: str, most: int, rounds: int) -> dict[int, float]:
    """Processor time of a clip, by batch size."""
    scorer = Scorer(classifier, vidattn.Runtime("cpu", precision))
    clip, sizes = classifier.clip, [size for size in SIZES if size <= most]
    clips = list(torch.randn(most, 3, clip.frames, clip.crop, clip.crop))
    best = dict.fromkeys(sizes, float("inf"))
    for _ in range(rounds):
        for size in sizes:
            begin = time.process_time()
            scorer(clips[:size])
            best[size] = min(best[size], (time.process_time() - begin) / size)
    return best


def main() -> None:
    """A line for each model."""
    torch.set_num_threads(1)
    tiny, few = vidattn.load("motion-tiny"), classifier_of(replace(VIT_B, depth=2))
    for name, classifier, whole, precision, most, rounds in (
        ("motion-tiny", tiny, tiny, "fp32", 32, 20),
        ("width 192, 112 pixels", classifier_of(SMALL), classifier_of(SMALL), "fp32", 32, 4),
        ("ViT-B", few, classifier_of(VIT_B), "fp32", 8, 3),
        ("ViT-B", few, classifier_of(VIT_B), "int8", 8, 3),
    ):
        best = seconds(classifier, precision, most, rounds)
        words = ", ".join(f"{size}: {best[size] / best[8]:.2f}" for size in best)
        chosen = batch_size_of(whole, vidattn.Runtime("cpu"), whole.clip.frames)
        print(f"{name}, {precision}: {words}; chosen {chosen}", flush=True)


if __name__ == "__main__":
    main()

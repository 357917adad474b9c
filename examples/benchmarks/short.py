"""Many short videos: where the time of one goes, and what batches that videos share would save.

    python examples/benchmarks/short.py FOLDER [MODEL]

Videos (*.mp4) are classified one after the other, as `vidattn classify FOLDER` does. Then as many
windows of noise go through the model in the batches that these videos made, and in full ones: the
difference is the most that windows of different videos in one batch could save.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import torch

import vidattn
from vidattn.inference import stream
from vidattn.inference.scorer import Scorer
from vidattn.models.classifier import Classifier
from vidattn.video import Prefetcher


def main() -> None:
    """Classify, then compare both kinds of batches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", nargs="?", default="motion-tiny")
    wanted = parser.parse_args()
    classifier = vidattn.load(wanted.model)
    videos = sorted(wanted.folder.rglob("*.mp4"))
    with Prefetcher() as opener:
        stream.classify(videos[0], classifier, opening=opener)  # what is begun once is begun
        begin, model, waited, windows = time.perf_counter(), 0.0, 0.0, []
        for video, coming in zip(videos, [*videos[1:], None], strict=True):
            if coming:
                opener.prefetch(coming, short_side=classifier.clip.short_side)
            found = stream.classify(video, classifier, opening=opener)
            model += found.run["model_s"]
            waited += found.run["wait_s"]
            windows.append(len(found.seen or ()))
        total = time.perf_counter() - begin
    apart, together = (rounds_of(classifier, sizes) for sizes in (windows, full(sum(windows))))
    each = 1000 / len(videos)
    print(
        f"{len(videos)} videos, {sum(windows)} windows: {total * each:.1f} ms a video, model "
        f"{model * each:.1f}, waiting for frames {waited * each:.1f}; the same windows of noise "
        f"{apart * each:.1f} ms in batches of one video each, {together * each:.1f} ms in full "
        f"ones: {100 * (apart - together) / total:.1f} % of all"
    )


def full(count: int, size: int = 16) -> list[int]:
    """Batch sizes of so many windows, whoever shows them."""
    return [min(size, count - first) for first in range(0, count, size)]


def rounds_of(classifier: Classifier, sizes: Iterable[int], rounds: int = 5) -> float:
    """Seconds for batches of these sizes, the best of some rounds."""
    clip, scorer = classifier.clip, Scorer(classifier, vidattn.Runtime("cpu"))
    frames = list(torch.randn(clip.frames, 3, clip.crop, clip.crop))
    tokens, best = torch.stack(scorer.encode_frames(frames)), float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for size in sizes:
            scorer.classify_frames([tokens] * size)
        best = min(best, time.perf_counter() - begin)
    return best


if __name__ == "__main__":
    main()

"""What overlap costs: windows side by side, and overlapping by 50 and 75 %, in one run.

    python examples/benchmarks/overlap.py               # small STAM, space-only and divided models
    python examples/benchmarks/overlap.py --width 768   # ViT-B

The video is noise in memory, so that nothing but the model is measured. STAM and space-only look at
every frame once whatever the overlap; divided attention has to look at every window. Rounds take
turns, and the fastest of each is compared. `difference` is the largest between the scores and those
of windows seen one by one.
"""

import argparse
import time

import numpy as np
import torch

import vidattn
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig
from vidattn.data.frames import view_clips
from vidattn.data.plan import Windowing, plan_windows
from vidattn.models.classifier import Classifier
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.types import Window
from vidattn.video import MemoryVideo

OVERLAPS = (0.0, 0.5, 0.75)
CPU = vidattn.Runtime(device="cpu", precision="fp32", batch_size=4)


def models(width: int, depth: int, frames: int, size: int) -> dict[str, torch.nn.Module]:
    """A model of each kind with random weights."""
    shape = {"classes": 10, "frames": frames, "size": size, "width": width, "depth": depth}
    shape |= {"heads": width // 64}
    return {
        "stam": Stam(StamConfig(**shape, time_heads=width // 64, time_hidden=2 * width)),
        "space": TimeSformer(TimeSformerConfig("space", **shape)),
        "divided": TimeSformer(TimeSformerConfig("divided", **shape)),
    }


def difference(video: MemoryVideo, classifier: Classifier, overlap: float) -> float:
    """Of the scores of a timeline to those of its windows seen one by one, the largest."""
    timeline = vidattn.segment(video, classifier, overlap=overlap, runtime=CPU)
    planned = plan_windows(
        video.times, Window(0.0, video.duration), classifier.clip, Windowing(overlap=overlap)
    )
    found = []
    with torch.inference_mode():
        for clip in view_clips(video, planned.views, classifier.clip):
            found.append(classifier.model(clip[None]).softmax(-1)[0].numpy())
    return float(np.abs(np.stack(found) - timeline.scores).max())


def main() -> None:
    """Make video and models, time them in turns, print a line for each model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("stam", "space", "divided"))
    wanted = parser.parse_args()
    torch.manual_seed(0)
    size = wanted.size
    clip = ClipConfig(frames=wanted.frames, step_seconds=0.2, short_side=size, crop=size)
    shape = (wanted.windows * wanted.frames * 2, size, size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    video = MemoryVideo(noise, fps=10)
    for name, model in models(wanted.width, wanted.depth, wanted.frames, size).items():
        if wanted.only not in (None, name):
            continue
        classifier = Classifier(model.eval(), clip, tuple("abcdefghij"))
        seconds = {overlap: [] for overlap in OVERLAPS}
        for _ in range(wanted.rounds):
            for overlap in OVERLAPS:
                begin = time.process_time()
                vidattn.segment(video, classifier, overlap=overlap, runtime=CPU)
                seconds[overlap].append(time.process_time() - begin)
        best = {overlap: min(found) for overlap, found in seconds.items()}
        ratios = [f"{100 * o:.0f} %: {best[o] / best[0.0]:.2f}x" for o in OVERLAPS[1:]]
        off = max(difference(video, classifier, overlap) for overlap in OVERLAPS)
        print(
            f"{name:8} {wanted.windows} windows {best[0.0]:.2f} s of processor time; "
            f"overlap {', '.join(ratios)}; difference {off:.1e}"
        )


if __name__ == "__main__":
    main()

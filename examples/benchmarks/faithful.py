"""Whether heat is where the answer comes from: what deleting the hottest patches does to it.

    python examples/benchmarks/faithful.py motion [--clips 100] [--occlusion]
    python examples/benchmarks/faithful.py MODEL TABLE [MODEL TABLE]... [--occlusion]

Of every clip 10 to 50 % of the patches are deleted, those with most heat first, and beside them as
many at random (the mean of three draws). A patch is deleted in two ways: `painted` in the mean
color of the clip, or `stilled`, showing the mean of its place over all frames, so that nothing
moves there. The figure is the area between the two curves of the predicted class's score: how much
lower, on average over the five shares, the score is than with random patches. TABLE lists
`path,label,split` as training.py writes it; its validation clips are used.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import vidattn
from vidattn.data import plan
from vidattn.data.frames import view_clips
from vidattn.data.motion.dataset import validation_samples
from vidattn.data.plan import Windowing
from vidattn.models.attribution import relevance, rollout
from vidattn.models.classifier import Classifier
from vidattn.types import Window

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
DRAWS = 3
BATCH = 32


def motion(count: int) -> Iterator[tuple[Classifier, Tensor]]:
    """Generated clips that motion-tiny never saw."""
    classifier = vidattn.load("motion-tiny")
    yield (
        classifier,
        torch.cat([b.clips for b in validation_samples(classifier.clip, count, seed=7)]),
    )


def trained(pairs: list[str]) -> Iterator[tuple[Classifier, Tensor]]:
    """Models, each with the validation clips of its table."""
    for model, table in zip(pairs[::2], pairs[1::2], strict=True):
        classifier = vidattn.load(model)
        with Path(table).open(encoding="utf-8") as lines:
            paths = [row["path"] for row in csv.DictReader(lines) if row["split"] == "val"]
        yield classifier, torch.stack([middle(path, classifier) for path in paths])


def middle(path: str, classifier: Classifier) -> Tensor:
    """A clip from the middle of a file, float32 [3, T, H, W]."""
    config = classifier.clip
    with vidattn.open_video(path, short_side=config.short_side) as video:
        spare = max(video.duration - config.span_seconds, 0) / 2
        part = Window(spare, video.duration - spare)
        views = plan.plan_windows(video.times, part, config, Windowing(window=part.duration)).views
        (clip,) = view_clips(video, views[:1], config)
    assert clip is not None
    return clip


class Trial:
    """Clips, the answers to them, and what deleting patches does to these."""

    def __init__(self, classifier: Classifier, clips: Tensor) -> None:
        self.model, self.clips = classifier.model.eval(), clips
        self.side = classifier.model.config.patch
        logits = self.logits(clips)
        self.classes = logits.argmax(1)
        self.score = self.of(logits).mean()
        count, _, frames, height, width = clips.shape
        self.grid = (count, frames, height // self.side, width // self.side)
        color, mean = clips.mean((2, 3, 4), keepdim=True), clips.mean(2, keepdim=True)
        self.ways = {"painted": color.expand_as(clips), "stilled": mean.expand_as(clips)}

    @torch.no_grad()
    def logits(self, clips: Tensor) -> Tensor:
        """[N, K]"""
        return torch.cat([self.model(some) for some in clips.split(BATCH)])

    def of(self, logits: Tensor) -> Tensor:
        """The probability of the class that each clip was given at first, [N]."""
        return logits.softmax(1).gather(1, self.classes[:, None])[:, 0]

    def without(self, gone: Tensor, way: str) -> Tensor:
        """Logits of the clips without the patches that `gone`, bool [N, T, h, w], names."""
        pixels = gone.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3)[:, None]
        return self.logits(torch.where(pixels, self.ways[way], self.clips))

    def curve(self, heat: Tensor, way: str) -> Tensor:
        """Scores [5, N] without the hottest patches."""
        order = heat.flatten(1).argsort(1, descending=True)
        found = []
        for share in SHARES:
            gone = torch.zeros_like(order, dtype=torch.bool)
            gone.scatter_(1, order[:, : round(share * order.shape[1])], True)
            found.append(self.of(self.without(gone.view(self.grid), way)))
        return torch.stack(found)

    def heats(self, slow: bool) -> Iterator[tuple[str, Tensor]]:
        """Every method and its heat [N, T, h, w]."""
        pairs = zip(self.clips.split(BATCH), self.classes.split(BATCH), strict=True)
        yield "relevance", torch.cat([relevance(self.model, *pair).patches for pair in pairs])
        some = self.clips.split(BATCH)
        yield "rollout", torch.cat([rollout(self.model, part).patches for part in some])
        if slow:
            yield "occlusion", self.covered()

    def covered(self) -> Tensor:
        """What the logit loses without one patch, painted."""
        before = self.logits(self.clips).gather(1, self.classes[:, None])[:, 0]
        losses = torch.zeros(self.grid)
        for place in torch.ones(self.grid[1:]).nonzero().tolist():
            gone = torch.zeros(self.grid, dtype=torch.bool)
            gone[(slice(None), *place)] = True
            after = self.without(gone, "painted").gather(1, self.classes[:, None])[:, 0]
            losses[(slice(None), *place)] = before - after
        return losses


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", metavar="motion | MODEL TABLE")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--occlusion", action="store_true", help="it, too: a pass for each patch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    areas: dict[tuple[str, str], list[Tensor]] = {}
    sets = motion(options.clips) if options.what == ["motion"] else trained(options.what)
    scores = []
    for number, (classifier, clips) in enumerate(sets):
        trial = Trial(classifier, clips)
        scores.append(trial.score)
        generator = torch.Generator().manual_seed(number)
        draws = [torch.rand(trial.grid, generator=generator) for _ in range(DRAWS)]
        chance = {
            way: torch.stack([trial.curve(draw, way) for draw in draws]).mean(0)
            for way in trial.ways
        }
        for method, heat in trial.heats(options.occlusion):
            for way in trial.ways:
                area = (chance[way] - trial.curve(heat, way)).mean(0)
                areas.setdefault((method, way), []).append(area)
    print(f"score of the predicted class, nothing deleted: {torch.stack(scores).mean():.3f}")
    for (method, way), parts in areas.items():
        area = torch.cat(parts)
        error = area.std() / len(area) ** 0.5
        better = (area > 0).float().mean()
        print(
            f"{method:<10} {way:<8} area {area.mean():+.3f} +- {error:.3f}  "
            f"faster than random in {100 * better:.0f} % of {len(area)} clips",
            flush=True,
        )


if __name__ == "__main__":
    main()

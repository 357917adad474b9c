"""How good a classifier is on labelled video files: every file once, in the views asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn.config import ClipConfig, ViewConfig
from vidattn.config.labels import normalize_label
from vidattn.data import plan
from vidattn.data.clip_dataset import EvaluationVideos, Planner, UnreadableClip
from vidattn.data.labeled_set import LabeledSet
from vidattn.errors import DataError
from vidattn.evaluation.classification import ClassificationMetrics, measure, measure_predictions
from vidattn.evaluation.predictions import Predictions
from vidattn.inference.scorer import Scorer, precision_of
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.distributed import World
from vidattn.types import Item, View, Window
from vidattn.video import Limits

SHOWN = 5
Times = NDArray[np.float64]


@dataclass(frozen=True)
class VideoPredicted:
    """One video is done."""

    number: int
    """Its place in the set."""
    path: str
    """With the part of the file that counts, if not all does: "film.mp4#t=1.5,4" (seconds)."""
    label: int
    """The true class, as the classifier numbers it."""
    logits: NDArray[np.float32] | None
    """Averaged over the views [K], see `Classifier.averaged`; None when it does not decode."""
    scores: NDArray[np.float32] | None
    """Probabilities [K]."""
    failure: UnreadableClip | None = None


@dataclass(frozen=True)
class DatasetEvaluation:
    """The scores over all videos that decode; shares from 0 to 1."""

    answers: Predictions

    @property
    def scores(self) -> ClassificationMetrics:
        """The figures; videos that failed are not counted and not replaced."""
        return measure(self.answers.logits, self.answers.labels, self.answers.temperature)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return measure_predictions(self.answers)


class DatasetEvaluator:
    """One classifier, one labelled set, and one way to look at its videos.

    Every video is answered by itself: its answer is the same to the bit whatever else is in the
    set and whoever (which process of how many) answers what.

    sampling: as of `vidattn.classify`; "auto" is how the weights were trained (`ClipConfig.drawn`):
    dense clips, or frames spread over the video. frames: as of `vidattn.classify`. limits: of every
    video. Raises DataError when the set has classes that the classifier does not know.
    """

    def __init__(
        self,
        classifier: Classifier,
        source: LabeledSet,
        views: ViewConfig,
        *,
        sampling: plan.Sampling = "auto",
        frames: int | None = None,
        runtime: Runtime = Runtime(),
        limits: Limits | None = None,
    ) -> None:
        clip = classifier.clip
        mode = sampling_of(clip) if sampling == "auto" else sampling
        self.classifier, self.source, self.runtime = classifier, source, runtime
        self.limits = limits
        self.truth = align_labels(source.labels, classifier.labels, source, classifier.card.name)
        self.planner = make_planner(clip, views, mode, frames)
        self.settings: dict[str, Any] = {
            "views": f"{views.spatial}x{views.clips}",
            "sampling": mode,
            "frames": frames or clip.frames,
            **({"step_seconds": round(clip.step_seconds, 6)} if mode == "dense" else {}),
            "short_side": clip.short_side,
            "crop": clip.crop,
            "averaging": classifier.averaging,
            "precision": precision_of(classifier, runtime),
            "reader": runtime.reader,
        }

    def videos(self, share: tuple[int, int] = (0, 1), workers: int = 0) -> Iterator[VideoPredicted]:
        """The answers to every n-th video beginning with number r, for share (r, n).

        workers: processes that read videos ahead.
        """
        scorer = Scorer(self.classifier, self.runtime)
        clips = EvaluationVideos(
            self.source, self.classifier.clip, self.planner, self.runtime.reader, self.limits
        )
        numbers = range(share[0], len(self.source.items), share[1])
        for viewed in clips.all(workers, numbers):
            item = self.source.items[viewed.number]
            path, label = _named(item), int(self.truth[item.label])
            if viewed.clips is None:
                yield VideoPredicted(viewed.number, path, label, None, None, viewed.failure)
                continue
            logits = _logits(scorer, viewed.clips)
            mean, scores = self.classifier.averaged(logits), self.classifier.scores(logits)
            yield VideoPredicted(viewed.number, path, label, mean.numpy(), scores.numpy())

    def shared(self, world: World, videos: Iterable[VideoPredicted]) -> list[VideoPredicted]:
        """The answers of all processes, known to each; every process must ask, with its own."""
        mine = list(videos)
        if world.size == 1:
            return mine
        facts = world.all_gather_objects([[v.number, v.path, v.label, v.failure] for v in mine])
        none = [np.zeros((0, 2, len(self.classifier.labels)), np.float32)]
        both = [(v.logits, v.scores) for v in mine]
        rows = [np.stack([a, b])[None] for a, b in both if a is not None and b is not None]
        answers = iter(world.all_gather(torch.from_numpy(np.concatenate(none + rows))).numpy())
        return [
            VideoPredicted(number, path, label, None, None, UnreadableClip(*failure))
            if failure
            else VideoPredicted(number, path, label, *next(answers))
            for number, path, label, failure in facts
        ]

    def collected(self, videos: Iterable[VideoPredicted]) -> Predictions:
        """All answers in the order of the set, whatever theirs; what failed is listed.

        Raises DataError when no video could be read.
        """
        ordered = sorted(videos, key=lambda video: video.number)
        failed = [video.failure for video in ordered if video.failure is not None]
        answered = [video for video in ordered if video.logits is not None]
        if not answered:
            raise DataError(
                f"{self.source.root}: of {count_noun(len(ordered), 'video')} none could be read"
                + (f"; the first: {failed[0].message}" if failed else "")
            )
        card = self.classifier.card
        return Predictions(
            self.classifier.labels,
            tuple(video.path for video in answered),
            np.array([video.label for video in answered], np.int64),
            np.stack([video.logits for video in answered if video.logits is not None]),
            self.classifier.temperature,
            {
                "model": card.name,
                "sha256": card.sha256,
                "dataset": self.source.name,
                "videos": len(ordered),
                "failed": [failure._asdict() for failure in failed],
                "settings": self.settings,
            },
        )


def evaluate_dataset(
    classifier: Classifier,
    source: LabeledSet,
    views: ViewConfig,
    *,
    sampling: plan.Sampling = "auto",
    frames: int | None = None,
    runtime: Runtime = Runtime(),
    workers: int = 0,
) -> Iterator[VideoPredicted | DatasetEvaluation]:
    """Answer every video of a set once: VideoScored for each, then one SetEvaluation.

    Logits or probabilities of all views of a video are averaged, as the weights want. Videos that
    do not decode are listed, left out of the scores and never replaced. Arguments and errors as of
    `DatasetEvaluator` and its methods.
    """
    task = DatasetEvaluator(
        classifier, source, views, sampling=sampling, frames=frames, runtime=runtime
    )
    done: list[VideoPredicted] = []
    for video in task.videos(workers=workers):
        done.append(video)
        yield video
    yield DatasetEvaluation(task.collected(done))


def sampling_of(clip: ClipConfig) -> Literal["uniform", "dense"]:
    """How a clip is cut out of a trimmed video, so that it looks as in training."""
    return "uniform" if clip.train_sampling == "bins" else "dense"


def make_planner(
    clip: ClipConfig,
    views: ViewConfig,
    sampling: plan.Sampling = "auto",
    frames: int | None = None,
) -> Planner:
    """What plans the views of each video of a set; arguments as of `evaluate_dataset`."""
    mode = sampling_of(clip) if sampling == "auto" else sampling
    return partial(_planned, clip=clip, mode=mode, views=views, frames=frames)


def _planned(
    times: Times,
    region: Window,
    *,
    clip: ClipConfig,
    mode: Literal["uniform", "dense"],
    views: ViewConfig,
    frames: int | None,
) -> Sequence[View]:
    """The views of one video, as `vidattn.classify` has them."""
    return plan.plan_views(times, region, clip, frames=frames, mode=mode, views=views).views


def align_labels(
    labels: Sequence[str], known: Sequence[str], source: LabeledSet, model: str
) -> NDArray[np.int64]:
    """The classifier's number of each class of a set, by name: int64 [len(labels)].

    Case, underscores and spaces do not matter. The classifier may know more classes. Only classes
    that videos of the set have must be known; DataError lists those that are not.
    """
    numbers = {normalize_label(label): number for number, label in enumerate(known)}
    used = {item.label for item in source.items}
    strange = [labels[i] for i in sorted(used) if normalize_label(labels[i]) not in numbers]
    if strange:
        own = {normalize_label(label) for label in labels}
        others = [label for label in known if normalize_label(label) not in own]
        raise DataError(
            f"{source.name}: {len(strange)} of its {len(used)} classes are unknown to {model}: "
            f"{_some(strange)}; the model also has: {_some(others) if others else 'no others'}",
            hint="name a model of these classes with -m, or train one: vidattn train --dataset ...",
        )
    return np.array([numbers.get(normalize_label(label), -1) for label in labels], np.int64)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _named(item: Item) -> str:
    """The path of an item, and the part of the file it is (as W3C media fragments say it)."""
    if item.window is None:
        return item.path
    return f"{item.path}#t={item.window.start:.10g},{item.window.stop:.10g}"


def _logits(scorer: Scorer, clips: Tensor) -> Tensor:
    """Logits [V, K] of clips [V, 3, T, H, W], in the batches that `vidattn.classify` has."""
    logits: list[Tensor] = []
    size = scorer.batch_size(clips.shape[2])
    for start in range(0, len(clips), size):
        logits += scorer(list(clips[start : start + size]))
    return torch.stack(logits)

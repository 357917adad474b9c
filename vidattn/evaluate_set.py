"""How good a classifier is on labelled video files: every file once, in the views asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidattn import plan
from vidattn.classes import canonical
from vidattn.config import ClipConfig, ViewConfig
from vidattn.data.clips import Failure, Planner, ViewedVideos
from vidattn.data.labelled import LabelledSet
from vidattn.device import Runtime
from vidattn.errors import DataError
from vidattn.evaluate import Evaluation, scored
from vidattn.models.classifier import Classifier
from vidattn.scorer import Scorer
from vidattn.types import View, Window

SHOWN = 5
Times = NDArray[np.float64]


@dataclass(frozen=True)
class VideoScored:
    """One video is done. `scores`: probabilities [K], or None when it does not decode."""

    path: str
    label: int
    """The true class, as the classifier numbers it."""
    scores: NDArray[np.float32] | None
    failure: Failure | None = None


@dataclass(frozen=True)
class SetEvaluation:
    """The scores over all videos that decode; shares from 0 to 1."""

    scores: Evaluation
    labels: tuple[str, ...]
    """Of the classifier."""
    videos: int
    """All of the set, also those that failed."""
    failed: tuple[Failure, ...]
    """Not counted in the scores, and not replaced."""
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = self.scores.confusion
        totals = counts.sum(1)
        per_class = [
            {"label": label, "videos": int(totals[i]), "right": int(counts[i, i])}
            for i, label in enumerate(self.labels)
            if totals[i]
        ]
        plain = self.scores.to_dict(self.labels)
        scored_videos = plain.pop("clips")
        return {
            **plain,
            "videos": self.videos,
            "scored": scored_videos,
            "failed": [failure._asdict() for failure in self.failed],
            "settings": self.settings,
            "per_class": per_class,
        }


def evaluate_set(
    classifier: Classifier,
    source: LabelledSet,
    views: ViewConfig,
    *,
    sampling: Literal["auto", "uniform", "dense"] = "auto",
    runtime: Runtime = Runtime(),
    workers: int = 0,
) -> Iterator[VideoScored | SetEvaluation]:
    """Answer every video of a set once: VideoScored for each, then one SetEvaluation.

    sampling: as of `vidattn.classify`; "auto" is how the weights were trained (`ClipConfig.drawn`):
    dense clips, or frames spread over the video. Logits or probabilities of all views of a video
    are averaged, as the weights want. Videos that do not decode are listed, left out of the scores
    and never replaced. workers: processes that read videos ahead.

    Raises DataError when the set has classes that the classifier does not know, or no video could
    be read.
    """
    truth = aligned(source.labels, classifier.labels, source, classifier.card.name)
    mode = sampling_of(classifier.clip) if sampling == "auto" else sampling
    planner = planner_of(classifier.clip, views, mode)
    scorer = Scorer(classifier, runtime)
    videos = ViewedVideos(source, classifier.clip, planner, runtime.reader)
    failed: list[Failure] = []
    answers: list[NDArray[np.float32]] = []
    labels: list[int] = []
    for viewed in videos.all(workers):
        item = source.items[viewed.number]
        label = truth[item.label]
        scores = None
        if viewed.clips is None:
            assert viewed.failure is not None
            failed.append(viewed.failure)
        else:
            scores = _answer(classifier, scorer, viewed.clips, runtime.batch_size)
            answers.append(scores)
            labels.append(label)
        yield VideoScored(item.path, label, scores, viewed.failure)
    if not answers:
        raise DataError(
            f"{source.root}: none of {len(source.items)} videos could be read"
            + (f"; the first: {failed[0].message}" if failed else "")
        )
    settings = {
        "views": f"{views.spatial}x{views.clips}",
        "sampling": mode,
        "frames": classifier.clip.frames,
        "step_seconds": round(classifier.clip.step_seconds, 6),
        "short_side": classifier.clip.short_side,
        "averaging": classifier.averaging,
        "precision": scorer.precision,
    }
    found = scored(np.stack(answers), np.array(labels))
    yield SetEvaluation(found, classifier.labels, len(source.items), tuple(failed), settings)


def sampling_of(clip: ClipConfig) -> Literal["uniform", "dense"]:
    """How a clip is cut out of a trimmed video, so that it looks as in training."""
    return "uniform" if clip.drawn == "bins" else "dense"


def planner_of(
    clip: ClipConfig, views: ViewConfig, sampling: Literal["auto", "uniform", "dense"] = "auto"
) -> Planner:
    """What plans the views of each video of a set; arguments as of `evaluate_set`."""
    mode = sampling_of(clip) if sampling == "auto" else sampling
    return partial(_planned, clip=clip, mode=mode, views=views)


def _planned(
    times: Times,
    region: Window,
    *,
    clip: ClipConfig,
    mode: Literal["uniform", "dense"],
    views: ViewConfig,
) -> Sequence[View]:
    """The views of one video, as `vidattn.classify` has them."""
    return plan.plan_views(times, region, clip, mode=mode, views=views).views


def aligned(
    labels: Sequence[str], known: Sequence[str], source: LabelledSet, model: str
) -> NDArray[np.int64]:
    """The classifier's number of each class of a set, by name: int64 [len(labels)].

    Case, underscores and spaces do not matter. The classifier may know more classes. Only classes
    that videos of the set have must be known; DataError lists those that are not.
    """
    numbers = {canonical(label): number for number, label in enumerate(known)}
    used = {item.label for item in source.items}
    strange = [labels[i] for i in sorted(used) if canonical(labels[i]) not in numbers]
    if strange:
        own = {canonical(label) for label in labels}
        others = [label for label in known if canonical(label) not in own]
        raise DataError(
            f"{source.name}: {len(strange)} of its {len(used)} classes are unknown to {model}: "
            f"{_some(strange)}; the model also has: {_some(others) if others else 'no others'}",
            hint="name a model of these classes with -m, or train one: vidattn train --dataset ...",
        )
    return np.array([numbers.get(canonical(label), -1) for label in labels], np.int64)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _answer(
    classifier: Classifier, scorer: Scorer, clips: Tensor, batch_size: int
) -> NDArray[np.float32]:
    """Probabilities [K] from clips [V, 3, T, H, W]."""
    logits: list[Tensor] = []
    for start in range(0, len(clips), batch_size):
        logits += scorer(list(clips[start : start + batch_size]))
    scores: NDArray[np.float32] = classifier.scores(torch.stack(logits)).numpy()
    return scores

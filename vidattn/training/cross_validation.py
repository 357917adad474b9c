"""Which head is best, how good it is, and what leaving out blank videos costs: cross-validation in
whole groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.config import Activation, TaughtConfig
from vidattn.config.labels import find_blank
from vidattn.evaluation.label_metrics import (
    LabelMetrics,
    best_thresholds,
    gain_interval,
    measure_labels,
    ranked_precision,
)
from vidattn.evaluation.metrics import best_temperature, exact_interval, log_probabilities, mean_nll
from vidattn.inference.whole_video import DIGITS, blank_risk
from vidattn.io.files import sha256
from vidattn.training.heads import (
    HeadChoice,
    Shape,
    TrainingWindows,
    apply_head,
    fit_head,
    list_choices,
)
from vidattn.training.taught_data import LabeledWindows

Floats = NDArray[np.floating]
Rows = NDArray[np.int64]
PART = 0.5
"""The share of the samples behind the second point of the learning curve."""
MOST_FOLDS = 5
FEW_GROUPS = 8
"""Up to so many groups are a fold each."""
LOSS = 0.05
"""The loss for which the costs are measured."""


@dataclass(frozen=True)
class HeadTrial:
    """What the backbone sees, and a head."""

    view: str
    """A name of the views that are compared, such as "whole" or "motion"."""
    choice: HeadChoice

    def __str__(self) -> str:
        return f"{self.choice}, {self.view}"


@dataclass(frozen=True, eq=False)
class Study:
    """Windows of all samples in one or several views, and how they are judged.

    The unit of a metric is a sample, the mean of the logits of its windows, or a window where
    several labels hold at once.
    """

    views: Mapping[str, tuple[TaughtConfig, Shape, LabeledWindows]]
    groups: tuple[str, ...]
    """The group of each sample."""
    activation: Activation
    balance: bool

    def windows(self, view: str) -> LabeledWindows:
        """Those of a view."""
        return self.views[view][2]

    def units(self, view: str) -> Rows:
        """The number of the unit of each window, from 0 on."""
        samples = self.windows(view).samples
        if self.activation == "sigmoid":
            return np.arange(len(samples))
        return np.unique(samples, return_inverse=True)[1]

    def firsts(self, view: str) -> Rows:
        """The first window of each unit."""
        return np.unique(self.units(view), return_index=True)[1]

    def truth(self, view: str) -> NDArray[np.bool_]:
        """[units, K]"""
        return self.windows(view).truth[self.firsts(view)]

    def unit_groups(self, view: str) -> list[str]:
        """The group of each unit."""
        return [self.groups[n] for n in self.windows(view).samples[self.firsts(view)]]

    def fit(self, candidate: HeadTrial, rows: Rows) -> torch.nn.Module:
        """A head fitted to some windows of the view; every unit weighs the same."""
        return self._fit(candidate, self._select(candidate.view, rows))

    def _select(self, view: str, rows: Rows) -> TrainingWindows:
        windows, units = self.windows(view), self.units(view)
        weights = 1 / np.bincount(units)[units]
        return TrainingWindows(
            windows.vectors,
            torch.from_numpy(windows.truth).float(),
            torch.from_numpy(weights).float(),
            self.activation,
            self.balance,
        ).select(rows)

    def _fit(self, candidate: HeadTrial, training: TrainingWindows) -> torch.nn.Module:
        config, shape, windows = self.views[candidate.view]
        chosen = candidate.choice.configure(config, len(training.vectors))
        own = replace(chosen, classes=windows.truth.shape[1])
        return fit_head(candidate.choice, own, shape, training)

    def predict(self, candidate: HeadTrial, folds: Rows, keep: NDArray[np.bool_]) -> Floats:
        """As `predict_each`, of one head."""
        *_, (_, found) = self.predict_each([candidate], folds, keep)
        return found

    def predict_each(
        self, candidates: Sequence[HeadTrial], folds: Rows, keep: NDArray[np.bool_]
    ) -> Iterator[tuple[HeadTrial, Floats]]:
        """Logits [units, K] by heads of one view that were fitted to the other folds; a head comes
        once for each fold, whole in the end. folds: of each unit; keep: the units that may be
        learned from."""
        view = candidates[0].view
        units, vectors = self.units(view), self.windows(view).vectors
        counts = np.bincount(units)[:, None]
        shape = len(folds), self.windows(view).truth.shape[1]
        found = {candidate: np.zeros(shape) for candidate in candidates}
        for fold in np.unique(folds):
            asked, others = folds == fold, folds != fold
            learned = others & keep if (others & keep).any() else others
            training = self._select(view, np.flatnonzero(learned[units]))
            rows = np.flatnonzero(asked[units])
            for candidate, own in found.items():
                head = self._fit(candidate, training)
                logits = apply_head(head, vectors[torch.from_numpy(rows)])
                np.add.at(own, units[rows], logits / counts[units[rows]])
                yield candidate, own

    def judge(
        self, candidate: HeadTrial, learned: NDArray[np.bool_], asked: NDArray[np.bool_]
    ) -> tuple[Rows, Floats]:
        """The unit and the logits [n, K] of each window of the units that are asked for, by a head
        that was fitted to those that are learned from."""
        units, vectors = self.units(candidate.view), self.windows(candidate.view).vectors
        head = self.fit(candidate, np.flatnonzero(learned[units]))
        rows = np.flatnonzero(asked[units])
        return units[rows], apply_head(head, vectors[torch.from_numpy(rows)])

    @property
    def metric(self) -> str:
        """The name of the metric that `score` is about."""
        return "map" if self.activation == "sigmoid" else "mean_class"

    def score(self, logits: Floats, truth: NDArray[np.bool_]) -> float:
        """How good logits [n, K] are: mean recall of the classes, or mean average precision; of
        equals, the likelier."""
        if self.activation == "sigmoid":
            return float(np.nanmean(ranked_precision(logits, truth)))
        counts = truth.sum(0)
        right = truth[np.arange(len(truth)), logits.argmax(1)]
        recalls = (truth * right[:, None]).sum(0)[counts > 0] / counts[counts > 0]
        cooled = log_probabilities(logits, best_temperature(logits, truth.argmax(1)))
        loss = mean_nll(cooled, truth.argmax(1))
        return float(recalls.mean() - 1e-3 * min(loss, 10.0))


@dataclass(frozen=True, eq=False)
class FoldJudge:
    """What is best on all other folds."""

    trial: HeadTrial
    temperature: float
    units: NDArray[np.bool_]
    """Of the fold, which it judges."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The result of a cross-validation."""

    best: HeadTrial
    scores: Mapping[str, float]
    """Of every candidate, on all samples."""
    metrics: LabelMetrics
    """Of the head, temperature and thresholds that the other folds choose, for each fold."""
    probabilities: Floats
    """[units, K], of heads that have not seen them."""
    predicted: NDArray[np.bool_]
    temperature: float
    thresholds: tuple[float, ...]
    """Of all folds; empty for softmax."""
    judges: tuple[FoldJudge, ...]
    """Of each fold, behind the probabilities."""
    half: LabelMetrics
    """Metrics of heads that learned from half of the samples."""
    gain_interval: tuple[float, float]
    """By how much those of all samples are better, with 95 %: in the metric that `Study.score`
    is about."""


def cross_validate(
    study: Study, labels: Sequence[str]
) -> Iterator[tuple[int, int] | CrossValidation]:
    """Compare all heads of all views: how many of how many steps are done, and the result."""
    first = next(iter(study.views))
    truth, groups = study.truth(first), study.unit_groups(first)
    folds, everything = fold_groups(groups, truth), np.ones(len(truth), np.bool_)
    logits: dict[HeadTrial, Floats] = {}
    views = [[*_candidates(study, view)] for view in study.views]
    done, total = 0, (sum(map(len, views)) + 1) * len(np.unique(folds))
    for candidates in views:
        for candidate, found in study.predict_each(candidates, folds, everything):
            yield done, total
            logits[candidate], done = found, done + 1
    yield done, total
    scores = {one: study.score(found, truth) for one, found in logits.items()}
    best = max(scores, key=lambda one: scores[one])
    judges, shares, predicted = _honest(study, logits, folds, truth)
    decided = shares, predicted
    temperature, thresholds = _calibrate(study, logits[best], truth)
    half = study.predict(best, folds, _half(truth, groups))
    halves = _decide(study, half, temperature, thresholds)
    yield CrossValidation(
        best,
        {str(one): score for one, score in scores.items()},
        measure_labels(labels, *decided, truth, groups),
        *decided,
        temperature,
        thresholds,
        judges,
        measure_labels(labels, *halves, truth, groups),
        gain_interval(study.metric, decided, halves, truth, groups),
    )


def _candidates(study: Study, view: str) -> Iterator[HeadTrial]:
    config, _, windows = study.views[view]
    for choice in list_choices(config, len(windows.samples)):
        yield HeadTrial(view, choice)


def _honest(
    study: Study, logits: Mapping[HeadTrial, Floats], folds: Rows, truth: NDArray[np.bool_]
) -> tuple[tuple[FoldJudge, ...], Floats, NDArray[np.bool_]]:
    """What is best on the others for each fold, and its probabilities and predictions there, so
    that the choice does not flatter the metrics."""
    scores, predicted = np.zeros(truth.shape), np.zeros(truth.shape, np.bool_)
    judges = list[FoldJudge]()
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        best = max(logits, key=lambda one: study.score(logits[one][others], truth[others]))
        fitted = _calibrate(study, logits[best][others], truth[others])
        scores[own], predicted[own] = _decide(study, logits[best][own], *fitted)
        judges.append(FoldJudge(best, fitted[0], own))
    return tuple(judges), scores, predicted


def _calibrate(
    study: Study, logits: Floats, truth: NDArray[np.bool_]
) -> tuple[float, tuple[float, ...]]:
    """Temperature and thresholds for logits."""
    if study.activation == "softmax":
        return best_temperature(logits, truth.argmax(1)), ()
    thresholds = best_thresholds(_sigmoid(logits), truth)
    return 1.0, tuple(round(float(one), 4) for one in thresholds)


def _decide(
    study: Study, logits: Floats, temperature: float, thresholds: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Probabilities and predictions [n, K]."""
    if study.activation == "sigmoid":
        scores = _sigmoid(logits / temperature)
        return scores, scores >= np.asarray(thresholds)
    best = logits.argmax(1)
    return np.exp(log_probabilities(logits, temperature)), np.eye(logits.shape[1], dtype=bool)[best]


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))


def _half(truth: NDArray[np.bool_], groups: Sequence[str]) -> NDArray[np.bool_]:
    """Every second unit of each first label, in the order of a hash: groups stay represented."""
    kept = np.zeros(len(truth), np.bool_)
    order = sorted(range(len(truth)), key=lambda i: (truth[i].argmax(), sha256(f"{groups[i]} {i}")))
    kept[order[:: round(1 / PART)]] = True
    return kept


def fold_groups(groups: Sequence[str], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The fold of each sample, [N], from 0 on: samples of a group share one.

    truth: [N, K], their labels. One group after another, the largest first, goes where the counts
    of its labels are lowest. Depends on names and labels alone, not on the order of the samples.
    """
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    folds = len(names) if len(names) <= FEW_GROUPS else MOST_FOLDS
    counts = np.zeros((len(names), truth.shape[1]))
    np.add.at(counts, number, truth)
    shares = counts / np.maximum(counts.sum(0), 1)
    order = sorted(range(len(names)), key=lambda n: (-counts[n].sum(), sha256(str(names[n]))))
    filled, place = np.zeros((folds, truth.shape[1])), np.zeros(len(names), np.int64)
    for n in order:
        cost = ((filled + shares[n]) ** 2 - filled**2).sum(1) + 1e-6 * filled.sum(1)
        place[n] = int(cost.argmin())
        filled[place[n]] += shares[n]
    found: NDArray[np.int64] = place[number]
    return found


@dataclass(frozen=True, eq=False)
class Activities:
    """How active samples look to heads that have not seen them."""

    active: NDArray[np.float64]
    """Of those in which something happens."""
    blank: NDArray[np.float64]
    groups: NDArray[np.str_]
    """Of the active ones."""

    @property
    def examples(self) -> tuple[float, ...]:
        """Those of samples in which something happens, rising."""
        return tuple(sorted(self.active.tolist()))

    def report(self) -> dict[str, Any]:
        """What is lost of the samples in which something happens, and found of the blank ones, at
        LOSS. The threshold of each group comes from the others."""
        risks = [
            blank_risk(self.active[self.groups != group].tolist(), activity)
            for activity, group in zip(self.active, self.groups, strict=True)
        ]
        lost = sum(risk <= LOSS for risk in risks)
        removed = sum(blank_risk(self.examples, activity) <= LOSS for activity in self.blank)
        return {
            "loss": LOSS,
            "active": len(self.active),
            "lost": lost,
            "lost_interval": list(exact_interval(lost, len(self.active))),
            "blank": len(self.blank),
            "removed": removed,
        }


def measure_activities(
    study: Study, verdict: CrossValidation, labels: Sequence[str]
) -> Activities | None:
    """The activity of every sample, as of `measure_activity`; None without a class of blank ones,
    and for models of several labels at once."""
    label = find_blank(labels)
    if label is None or study.activation != "softmax":
        return None
    truth = study.truth(verdict.best.view)[:, label]
    activity = np.zeros(len(truth))
    for judge in verdict.judges:
        units, logits = study.judge(judge.trial, ~judge.units, judge.units)
        blank = np.exp(log_probabilities(logits, judge.temperature))[:, label]
        np.maximum.at(activity, units, (1 - blank).clip(0, 1))
    activity = np.round(activity, DIGITS)
    groups = np.array(study.unit_groups(verdict.best.view))
    return Activities(activity[~truth], activity[truth], groups[~truth])

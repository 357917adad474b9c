"""Metrics of the predictions of a classifier: accuracy, confusion and calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import DataError, UsageError
from vidattn.evaluation import metrics
from vidattn.evaluation.label_metrics import measure_labels
from vidattn.evaluation.predictions import Predictions
from vidattn.io.text import describe_interval

PAIRS = 20
"""Number of the most frequent confusions that JSON lists beside the whole matrix."""
SHARES = ("top1", "top5", "mean_class", "ece")
"""Metrics from 0 to 1, shown in percent."""
NAMES = (*SHARES, "nll", "brier")


@dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of a set of predictions."""

    top1: float
    top5: float
    mean_class: float
    confusion: NDArray[np.int64]
    """[K, K]: rows are the true classes, columns the predicted ones."""
    clips: int
    ece: float
    """Expected calibration error, see `metrics.calibration_error`."""
    nll: float
    brier: float
    temperature: float = 1.0
    """Divides the logits; changes the last three metrics only."""

    @property
    def majority(self) -> float:
        """The top-1 of always guessing the class with the most samples."""
        return float(self.confusion.sum(1).max() / self.clips)

    @property
    def top1_interval(self) -> tuple[float, float]:
        """Where the top-1 lies with 95 %, as far as the number of samples goes."""
        return metrics.exact_interval(round(self.top1 * self.clips), self.clips)

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON values, with the names of the classes."""
        totals = self.confusion.sum(1)
        pairs = metrics.most_confused(self.confusion, PAIRS)
        return {
            **{name: getattr(self, name) for name in NAMES},
            "top1_interval": list(self.top1_interval),
            "majority": self.majority,
            "temperature": self.temperature,
            "clips": self.clips,
            "labels": list(labels),
            "per_class": [
                {"label": label, "videos": int(total), "right": int(self.confusion[i, i])}
                for i, (label, total) in enumerate(zip(labels, totals, strict=True))
                if total
            ],
            "confused": [
                {"label": labels[i], "taken_for": labels[j], "count": count}
                for i, j, count in pairs
            ],
            "confusion": self.confusion.tolist(),
        }


def describe_top1(top1: float, clips: int, majority: float) -> str:
    """An accuracy as a person can use it: of how many, how sure, and beside guessing."""
    low, high = metrics.exact_interval(round(top1 * clips), clips)
    guessing = f"always guessing the largest class: {100 * majority:.1f} %"
    no_better = ", which may be as good" if low <= majority else ""
    return (
        f"{100 * top1:.1f} % of {clips}, between "
        f"{describe_interval(top1, low, high, 'and')} (95 %); {guessing}{no_better}"
    )


def measure(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float = 1.0
) -> ClassificationMetrics:
    """The metrics of logits [N, K] against labels [N]. Raises DataError when N is 0."""
    if len(labels) == 0:
        raise DataError("nothing to evaluate: the dataset has no clips")
    counts = metrics.confusion(metrics.predicted_classes(logits, labels), labels, logits.shape[1])
    logs = metrics.log_probabilities(logits, temperature)
    scores = np.exp(logs)
    return ClassificationMetrics(
        top1=metrics.top_k(logits, labels, 1),
        top5=metrics.top_k(logits, labels, 5),
        mean_class=metrics.mean_class(counts),
        confusion=counts,
        clips=len(labels),
        ece=metrics.calibration_error(scores, labels),
        nll=metrics.mean_nll(logs, labels),
        brier=metrics.brier(scores, labels),
        temperature=temperature,
    )


def measure_predictions(predictions: Predictions) -> dict[str, Any]:
    """All metrics of predictions, and what they are about, as JSON values: those of one label a
    sample, or, where a sample may have several, those of each label as "several".

    The same to the digit for a dump of the predictions. Raises DataError when there are none.
    """
    about, counted = dict(predictions.about), len(predictions.labels)
    if several := about.pop("several", None):
        plain: dict[str, Any] = {
            "temperature": predictions.temperature,
            "labels": list(predictions.classes),
            "several": _measure_several(predictions, several),
        }
    else:
        metrics_of = measure(predictions.logits, predictions.labels, predictions.temperature)
        plain = metrics_of.to_dict(predictions.classes)
        del plain["clips"]
    failed = about.pop("failed", [])
    total = about.pop("videos", counted + len(failed))
    head = {name: about.pop(name, "") for name in ("model", "sha256", "dataset")}
    counts = {"unit": about.pop("unit", "video"), "videos": total, "scored": counted}
    return {**head, **plain, **counts, "failed": failed, **about}


def _measure_several(predictions: Predictions, several: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of each label where several may hold. several: as `eval` adds it to predictions."""
    logits = predictions.logits.astype(np.float64) / predictions.temperature
    truth = np.zeros(logits.shape, dtype=np.bool_)
    for row, labels in zip(truth, several["labels"], strict=True):
        row[labels] = True
    if several["activation"] == "sigmoid":
        scores = 1 / (1 + np.exp(-logits.clip(-50, 50)))
        predicted = scores >= np.array(several["thresholds"] or 0.5)
    else:
        scores = np.exp(metrics.log_probabilities(logits))
        predicted = np.eye(logits.shape[1], dtype=np.bool_)[logits.argmax(1)]
    found = measure_labels(predictions.classes, scores, predicted, truth, several["groups"])
    return found.to_dict()


def require_softmax(activation: str) -> None:
    """Raise UsageError for a model of labels that may hold at once, which has thresholds."""
    if activation == "sigmoid":
        raise UsageError(
            "--fit-temperature: labels of this model may hold at once, and its thresholds are for "
            "the temperature that it has",
            hint="vidattn teach fits both",
        )


def fit_temperature(predictions: Predictions) -> dict[str, Any]:
    """The temperature with the least nll, and the metrics it changes, before and after.

    JSON values: temperature, and a pair each for ece, nll and brier. Fitted and measured on the
    same videos, so slightly optimistic. Raises UsageError as `require_softmax`.
    """
    require_softmax(predictions.about.get("several", {}).get("activation", "softmax"))
    fitted = metrics.best_temperature(predictions.logits, predictions.labels)
    before, after = (measure(predictions.logits, predictions.labels, t) for t in (1.0, fitted))
    pairs = {name: [getattr(e, name) for e in (before, after)] for name in ("ece", "nll", "brier")}
    at_edge = any(math.isclose(fitted, t) for t in (metrics.COLDEST, metrics.HOTTEST))
    return {"temperature": fitted, "at_edge": at_edge, **pairs}

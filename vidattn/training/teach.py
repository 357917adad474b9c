"""A model of one's own classes from a few examples: a frozen backbone, and a head fitted to it.

`teach` yields what happens and prints nothing; `vidattn.teach` is the same as one call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.config.labels import find_blank
from vidattn.config.run_options import TeachOptions
from vidattn.data.batch import VideoFailure
from vidattn.data.embeddings import EmbeddingCache
from vidattn.data.labeled_dataset import GROUPS_HINT, LabeledDataset, keep_areas, name_first
from vidattn.data.plan import Windowing
from vidattn.data.sets import open_samples
from vidattn.errors import DataError
from vidattn.evaluation.label_metrics import LabelMetrics
from vidattn.evaluation.metrics import most_confused
from vidattn.inference.embed import Embedder
from vidattn.io.files import write_atomically
from vidattn.io.json import dumps_pretty, to_json_value
from vidattn.io.text import count_noun
from vidattn.models.classifier import Classifier, ModelCard, build_taught
from vidattn.models.device import Runtime, is_small
from vidattn.models.flow import FlowHistogram
from vidattn.models.taught import TaughtModel
from vidattn.training.artifacts import public_name
from vidattn.training.cross_validation import (
    Activities,
    CrossValidation,
    Study,
    cross_validate,
    measure_activities,
)
from vidattn.training.doubts import Doubt, describe_item, find_alike, find_mistakes, find_rare
from vidattn.training.run_dir import require_writable
from vidattn.training.taught_data import (
    LabeledWindows,
    choose_activation,
    choose_span,
    design_flow,
    design_views,
    embed_samples,
    require_enough,
    require_samples,
    unwrap,
)
from vidattn.types import Item, Window
from vidattn.video import Prefetcher
from vidattn.weights.safetensors_file import save

SCHEMA = "vidattn/taught/1"
OVERLAP, MOST_OVERLAPPING = 0.5, 2000
"""Windows of up to so many samples overlap, for more examples."""
MOST_SHORT = 0.25
"""The share of samples that may be shorter than a window, as the default window has it."""
CONFUSIONS = 10
GAIN = 0.02
"""The least gain of twice as many examples that is told of a class."""


@dataclass(frozen=True)
class TeachNote:
    """A sentence for the user."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class TeachProgress:
    """How far a slow part is: samples embedded, of all in all views; heads compared, of all."""

    done: int
    total: int
    part: Literal["embedding", "comparing"] = "embedding"


@dataclass(frozen=True, eq=False)
class Taught:
    """The last event: a model, and how good it is."""

    classifier: Classifier
    metrics: LabelMetrics
    doubts: tuple[Doubt, ...]
    failures: tuple[VideoFailure, ...]
    report: Mapping[str, Any]
    """JSON values of the schema vidattn/taught/1."""
    path: Path | None = None


TeachEvent = TeachNote | TeachProgress | Taught


@dataclass(eq=False)
class Lesson:
    """One run of `teach`."""

    dataset: LabeledDataset
    backbone: Classifier
    options: TeachOptions
    runtime: Runtime
    failures: list[VideoFailure] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of each part."""

    def run(self, opening: Prefetcher, cache: EmbeddingCache) -> Iterator[TeachEvent]:
        """Embed, compare, and make the model."""
        require_samples(self.dataset, self.options.labels_at_once)
        began = time.perf_counter()
        views = dict[str, tuple[Classifier, LabeledWindows]]()
        make = partial(Embedder, cache=cache, runtime=self.runtime, opening=opening)
        span = choose_span(make(self.backbone), self.dataset, self.options.window)
        designs = self._design(span)
        for place, (name, shown) in enumerate(designs.items()):
            # Blank videos are judged by such windows, however many there are.
            blank = find_blank(self.dataset.labels) is not None
            few = blank or len(self.dataset.items) <= MOST_OVERLAPPING
            embedder = make(shown, Windowing(overlap=OVERLAP if few else 0.0))
            for event in embed_samples(embedder, self.dataset):
                if isinstance(event, int):
                    count = len(self.dataset.items)
                    yield TeachProgress(place * count + event, count * len(designs))
                elif isinstance(event, VideoFailure):
                    self.failures += [event] * (event not in self.failures)
                else:
                    views[name] = shown, event
        cache.store.trim()
        self.spent["embedding"] = time.perf_counter() - began
        if not views:
            reason = self.failures[0].message if self.failures else None
            raise DataError(f"{self.dataset.root}: no video can be read", hint=reason)
        # A sample counts where all views have it: their metrics are compared.
        common = reduce(np.intersect1d, (windows.samples for _, windows in views.values()))
        views = {name: (shown, own.of_samples(common)) for name, (shown, own) in views.items()}
        seen = next(iter(views.values()))[1]
        study = self._study(views)
        yield from self._describe(study, seen, span)
        began = time.perf_counter()
        for step in cross_validate(study, self.dataset.labels):
            if isinstance(step, CrossValidation):
                self.spent["comparing"] = time.perf_counter() - began
                yield self._finish(study, step, views)
            else:
                yield TeachProgress(*step, "comparing")

    def _design(self, span: float) -> dict[str, Classifier]:
        """What is tried, by name: the backbone and optical flow, each seeing all or what moves."""
        model, options = self.backbone.model, self.options
        asked = {"on": ["motion"], "off": ["whole"], "auto": ["whole", "motion"]}[options.zoom]
        own = asked if options.zoom != "auto" or is_small(model) else ["whole"]
        found = {}
        if options.flow != "on" and not isinstance(model, FlowHistogram):
            found = {name: design_views(self.backbone, span, name == "motion") for name in own}
        if options.flow != "off" or not found:
            for name in asked:
                found[f"flow, {name}"] = design_flow(self.backbone, span, name == "motion")
        return found

    def _study(self, views: Mapping[str, tuple[Classifier, LabeledWindows]]) -> Study:
        truth = next(iter(views.values()))[1].truth
        several = self.dataset.several or bool((truth.sum(1) > 1).any())
        activation = choose_activation(several, self.options.labels_at_once)
        shapes = {}
        for name, (shown, windows) in views.items():
            model = shown.model
            assert isinstance(model, TaughtModel)
            assert hasattr(model.head, "shape")
            shapes[name] = model.config, model.head.shape, windows
        groups = tuple(item.group or item.path for item in self.dataset.items)
        return Study(shapes, groups, activation, self.options.balance)

    def _describe(self, study: Study, windows: LabeledWindows, span: float) -> Iterator[TeachNote]:
        groups, counts = {study.groups[n] for n in windows.samples}, windows.truth.sum(0)
        require_enough(self.dataset, np.flatnonzero(counts).tolist(), groups, "readable ")
        several = ", several labels at once" if study.activation == "sigmoid" else ""
        if several and (example := next(self.dataset.items_of_several(), None)):
            several += f", as in {describe_item(example)}"
        yield TeachNote(
            f"{len(np.unique(windows.samples))} samples of {len(counts)} classes in {len(groups)} "
            f"groups; {len(windows.samples)} windows of {span:g} s{several}"
        )
        if alone := [*self._list_alone(study, windows)]:
            text = "of one group alone, so that no head that judges them has seen any"
            yield TeachNote(f"{text}: {name_first(alone)}", warning=True)
        if not any(item.group for item in self.dataset.items):
            yield TeachNote(f"each file is a group of its own; {GROUPS_HINT}")
        longest = np.zeros(len(self.dataset.items))
        np.maximum.at(longest, windows.samples, windows.spans[:, 1] - windows.spans[:, 0])
        short = int((longest[np.unique(windows.samples)] < 0.9 * span).sum())
        if short > MOST_SHORT * len(np.unique(windows.samples)):
            yield TeachNote(
                f"{count_noun(short, 'sample')} shorter than the windows of {span:g} s, which "
                "segment will show in full; a shorter --window fits them",
                warning=True,
            )

    def _list_alone(self, study: Study, windows: LabeledWindows) -> Iterator[str]:
        """The labels of which all samples are of one group."""
        groups = np.array(study.groups)[windows.samples]
        for label, holds in zip(self.dataset.labels, windows.truth.T, strict=True):
            if len(np.unique(groups[holds])) == 1:
                yield label

    def _finish(
        self,
        study: Study,
        verdict: CrossValidation,
        views: Mapping[str, tuple[Classifier, LabeledWindows]],
    ) -> Taught:
        began = time.perf_counter()
        shown, windows = views[verdict.best.view]
        activities = measure_activities(study, verdict, self.dataset.labels)
        classifier = self._build(study, verdict, shown, activities)
        doubts = tuple(self._doubts(study, verdict, windows))
        self.spent["fitting"] = time.perf_counter() - began
        report = self._report(study, verdict, windows, doubts)
        report["blank"] = activities and activities.report()
        return Taught(classifier, verdict.metrics, doubts, tuple(self.failures), report)

    def _build(
        self,
        study: Study,
        verdict: CrossValidation,
        shown: Classifier,
        activities: Activities | None,
    ) -> Classifier:
        config, _, windows = study.views[verdict.best.view]
        head = study.fit(verdict.best, np.arange(len(windows.samples)))
        chosen = verdict.best.choice.configure(config, len(windows.samples))
        model = build_taught(replace(chosen, classes=len(self.dataset.labels)))
        assert isinstance(shown.model, TaughtModel)
        model.backbone.load_state_dict(shown.model.backbone.state_dict())
        model.head.load_state_dict(head.state_dict())
        several = study.activation == "sigmoid"
        name, value = ("map", "mAP") if several else ("accuracy", "accuracy")
        origin, dataset = self.backbone.card, public_name(str(self.dataset.root))
        return Classifier(
            model.eval(),
            shown.clip,
            self.dataset.labels,
            temperature=verdict.temperature,
            activation=study.activation,
            thresholds=verdict.thresholds,
            active_examples=activities.examples if activities else (),
            card=ModelCard(
                "taught",
                license=origin.license,
                source=f"vidattn teach, on {origin.name}",
                training_data=dataset,
                expect=f"{value} {100 * verdict.metrics.values[name]:.1f} (cross-validated in "
                f"{len(verdict.judges)} folds of whole groups)",
            ),
        )

    def _doubts(
        self, study: Study, verdict: CrossValidation, windows: LabeledWindows
    ) -> Iterator[Doubt]:
        view = verdict.best.view
        seen = next(iter(study.views.values()))[2]  # which knows looks, where flow knows motion
        samples, places = np.unique(seen.samples, return_inverse=True)
        items = [self.dataset.items[n] for n in samples]
        yield from find_rare(self.dataset.labels, items)
        yield from find_alike(_mean_rows(seen.vectors.numpy(), places), items)
        firsts = study.firsts(view)
        own = [self._unit_item(study, windows, int(row)) for row in firsts]
        found = verdict.probabilities, study.truth(view)
        near = _mean_rows(windows.vectors.numpy(), study.units(view))
        yield from find_mistakes(self.dataset.labels, *found, own, near)

    def _unit_item(self, study: Study, windows: LabeledWindows, row: int) -> Item:
        item = self.dataset.items[int(windows.samples[row])]
        if study.activation == "softmax":
            return item
        start, stop = windows.spans[row].tolist()
        return replace(item, window=Window(start, stop))

    def _report(
        self,
        study: Study,
        verdict: CrossValidation,
        windows: LabeledWindows,
        doubts: tuple[Doubt, ...],
    ) -> dict[str, Any]:
        truth, gains = study.truth(verdict.best.view), _gains(verdict)
        confusion = _confusions(self.dataset.labels, verdict.predicted, truth)
        return {
            "schema": SCHEMA,
            "labels": list(self.dataset.labels),
            "samples": len(np.unique(windows.samples)),
            "windows": len(windows.samples),
            "groups": len(set(study.unit_groups(verdict.best.view))),
            "folds": len(verdict.judges),
            "activation": study.activation,
            "backbone": self.backbone.card.name,
            "head": str(verdict.best),
            "heads": dict(verdict.scores),
            "temperature": verdict.temperature,
            "thresholds": list(verdict.thresholds),
            "metrics": verdict.metrics.to_dict(),
            "confusions": confusion,
            "twice_as_many": gains,
            "doubts": [{"kind": one.kind, "text": one.text, **one.about} for one in doubts],
            "failed": [one._asdict() for one in self.failures],
            "seconds": {name: round(value, 2) for name, value in self.spent.items()},
        }


def _gains(verdict: CrossValidation) -> dict[str, Any]:
    """What half of the examples cost, as an estimate of what twice as many would bring: at most
    what is missing to 1; without an interval if nothing is."""
    name = "map" if verdict.thresholds else "mean_class"
    f1, value = verdict.metrics.f1, verdict.metrics.values[name]
    missing = 1 - value
    each = np.minimum(f1 - verdict.half.f1, 1 - f1)
    order = np.argsort(-np.nan_to_num(each, nan=-1.0))
    rows = {verdict.metrics.labels[k]: round(float(each[k]), 4) for k in order if each[k] >= GAIN}
    total = min(value - verdict.half.values[name], missing)
    ends = [
        None if np.isnan(end) or not missing else round(min(float(end), missing), 4)
        for end in verdict.gain_interval
    ]
    return {"metric": name, "gain": round(float(total), 4), "interval": ends, "f1_of": rows}


def _mean_rows(vectors: NDArray[np.floating], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean [P, F] of the vectors [N, F] of each place from 0 on."""
    means = np.zeros((places.max() + 1, vectors.shape[1]))
    np.add.at(means, places, vectors)
    return np.asarray(means / np.bincount(places)[:, None])


def _confusions(
    labels: tuple[str, ...], predicted: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The most frequent pairs of a missed label and a wrong one."""
    missed, wrong = truth & ~predicted, predicted & ~truth
    counts = missed.astype(np.int64).T @ wrong.astype(np.int64)
    pairs = most_confused(counts, CONFUSIONS)
    return [{"label": labels[i], "taken_for": labels[j], "samples": n} for i, j, n in pairs]


def teach_events(
    labels: str,
    backbone: Classifier,
    output: Path | None = None,
    options: TeachOptions = TeachOptions(),
    *,
    data_root: Path | None = None,
    runtime: Runtime = Runtime(),
) -> Iterator[TeachEvent]:
    """Teach a model the classes of labeled videos; the last event is Taught.

    labels: a dataset as of `vidattn.data.sets.open_dataset`; its splits do not count.
    backbone: any model of clips; of a taught one its backbone. output: a .safetensors file, or a
    folder for it and teach.json. Raises DataError when there is too little to learn from,
    UsageError, and, before any work, OutputError where the output cannot be written.
    """
    if output is not None:
        folder = output.parent if output.suffix == ".safetensors" else output
        require_writable(folder, "choose another place with -o")
    dataset = open_samples(labels, data_root, group_by=options.group_by)
    dataset, warnings = keep_areas(dataset, backbone.clip)
    dataset = replace(dataset, root=Path(labels))
    lesson = Lesson(dataset, unwrap(backbone), options, runtime)
    yield from map(TeachNote, dataset.notes)
    for text in (*dataset.warnings, *warnings):
        yield TeachNote(text, warning=True)
    with Prefetcher() as opening:
        for event in lesson.run(opening, EmbeddingCache()):
            yield _saved(event, output) if isinstance(event, Taught) and output else event


def _saved(taught: Taught, output: Path) -> Taught:
    """The result with its files."""
    alone = output.suffix == ".safetensors"
    path = output if alone else output / "model.safetensors"
    card = replace(taught.classifier.card, name=output.stem if alone else output.resolve().name)
    classifier = replace(taught.classifier, card=card)
    save(classifier, path)
    text = dumps_pretty(to_json_value(taught.report), 2)
    report = output.with_suffix(".teach.json") if alone else output / "teach.json"
    write_atomically(report, text.encode())
    return replace(taught, classifier=classifier, path=path)

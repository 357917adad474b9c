"""Published weights on a folder of videos: their top-1 beside what was published for them.

    python examples/paper/published.py k400 --data-root /data/k400 --sample 1000
    python examples/paper/published.py ssv2 --data-root /data/ssv2
    python examples/paper/published.py diving48 --data-root /data/diving48 --model FILE=74.9

Takes the frames of the official code, with the views of each score, as `vidattn eval --sampling
official` does, and appends a row per model to a csv. Exits with code 7 if a published score lies
more than half a point outside the 95 % interval of what was measured.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import vidattn
from vidattn.config import ViewConfig
from vidattn.config.run_options import EvalViews
from vidattn.data.labeled_dataset import LabeledDataset
from vidattn.data.sampling import parse_views
from vidattn.data.sets import open_dataset
from vidattn.errors import ExitCode, VidattnError
from vidattn.evaluation.classification import measure_predictions
from vidattn.evaluation.dataset import DatasetEvaluator
from vidattn.evaluation.predictions import Predictions
from vidattn.models.device import Runtime
from vidattn.weights.catalog import CATALOG

TOLERANCE = 0.5
"""Points that a decoder or the precision of a device may be worth."""


@dataclass(frozen=True)
class Claim:
    """A model and the top-1 that was published for it, in percent."""

    model: str
    top1: float | None
    views: str = "3x1"


@dataclass(frozen=True)
class Measured:
    """A row of the csv; shares in percent."""

    dataset: str
    model: str
    sha256: str
    views: str
    videos: int
    failed: int
    top1: float
    low: float
    high: float
    """The 95 % interval of top-1, as far as the number of videos goes."""
    top5: float
    published: float | None
    minutes: float

    @property
    def as_published(self) -> bool:
        """Whether the published score may be right."""
        if self.published is None:
            return True
        return self.low - TOLERANCE <= self.published <= self.high + TOLERANCE


def published_claims(dataset: str) -> list[Claim]:
    """The models of the catalog with a score on a dataset."""
    entries = (e for e in CATALOG.values() if e.dataset == dataset and e.views != "tiled")
    return [Claim(e.name, e.top1, e.views) for e in entries if e.top1 is not None]


def parse_claim(text: str) -> Claim:
    """NAME or FILE, with =TOP1 if another score than that of the catalog is to be met."""
    name, _, top1 = text.partition("=")
    entry = CATALOG.get(name)
    known = Claim(name, entry.top1, entry.views) if entry else Claim(name, None)
    return replace(known, top1=float(top1)) if top1 else known


def draw_sample(dataset: LabeledDataset, count: int) -> LabeledDataset:
    """The same random videos each time; 0: all of them."""
    if not 0 < count < len(dataset.items):
        return dataset
    chosen = sorted(random.Random(0).sample(range(len(dataset.items)), count))
    return replace(dataset, items=tuple(dataset.items[i] for i in chosen))


def measure(
    claims: list[Claim], dataset: LabeledDataset, runtime: Runtime, workers: int
) -> Iterator[Measured]:
    """A row for each model."""
    for claim in claims:
        begin = time.perf_counter()
        views = ViewConfig() if claim.views == "tiled" else parse_views(claim.views)
        classifier = vidattn.load(claim.model)
        asked = EvalViews(views, sampling="official")
        evaluator = DatasetEvaluator(classifier, dataset, asked, runtime=runtime)
        found = evaluator.collect(evaluator.predict(workers=workers))
        yield make_row(claim, dataset, found, time.perf_counter() - begin)


def make_row(claim: Claim, dataset: LabeledDataset, found: Predictions, seconds: float) -> Measured:
    """Metrics of the predictions of a model."""
    scores = measure_predictions(found)
    low, high = scores["top1_interval"]
    return Measured(
        dataset.name, claim.model, scores["sha256"], claim.views, scores["videos"],
        len(scores["failed"]), round(100 * scores["top1"], 2), round(100 * low, 2),
        round(100 * high, 2), round(100 * scores["top5"], 2), claim.top1, round(seconds / 60, 2),
    )  # fmt: skip


def append_row(path: Path, row: Measured) -> None:
    """Add a row to a csv, which is begun if it is not there."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(row)), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def main() -> int:
    """Measure, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="k400, k600, ssv2, diving48, or a folder or list of videos")
    parser.add_argument("--data-root", type=Path, help="the folder of a known dataset")
    parser.add_argument("--model", action="append", type=parse_claim, metavar="NAME[=TOP1]",
                        help="repeatable; by default all with a score on the dataset")  # fmt: skip
    parser.add_argument("--sample", type=int, default=0, help="validation videos; 0: all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes that prefetch videos")
    parser.add_argument("--out", type=Path, default=Path("published.csv"))
    given = parser.parse_args()
    claims = given.model or published_claims(given.dataset)
    if not claims:
        parser.error(f"no weights have a published score on {given.dataset}: name them by --model")
    dataset = draw_sample(open_dataset(given.dataset, given.data_root, "val"), given.sample)
    missed = False
    for row in measure(claims, dataset, Runtime(device=given.device), given.workers):
        append_row(given.out, row)
        verdict = "as published" if row.as_published else "NOT as published"
        print(f"{row.model}: {row.top1} % ({row.low} to {row.high}), published {row.published}: "
              f"{verdict}", flush=True)  # fmt: skip
        missed |= not row.as_published
    return ExitCode.NOT_AS_EXPECTED if missed else ExitCode.DONE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VidattnError as error:
        print(f"error: {error.message}", f"hint: {error.hint}" * bool(error.hint), sep="\n",
              file=sys.stderr)  # fmt: skip
        sys.exit(error.exit_code)

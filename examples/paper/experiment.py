"""Trains small models on drawn videos, and writes what came out: a table, a figure, a csv.

The scripts beside this module say which models and which videos; each row of a csv is one training.
Rows that are there already are not made again, so a run that was stopped continues, and a setting
that two scripts share is trained once. Everything repeats: the seed decides the initial values and
the videos, and all models are measured on the same validation videos.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from plot import draw_plot
from tasks import Drawn, Task, open_task
from torch import nn

from vidattn.config import ModelConfig, OptimConfig, TimeSformerConfig
from vidattn.errors import VidattnError
from vidattn.io.files import replacing_file
from vidattn.models.classifier import build_model
from vidattn.models.flops import count_macs
from vidattn.models.init_scratch import init_from_scratch
from vidattn.training.optim import build_optimizer, lr_at, set_lr

RESULTS = Path(__file__).parent / "results"
STEPS, BATCH, VALIDATION = 200, 16, 500
OPTIM = OptimConfig(
    kind="adamw", lr=5e-3, weight_decay=0.03, schedule="cosine", warmup_epochs=15.0, clip_norm=1.0
)
"""An epoch is a step."""
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""The 97.5 % quantiles of Student's t, from one degree of freedom on."""


@dataclass(frozen=True)
class Setting:
    """A row of a table or a point of a figure: a model and the videos it learns."""

    name: str
    task: Task
    model: ModelConfig
    x: float = 0.0
    """The place on the horizontal axis."""
    videos: int = 0
    """Training videos; 0: new ones in every step."""
    frames: int = 0
    """Frames of a video, of which a clip is a part; 0: those of the model."""
    lr: float = OPTIM.lr
    way: str = ""
    """Of a script that trains in several ways."""

    @property
    def key(self) -> str:
        """What decides the result, but for the seed, as a short text."""
        about = (self.task.name, self.model, self.videos, self.frames, self.lr, self.way)
        return hashlib.sha256(repr(about).encode()).hexdigest()[:12]


Place = tuple[str, int, int]
"""The key of a setting, the seed, the steps."""


@dataclass(frozen=True)
class Row:
    """A training and its result."""

    task: str
    name: str
    x: float
    seed: int
    top1: float
    """Percent of the validation videos."""
    parameters: int
    macs: int
    """Multiply-adds of a clip."""
    seconds: float
    """Of one processor, for training and measuring."""
    steps: int
    key: str

    @property
    def place(self) -> Place:
        """What decides the result."""
        return self.key, self.seed, self.steps

    def __str__(self) -> str:
        where = f" {self.x:g}" if self.x else ""
        return (
            f"{self.task}, {self.name}{where}, seed {self.seed}: {self.top1:.1f} %, "
            f"{self.seconds:.1f} s"
        )


@dataclass
class Summary:
    """The rows of one setting."""

    task: str
    name: str
    x: float
    scores: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Of all seeds."""
        return statistics.mean(self.scores)

    @property
    def spread(self) -> float:
        """Half of the 95 % interval of the mean over seeds."""
        return half_interval(self.scores)


def half_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean, by Student's t; NaN of one value."""
    if len(values) < 2:
        return math.nan
    quantile = STUDENT[len(values) - 2] if len(values) - 2 < len(STUDENT) else 1.96
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def small(attention: str, task: Task, **changes: Any) -> TimeSformerConfig:
    """A TimeSformer of 0.03 M parameters for 4 frames of 16 pixels."""
    shape = TimeSformerConfig(attention, task.classes, 4, 16, 4, 32, 2, 4, 2.0, 0.0)
    return replace(shape, **changes)


def prepare(model: nn.Module, seed: int) -> nn.Module:
    """Initial values that depend on the seed alone."""
    init_from_scratch(model, torch.Generator().manual_seed(seed))
    return model


def train(model: nn.Module, batches: Iterable[Drawn], steps: int, lr: float) -> nn.Module:
    """Take a step for each of the first batches, then leave the model in eval mode."""
    optim = replace(OPTIM, lr=lr, epochs=steps, warmup_epochs=min(OPTIM.warmup_epochs, steps / 4))
    optimizer = build_optimizer([model.train()], optim)
    for step, (clips, labels) in zip(range(steps), batches, strict=False):
        set_lr(optimizer, lr_at(optim, step, 1))
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
        optimizer.step()
    return model.eval()


def draw_batches(setting: Setting, seed: int) -> Iterator[Drawn]:
    """Batches without end: of new videos, or of `videos` ones in another order each time."""
    random = torch.Generator().manual_seed(seed)
    frames, size = setting.frames or setting.model.frames, setting.model.size
    if not setting.videos:
        while True:
            yield setting.task.draw(BATCH, frames, size, random)
    clips, labels = setting.task.draw(setting.videos, frames, size, random)
    while True:
        for chosen in torch.randperm(setting.videos, generator=random).split(BATCH):
            yield clips[chosen], labels[chosen]


def validation(setting: Setting) -> Drawn:
    """The videos that all models of a task are measured on."""
    frames, size = setting.frames or setting.model.frames, setting.model.size
    return setting.task.validate(VALIDATION, frames, size, torch.Generator().manual_seed(2**31))


@torch.inference_mode()
def measure(model: Callable[[torch.Tensor], torch.Tensor], videos: Drawn) -> float:
    """Top-1 in percent."""
    clips, labels = videos
    found = torch.cat([model(part).argmax(1) for part in clips.split(100)])
    return 100 * (found == labels).float().mean().item()


def learn(setting: Setting, seed: int, steps: int) -> float:
    """Train on clips as long as the videos, and measure."""
    torch.manual_seed(seed)
    model = prepare(build_model(setting.model), seed)
    train(model, draw_batches(setting, seed), steps, setting.lr)
    return measure(model, validation(setting))


Learn = Callable[[Setting, int, int], float]


def read_rows(path: Path) -> list[Row]:
    """The rows of a csv; none of a file that is not there, or that lists something else."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or ()) != list(Row.__annotations__):
            return []
        kinds = {"str": str, "int": int, "float": float}
        types = {name: kinds[str(kind)] for name, kind in Row.__annotations__.items()}
        return [Row(**{k: types[k](value) for k, value in row.items()}) for row in reader]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, whole or not at all: other scripts may read them meanwhile."""
    with replacing_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(Row.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def run(
    path: Path, settings: Sequence[Setting], seeds: int, steps: int, learn: Learn = learn
) -> list[Row]:
    """Train what is missing in a csv, one seed of all settings after the other."""
    others = [row for other in sorted(path.parent.glob("*.csv")) for row in read_rows(other)]
    known = {row.place: row for row in [*others, *read_rows(path)]}
    made: dict[Place, Row] = {}
    for seed in range(seeds):
        for setting in settings:
            place = setting.key, seed, max(1, round(steps * setting.task.pace))
            row = known.get(place) or make_row(setting, *place[1:], learn)
            made[place] = replace(row, task=setting.task.name, name=setting.name, x=setting.x)
            print(f"{made[place]}", flush=True)
            kept = [old for old in read_rows(path) if old.place not in made]
            write_rows(path, [*made.values(), *kept])
    return list(made.values())


def make_row(setting: Setting, seed: int, steps: int, learn: Learn) -> Row:
    """Train and measure one setting."""
    begin = time.process_time()
    top1 = learn(setting, seed, steps)
    seconds = round(time.process_time() - begin, 2)
    parameters = sum(p.numel() for p in build_model(setting.model).parameters())
    return Row(
        setting.task.name, setting.name, setting.x, seed, round(top1, 1), parameters,
        count_macs(setting.model), seconds, steps, setting.key,
    )  # fmt: skip


def summarize(rows: Iterable[Row]) -> list[Summary]:
    """The rows of each setting together, in the order of their first seed."""
    found: dict[tuple[str, str, float], Summary] = {}
    for row in rows:
        place = row.task, row.name, row.x
        found.setdefault(place, Summary(*place)).scores.append(row.top1)
    return list(found.values())


def table(summaries: Sequence[Summary]) -> str:
    """Mean and 95 % interval as Markdown: a line per name, a column per task, and per place where
    the names share places."""
    shared = len({(s.name, s.task) for s in summaries}) < len(summaries)
    columns = list(dict.fromkeys((s.task, s.x * shared) for s in summaries))
    cells = {(s.name, s.task, s.x * shared): f"{s.mean:.1f} +- {s.spread:.1f}" for s in summaries}
    titles = [f"{task}, {x:g}" if shared else task for task, x in columns]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(s.name for s in summaries):
        values = (cells.get((name, *column), "") for column in columns)
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def positive(text: str) -> int:
    """A number of at least 1, for argparse."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def main(name: str, about: str, make: Callable[[list[Task]], list[Setting]],
         tasks: Sequence[Task], unit: str = "", learn: Learn = learn) -> None:  # fmt: skip
    """The command of a script. make: from tasks to settings; unit: of the horizontal axis."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each setting")
    parser.add_argument("--steps", type=positive, default=STEPS, help="of a training")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of csv and svg")
    parser.add_argument("--dataset", help="videos of a known dataset or a folder, not drawn ones")
    parser.add_argument("--data-root", type=Path, help="the folder of a known dataset")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.dataset:
        try:
            tasks = [open_task(given.dataset, given.data_root)]
        except VidattnError as error:
            parser.exit(error.exit_code, f"error: {error.message}\nhint: {error.hint}\n")
    rows = run(given.out / f"{name}.csv", make(list(tasks)), given.seeds, given.steps, learn)
    summaries = summarize(rows)
    print(table(summaries))
    print(f"{sum(row.seconds for row in rows) / 60:.1f} minutes of one processor")
    points = [(s.task, s.name, s.x, s.mean, s.spread) for s in summaries]
    (given.out / f"{name}.svg").write_text(
        draw_plot(name.replace("_", " "), points, unit, "top-1, %")
    )

"""Going on with a run that was killed: what its scores depend on, and where it can go on.

A resumed run ends with the same bytes as one that was never interrupted. So it goes on at the
beginning of a batch, for a model may round differently in batches of another size, and only where
nothing computed before is used again after. Where frames were lost, everything is decoded again,
since what a damaged file yields depends on where decoding begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidattn.errors import VideoError
from vidattn.inference.events import Scored, Started, describe_input, describe_model
from vidattn.inference.score_log import ScoreRecord
from vidattn.inference.scorer import Scorer
from vidattn.io.digest import sha256
from vidattn.io.json import dumps, to_json_value
from vidattn.models.classifier import Classifier
from vidattn.types import View, Window

FRESH_WINDOWS = 64
"""What overlapping windows share is computed anew after so many, at the next batch."""
END_BYTES = 1 << 20


def fresh_every(batch: int) -> int:
    """Windows from one batch that begins anew to the next, a multiple of the batch size."""
    return -(-FRESH_WINDOWS // batch) * batch


def identity(
    started: Started, classifier: Classifier, scorer: Scorer, batch: int
) -> dict[str, Any]:
    """All that the scores of a run in batches of so many windows depend on.

    Raises VideoError when the file is gone.
    """
    parts: dict[str, Mapping[str, Any]] = {
        "input": {"path": started.source, **_file(started.source)}
        | describe_input(started.facts).to_dict(),
        "model": describe_model(classifier).to_dict()
        | {"labels": sha256(dumps(classifier.labels), 16)},
        "settings": started.settings.to_dict(),
        "run": {
            "windows": len(started.windows),
            "batch size": batch,
            **({"embeddings": scorer.width} if scorer.width else {}),
            "device": str(scorer.device),
            "threads": torch.get_num_threads(),
            "vidattn": version("vidattn"),
            "torch": torch.__version__,
        },
    }
    flat = {f"{part} {key}": value for part, rows in parts.items() for key, value in rows.items()}
    return dict(to_json_value(flat))


def first_window(known: Mapping[int, ScoreRecord], views: Sequence[View], batch: int) -> int:
    """The window to go on with: all before it are known, and a run can begin there."""
    planned = len(known)
    if planned >= len(views):
        return len(views)
    first = planned // batch * batch
    shown_later = min(min(view.indices) for view in views[first:]) if first else 0
    shown = [max(view.indices) for view in views[:first]]
    most = np.maximum.accumulate(shown).tolist() if shown else []
    while first and not (first % fresh_every(batch) == 0 or most[first - 1] < shown_later):
        first -= batch
        shown_later = min([shown_later, *(min(v.indices) for v in views[first : first + batch])])
    return first


@dataclass(frozen=True)
class ResumePoint:
    """What of a run is left to do, and what the rest has left behind."""

    begin: int = 0
    """The first window from which on all frames are decoded."""
    first: int = 0
    """The first window that is computed."""
    last: Scored | None = None
    """The window before the first one."""
    still: int = -1
    """The last window computed before the first one, with which others are compared when those
    that show the same are left out; -1 where nobody asks."""

    def batches(self, windows: int, size: int) -> Iterator[int]:
        """The first windows of the batches to go through: those from `begin` on, and before them
        the one that holds `still`."""
        if 0 <= self.still < self.begin:
            yield self.still // size * size
        yield from range(self.begin, windows, size)

    def shown(self, views: Sequence[View], size: int) -> list[View]:
        """Views of the windows in the batches."""
        first = self.still // size * size
        apart = views[first : first + size] if 0 <= self.still < self.begin else ()
        return [*apart, *views[self.begin :]]


def resume_from(
    known: Mapping[int, ScoreRecord],
    plan: Mapping[Window, View],
    skip_static: float | None,
    batch: int,
    classes: int,
) -> tuple[ResumePoint, list[Scored]]:
    """What is left of a run that knows some windows, and what is not to be done again of it.

    plan: the windows given and what they show. classes: how many numbers of a record are scores;
    the others are its embedding.
    """
    windows = list(plan)
    first = first_window(known, list(plan.values()), batch)
    done: list[Scored] = []
    for record in known.values():
        if first <= record.index:
            break
        row, window = record.scores, windows[record.index]
        scores = None if row is None else row[:classes]
        embedding = row[classes:] if row is not None and len(row) > classes else None
        done.append(Scored(record.index, window, scores, record.reused, embedding))
    computed = [event for event in done if not event.reused]
    still = skip_static is not None and computed and computed[-1].scores is not None
    return ResumePoint(
        begin=first if all(record.whole for record in known.values()) else 0,
        first=first,
        last=done[-1] if done else None,
        still=computed[-1].index if still else -1,
    ), done


def _file(path: str) -> dict[str, Any]:
    """Size, time of change and a digest of both ends of a file."""
    try:
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno())
            head = file.read(END_BYTES)
            file.seek(max(found.st_size - END_BYTES, 0))
            ends = sha256(head + file.read(END_BYTES), 16)
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}", code="E_GONE") from None
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "ends": ends}

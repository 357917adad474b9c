"""Resuming a run that was killed: the identity of a run, and the window to resume from.

A resumed run ends with the same bytes as one that was never interrupted. So it resumes at the
beginning of a batch, because a model may round differently in batches of another size, and only
where no feature computed before is used again. Where frames did not decode, everything is decoded
again, since the frames of a damaged file depend on where decoding begins.
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
from vidattn.io.files import sha256
from vidattn.io.json import dumps, to_json_value
from vidattn.models.classifier import Classifier
from vidattn.types import View, Window
from vidattn.video.boxes import digest_boxes

FRESH_WINDOWS = 64
"""Windows after which, at the next batch, the cached features are computed anew."""
END_BYTES = 1 << 20


def fresh_every(batch: int) -> int:
    """Windows between batches that begin without cached features, a multiple of the batch size."""
    return -(-FRESH_WINDOWS // batch) * batch


def identity(
    started: Started, classifier: Classifier, scorer: Scorer, batch: int
) -> dict[str, Any]:
    """Everything that the scores of a run depend on, as JSON values; batch: windows in a batch.

    Raises VideoError when the file is gone.
    """
    boxes = digest_boxes(classifier.clip.boxes)
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
            **({"boxes": boxes} if boxes else {}),
            "device": str(scorer.device),
            "threads": torch.get_num_threads(),
            "vidattn": version("vidattn"),
            "torch": torch.__version__,
        },
    }
    flat = {f"{part} {key}": value for part, rows in parts.items() for key, value in rows.items()}
    return dict(to_json_value(flat))


def first_window(known: Mapping[int, ScoreRecord], views: Sequence[View], batch: int) -> int:
    """The window to resume from: all before it are known, and none shares features with it."""
    if len(known) >= len(views):
        return len(views)
    first = len(known) // batch * batch
    oldest = min(min(view.indices) for view in views[first:])
    newest = np.maximum.accumulate([max(view.indices) for view in views[:first]], dtype=np.int64)
    while first and first % fresh_every(batch) and newest[first - 1] >= oldest:
        first -= batch
        oldest = min([oldest, *(min(view.indices) for view in views[first : first + batch])])
    return first


@dataclass(frozen=True)
class ResumePoint:
    """The windows of a run that are left to do, and the state before them."""

    begin: int = 0
    """The first window from which on all frames are decoded."""
    first: int = 0
    """The first window that is computed."""
    last: Scored | None = None
    """The window before the first one."""
    still: int = -1
    """The last window computed before the first one, with which static ones are compared; -1 for
    none."""

    def batches(self, windows: int, size: int) -> Iterator[int]:
        """The first windows of the batches to decode: the one of `still`, and all from `begin`."""
        if 0 <= self.still < self.begin:
            yield self.still // size * size
        yield from range(self.begin, windows, size)

    def pending(self, views: Sequence[View], size: int) -> list[View]:
        """The views of the windows in these batches."""
        first = self.still // size * size
        apart = views[first : first + size] if 0 <= self.still < self.begin else ()
        return [*apart, *views[self.begin :]]


def resume_from(
    known: Mapping[int, ScoreRecord],
    plan: Mapping[Window, View],
    skip_static: float | None,
    batch: int,
    classes: int,
    width: int = 0,
) -> tuple[ResumePoint, list[Scored]]:
    """The point to resume a run from, given the windows in its log, and the events before it.

    classes, width: how many numbers of a record are its scores, and then its embedding.
    """
    windows = list(plan)
    first = first_window(known, list(plan.values()), batch)
    done: list[Scored] = []
    for record in known.values():
        if first <= record.index:
            break
        row, window = record.scores, windows[record.index]
        scores = None if row is None else row[:classes]
        embedding = row[classes : classes + width] if row is not None and width else None
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
    """Size, modification time and a digest of both ends of a file."""
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            head = file.read(END_BYTES)
            file.seek(max(status.st_size - END_BYTES, 0))
            ends = sha256(head + file.read(END_BYTES), 16)
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}", code="E_GONE") from None
    return {"bytes": status.st_size, "modified": status.st_mtime_ns, "ends": ends}

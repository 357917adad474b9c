"""Going on with a run that was killed: what its scores depend on, and where it can go on.

A resumed run ends with the same bytes as one that was never interrupted. So it goes on at the
beginning of a batch, for a model may round differently in batches of another size, and only where
nothing computed before is used again after. Where frames were lost, everything is decoded again,
since what a damaged file yields depends on where decoding begins.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidattn import __version__
from vidattn.errors import VideoError
from vidattn.events import Started, input_of, model_of
from vidattn.layout import one_line, plain
from vidattn.models.classifier import Classifier
from vidattn.scorer import Scorer
from vidattn.types import View
from vidattn.windowlog import Record

FRESH_BATCHES = 16
"""What overlapping windows share is computed anew at every so-many-th batch."""
END_BYTES = 1 << 20


def identity(started: Started, classifier: Classifier, scorer: Scorer) -> dict[str, Any]:
    """All that the scores of a run depend on. Raises VideoError when the file is gone."""
    parts: dict[str, Mapping[str, Any]] = {
        "input": {"path": started.source, **_file(started.source), **input_of(started.facts)},
        "model": {**model_of(classifier), "labels": _digest(one_line(classifier.labels))},
        "settings": started.settings,
        "run": {
            "windows": len(started.windows),
            "batch size": scorer.batch_size,
            "device": str(scorer.device),
            "threads": torch.get_num_threads(),
            "vidattn": __version__,
            "torch": torch.__version__,
        },
    }
    flat = {f"{part} {key}": value for part, rows in parts.items() for key, value in rows.items()}
    return dict(plain(flat))


def first_window(records: Mapping[int, Record], views: Sequence[View], batch: int) -> int:
    """The window to go on with: all before it are known, and a run can begin there."""
    if len(records) >= len(views):
        return len(views)
    first = len(records) // batch * batch
    shown_later = min(min(view.indices) for view in views[first:]) if first else 0
    shown = [max(view.indices) for view in views[:first]]
    most = np.maximum.accumulate(shown).tolist() if shown else []
    while first and not (first % (FRESH_BATCHES * batch) == 0 or most[first - 1] < shown_later):
        first -= batch
        shown_later = min([shown_later, *(min(v.indices) for v in views[first : first + batch])])
    return first


@dataclass(frozen=True)
class Part:
    """What of a run is left to do."""

    begin: int = 0
    """The first window whose frames are decoded."""
    first: int = 0
    """The first window that is computed."""

    @classmethod
    def of(cls, known: Mapping[int, Record], views: Sequence[View], batch: int) -> Part:
        """All after the windows that are known, as far as a run can begin there."""
        first = first_window(known, views, batch)
        return cls(first if all(record.whole for record in known.values()) else 0, first)


def _file(path: str) -> dict[str, Any]:
    """Size, time of change and a digest of both ends of a file."""
    try:
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno())
            head = file.read(END_BYTES)
            file.seek(max(found.st_size - END_BYTES, 0))
            ends = hashlib.sha256(head + file.read(END_BYTES)).hexdigest()[:16]
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}", code="E_GONE") from None
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "ends": ends}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

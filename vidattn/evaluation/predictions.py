"""Predictions of a classifier for the videos of a dataset, and their files.

All metrics can be recomputed from them, without model and videos. The file is an .npz archive of
plain arrays, or JSON Lines: a header line, then one for each video. Both keep float32 exactly, and
equal predictions give equal bytes.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import InputError, UsageError
from vidattn.io.files import MOST_ARRAY_BYTES, read_file, reading, write_atomically
from vidattn.io.json import dumps
from vidattn.io.npz import read_arrays, refusing_broken

SCHEMA = "vidattn/predictions/1"
SUFFIXES = (".npz", ".jsonl")
ARRAYS = ("about", "paths", "labels", "logits")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for the readable videos of a dataset, in its order.

    Raises ValueError when the values do not fit together.
    """

    classes: tuple[str, ...]
    """The labels of the classifier."""
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N], the true classes as the classifier numbers them."""
    logits: NDArray[np.float32]
    """[N, K], averaged over the views of each video, not yet divided by the temperature. Where
    probabilities are averaged these are the logarithms of their means."""
    temperature: float = 1.0
    """The temperature of the classifier."""
    about: Mapping[str, Any] = None  # type: ignore[assignment]
    """JSON values: model, sha256, dataset, videos (their number), failed, settings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", dict(self.about or {}))
        count, classes = len(self.paths), len(self.classes)
        if self.labels.shape != (count,) or self.logits.shape != (count, classes):
            raise ValueError(
                f"{count} videos and {classes} classes, but labels {list(self.labels.shape)} and "
                f"logits {list(self.logits.shape)}"
            )
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite")
        if count and not (self.labels.min() >= 0 and self.labels.max() < classes):
            raise ValueError(f"labels must lie in [0, {classes})")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"a temperature is > 0 and finite, got {self.temperature}")


def require_dump_name(path: Path) -> Path:
    """`path`, if it ends in .npz or .jsonl; else UsageError."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: predictions are saved to .npz or .jsonl files")
    return path


def save_predictions(predictions: Predictions, path: Path) -> Path:
    """Write predictions to an .npz or .jsonl file atomically. Raises OutputError."""
    kind = require_dump_name(path).suffix
    return write_atomically(path, _archive(predictions) if kind == ".npz" else _lines(predictions))


def load_predictions(path: Path) -> Predictions:
    """Read a file of `save_predictions`. Raises InputError for any other file.

    Arrays are read as numbers and text only; a pickle in the archive is refused.
    """
    require_dump_name(path)
    with reading(path, InputError):
        data = read_file(path, MOST_ARRAY_BYTES)
    hint = "give a file that vidattn eval --dump has written"
    with refusing_broken(f"{path}: not a file of predictions", InputError, hint):
        return _from_archive(data) if path.suffix == ".npz" else _from_lines(data)


def _head(predictions: Predictions) -> str:
    """The header as one line of JSON."""
    whole = {"schema": SCHEMA, "temperature": predictions.temperature, "about": predictions.about}
    return dumps({**whole, "classes": list(predictions.classes)})


def _parse_head(text: str) -> dict[str, Any]:
    head = json.loads(text)
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise ValueError(f'its "schema" is not {SCHEMA}')
    if not isinstance(head["about"], dict):
        raise ValueError('its "about" is not an object')
    return head


def _build(head: dict[str, Any], paths: list[str], labels: Any, logits: Any) -> Predictions:
    classes = tuple(map(str, head["classes"]))
    return Predictions(
        classes,
        tuple(paths),
        np.asarray(labels, np.int64),
        np.asarray(logits, np.float32).reshape(len(paths), len(classes)),
        float(head["temperature"]),
        head["about"],
    )


def _archive(predictions: Predictions) -> bytes:
    """The arrays of an .npz file; labels are [N], or, where several may hold, marks [N, K]."""
    data, labels = io.BytesIO(), predictions.labels
    if several := predictions.about.get("several"):
        labels = np.zeros(predictions.logits.shape, np.int64)
        for row, own in zip(labels, several["labels"], strict=True):
            row[own] = 1
    np.savez(
        data,
        # As bytes: arrays of text would need as much for each path as for the longest.
        about=np.frombuffer(_head(predictions).encode(), np.uint8),
        paths=np.frombuffer(dumps(list(predictions.paths)).encode(), np.uint8),
        labels=labels,
        logits=predictions.logits,
    )
    return data.getvalue()


def _from_archive(data: bytes) -> Predictions:
    about, paths, labels, logits = read_arrays(data, ARRAYS)
    names = list(map(str, json.loads(paths.tobytes())))
    head = _parse_head(about.tobytes().decode())
    if labels.ndim == 2:
        labels = np.ravel([own[:1] for own in head["about"]["several"]["labels"]])
    return _build(head, names, labels, logits)


def _lines(predictions: Predictions) -> bytes:
    lines, classes = [_head(predictions)], predictions.classes
    several = predictions.about.get("several")
    all_labels = several["labels"] if several else predictions.labels[:, None]
    for path, own, row in zip(predictions.paths, all_labels, predictions.logits, strict=True):
        # The shortest decimals that are read back as the same float32.
        logits = [float(str(value)) for value in row]
        every = {"labels": [classes[label] for label in own]} if several else {}
        first = {"label": classes[own[0]], "label_id": int(own[0])}
        lines.append(dumps({"path": path, **first, **every, "logits": logits}))
    return "".join(line + "\n" for line in lines).encode()


def _from_lines(data: bytes) -> Predictions:
    first, *rest = data.decode().splitlines() or [""]
    head = _parse_head(first)
    rows = [json.loads(line) for line in rest if line]
    paths = [str(row["path"]) for row in rows]
    return _build(head, paths, [row["label_id"] for row in rows], [row["logits"] for row in rows])

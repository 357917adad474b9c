"""Embeddings of the windows of a video, and their file.

An embedding is the vector before the head of the model; a temporal head learns from those of all
windows. The file is an .npz archive of plain arrays; the same video, model and settings give the
same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import DataError
from vidattn.io.files import MOST_ARRAY_BYTES, read_file, reading, write_atomically
from vidattn.io.json import dumps, to_json_value
from vidattn.io.npz import read_arrays, refusing_broken
from vidattn.types import Window

SCHEMA = "vidattn/embeddings/1"
SUFFIX = ".vidattn.npz"
ARRAYS = ("about", "windows", "vectors")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embeddings of a video. Raises ValueError when values do not fit together."""

    source: str
    """The path of the video as the user gave it."""
    windows: NDArray[np.float64]
    """[N, 2], seconds, sorted; they may overlap."""
    vectors: NDArray[np.float32]
    """[N, D]"""
    model: Mapping[str, Any]
    """Their model, as in a timeline: name, sha256, ..."""
    settings: Mapping[str, Any]
    """Windowing, as in a timeline: window_seconds, stride_seconds, frames, ..."""

    def __post_init__(self) -> None:
        if self.windows.shape != (len(self.vectors), 2) or self.vectors.ndim != 2:
            raise ValueError(
                f"windows {list(self.windows.shape)} and vectors {list(self.vectors.shape)}"
            )
        if not (np.isfinite(self.windows).all() and np.isfinite(self.vectors).all()):
            raise ValueError("windows and vectors must be finite")

    def select(self, window: Window | None) -> NDArray[np.float32]:
        """The vectors of windows whose center lies in `window`, all for None."""
        if window is None:
            return self.vectors
        centers = self.windows.mean(axis=1)
        return np.asarray(self.vectors[(window.start <= centers) & (centers < window.stop)])


def make_embeddings(
    source: str,
    windows: Sequence[Window],
    vectors: NDArray[np.float32],
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Embeddings:
    """Embeddings of vectors [N, D] and their windows, which are rounded to milliseconds."""
    ends = np.array([[w.start, w.stop] for w in windows], np.float64).reshape(-1, 2).round(3)
    return Embeddings(source, ends, vectors, to_json_value(model), to_json_value(settings))


def save_embeddings(found: Embeddings, path: Path) -> Path:
    """Write an .npz file, whole or not at all. Raises OutputError."""
    about = {"schema": SCHEMA, "source": found.source, "model": found.model}
    head = dumps({**about, "settings": found.settings})
    data = io.BytesIO()
    np.savez(
        data,
        about=np.frombuffer(head.encode(), np.uint8),  # bytes need no pickles, text does
        windows=found.windows,
        vectors=found.vectors,
    )
    return write_atomically(path, data.getvalue())


def load_embeddings(path: Path) -> Embeddings:
    """Read a file of `save_embeddings`. Raises DataError with the reason; refuses pickles."""
    with reading(path, DataError, hint="vidattn segment VIDEO --embeddings makes such files"):
        data = read_file(path, MOST_ARRAY_BYTES, regular=True)
    hint = "give a file that vidattn segment --embeddings has written"
    with refusing_broken(f"{path}: no embeddings of windows", DataError, hint):
        about, windows, vectors = read_arrays(data, ARRAYS)
        head = json.loads(about.tobytes())
        if not isinstance(head, dict) or head.get("schema") != SCHEMA:
            raise ValueError(f'its "schema" is not {SCHEMA}')
        return Embeddings(
            str(head["source"]),
            np.asarray(windows, np.float64),
            np.asarray(vectors, np.float32),
            dict(head["model"]),
            dict(head["settings"]),
        )


def embedding_path(video: str) -> Path:
    """The embeddings file beside a video, or `video` itself if it is one."""
    path = Path(video)
    return path if path.suffix == ".npz" else path.with_name(path.stem + SUFFIX)

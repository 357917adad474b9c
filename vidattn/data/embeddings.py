"""Embeddings of the windows of a video, their file, and the cache of them.

An embedding is the vector before the head of the model; a temporal head learns from those of all
windows. The file is an .npz archive of plain arrays; the same video, model and settings give the
same bytes.

The name of a file in the cache is a digest of the bytes of the video, of the model and of the
windowing: a video that moves keeps its embeddings, one that changes gets new ones, and a video
whose embeddings are there is never opened.
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

from vidattn.errors import DataError, VideoError
from vidattn.io.cache import FileStore, cache_folder
from vidattn.io.files import (
    MOST_ARRAY_BYTES,
    read_file,
    reading,
    sha256,
    sha256_file,
    write_atomically,
)
from vidattn.io.json import dumps, to_json_value
from vidattn.io.npz import BROKEN, read_arrays, refusing_broken
from vidattn.types import Window

SCHEMA = "vidattn/embeddings/1"
SUFFIX = ".vidattn.npz"
VERSION = 1
"""Of the files in the cache; another one is not read."""
MOST_TEXT = 4096


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
        about, windows, vectors = read_arrays(data, ("about", "windows", "vectors"))
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
    """The embeddings file beside a video or its .vidattn.json, or `video` itself if it is one."""
    path = Path(video)
    stem = path.stem.removesuffix(".vidattn") if path.suffix == ".json" else path.stem
    return path if path.suffix == ".npz" else path.with_name(stem + SUFFIX)


@dataclass(frozen=True, eq=False)
class WindowEmbeddings:
    """Windows of a video and the embedding of each."""

    windows: NDArray[np.float64]
    """[N, 2], seconds from the first frame, sorted; they may overlap."""
    vectors: NDArray[np.float32]
    """[N, D], with the precision of float16."""


def open_store() -> FileStore:
    """The files of all embeddings."""
    return FileStore(cache_folder() / "embeddings")


class EmbeddingCache:
    """Embeddings and durations by the content of videos; store: where the files lie.

    A file is digested once in the life of an object. Call `trim` at the end of a run.
    """

    def __init__(self, store: FileStore | None = None) -> None:
        self.store = open_store() if store is None else store
        self._digests: dict[str, str] = {}

    def key(self, path: str, facts: Mapping[str, Any]) -> str:
        """The name for what depends on a video and on facts, which are JSON values.

        Raises VideoError when the file cannot be read.
        """
        if path not in self._digests:
            try:
                self._digests[path] = sha256_file(Path(path))
            except OSError as error:
                raise VideoError(
                    f"{path}: cannot be read: {error.strerror}", code="E_OPEN"
                ) from None
        text = json.dumps([VERSION, self._digests[path], facts], sort_keys=True)
        return sha256(text, 40)

    def find(self, key: str) -> WindowEmbeddings | None:
        """The embeddings with this key, None if they are not there or not whole."""
        data = self.store.read(f"{key}.npz", MOST_ARRAY_BYTES)
        if data is None:
            return None
        try:
            windows, vectors = read_arrays(data, ("windows", "vectors"))
            fits = windows.shape == (len(vectors), 2) and vectors.ndim == 2
            found = WindowEmbeddings(windows.astype(np.float64), vectors.astype(np.float32))
        except (*BROKEN, KeyError):
            return None
        return found if fits and np.isfinite(found.vectors).all() else None

    def add(self, key: str, found: WindowEmbeddings) -> WindowEmbeddings:
        """Keep embeddings; returns them as `find` will."""
        rounded = found.vectors.astype(np.float16)
        data = io.BytesIO()
        np.savez(data, windows=found.windows, vectors=rounded)
        self.store.write(f"{key}.npz", data.getvalue())
        return WindowEmbeddings(found.windows, rounded.astype(np.float32))

    def duration(self, key: str) -> float | None:
        """The seconds that were kept with this key; None for none."""
        data = self.store.read(f"{key}.txt", MOST_TEXT)
        try:
            return None if data is None else float(data)
        except ValueError:
            return None

    def add_duration(self, key: str, seconds: float) -> None:
        """Keep the seconds of a video."""
        self.store.write(f"{key}.txt", repr(seconds).encode())

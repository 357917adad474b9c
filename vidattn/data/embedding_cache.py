"""Embeddings of the windows of videos in the cache, by the content of what they depend on.

The name of a file is a digest of the bytes of the video, of the model and of the windowing: a video
that moves keeps its embeddings, one that changes gets new ones, and a video whose embeddings are
there is never opened.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.io.cache import FileStore, cache_folder
from vidattn.io.digest import sha256, sha256_file
from vidattn.io.files import MOST_ARRAY_BYTES
from vidattn.io.npz import BROKEN, read_arrays

VERSION = 1
"""Of the content of the files; another one is not read."""
ARRAYS = ("windows", "vectors")
MOST_TEXT = 4096


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
            windows, vectors = read_arrays(data, ARRAYS)
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

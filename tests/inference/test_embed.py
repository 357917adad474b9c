"""Embeddings of windows, and their cache."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from vidattn import weights
from vidattn.data.embeddings import EmbeddingCache
from vidattn.data.plan import Windowing
from vidattn.errors import VideoError
from vidattn.inference.embed import Embedder
from vidattn.io.cache import FileStore
from vidattn.models import classifier
from vidattn.models.fused import fuse
from vidattn.types import Item, Window
from vidattn.video import Opening, Video, open_video


def closed(path: object, **_: object) -> Video:
    raise AssertionError(f"{path} is opened")


def embedder(
    model: Path, folder: Path, opening: Opening = open_video, overlap: float = 0.0
) -> Embedder:
    cache = EmbeddingCache(FileStore(folder))
    return Embedder(weights.load(model), Windowing(overlap=overlap), cache=cache, opening=opening)


def test_a_video_whose_embeddings_are_cached_is_not_opened(
    video: Path, model: Path, tmp_path: Path
) -> None:
    item = Item(str(video), 0, Window(1.0, 3.0))
    first = embedder(model, tmp_path / "cache")
    found, seconds = first.embed(item), first.duration(str(video))
    moved = shutil.copy(video, tmp_path / "moved.mp4")
    again = embedder(model, tmp_path / "cache", closed)
    cached = again.embed(replace(item, path=moved))
    np.testing.assert_array_equal(cached.vectors, found.vectors)
    np.testing.assert_array_equal(cached.windows, [[1, 1.5], [1.5, 2], [2, 2.5], [2.5, 3]])
    assert again.duration(moved) == seconds == 4.0


def test_other_parts_models_and_windows_are_embedded_anew(
    video: Path, model: Path, tmp_path: Path
) -> None:
    item = Item(str(video), 0, Window(1.0, 3.0))
    embedder(model, tmp_path / "cache").embed(item)
    again = embedder(model, tmp_path / "cache", closed)
    with pytest.raises(AssertionError):
        again.embed(replace(item, window=Window(1.0, 2.0)))
    with pytest.raises(AssertionError):
        embedder(model, tmp_path / "cache", closed, overlap=0.5).embed(item)
    changed = weights.load(model)
    next(changed.model.parameters()).data += 1
    weights.save(changed, tmp_path / "other.safetensors")
    with pytest.raises(AssertionError):
        embedder(tmp_path / "other.safetensors", tmp_path / "cache", closed).embed(item)


def test_weights_are_fused_once_for_all_videos(
    video: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusing = Mock(side_effect=fuse)
    monkeypatch.setattr(classifier, "fuse", fusing)
    shared = embedder(model, tmp_path / "cache")
    for start in (0.0, 1.0, 2.0):
        shared.embed(Item(str(video), 0, Window(start, start + 1.0)))
    assert fusing.call_count == 1


def test_a_broken_file_of_the_cache_is_made_anew(video: Path, model: Path, tmp_path: Path) -> None:
    item = Item(str(video), 0)
    found = embedder(model, tmp_path / "cache").embed(item)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    again = embedder(model, tmp_path / "cache").embed(item)
    np.testing.assert_array_equal(again.vectors, found.vectors)


def test_a_missing_video_is_an_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot be read"):
        embedder(model, tmp_path).embed(Item("nosuch.mp4", 0))

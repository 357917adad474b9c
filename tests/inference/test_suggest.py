"""Which windows to label next: unsure ones, apart from one another, of rare labels first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny_classifier, write_video
from vidattn.data.embeddings import EmbeddingCache
from vidattn.data.plan import Windowing
from vidattn.inference.embed import Embedder
from vidattn.inference.suggest import (
    Scanned,
    choose_windows,
    describe_choice,
    measure_doubt,
    measure_rarity,
    suggest_windows,
)
from vidattn.types import Window


def test_doubt_is_the_closeness_of_the_two_likeliest_or_to_a_threshold() -> None:
    one = tiny_classifier()
    scores = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0]])
    assert measure_doubt(scores, one) == pytest.approx([0.2, 1.0])
    several = replace(one, activation="sigmoid", thresholds=(0.5, 0.8, 0.5))
    scores = np.array([[1.0, 0.8, 0.0], [0.25, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert measure_doubt(scores, several) == pytest.approx([1.0, 0.5, 0.0])


def test_a_window_says_why_it_was_chosen() -> None:
    one = tiny_classifier()
    first, second, _ = one.labels
    scores = np.array([0.45, 0.41, 0.14])
    assert describe_choice(scores, one) == f"{first} or {second}, 4 points apart"
    assert describe_choice(scores, one, {first: 1}).endswith(f"; {first} has 1 example")
    several = replace(one, activation="sigmoid", thresholds=(0.9, 0.5, 0.5))
    assert describe_choice(scores, several) == f"{second} is near its threshold, 50 %"


def test_windows_of_rare_labels_weigh_more() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert measure_rarity(scores, np.array([9, 1])) == pytest.approx([0.2, 1.0, 0.6])
    assert measure_rarity(scores, np.array([0, 0])) == pytest.approx([1.0, 1.0, 1.0])


def test_the_unsurest_windows_are_chosen_but_none_beside_another() -> None:
    names = [*"aaaab", ("a", "left")]
    starts = np.array([0.0, 2.0, 4.0, 7.0, 2.0, 2.0])
    spans = np.stack([starts, starts + 2.0], axis=1)
    priority = np.array([0.7, 0.9, 0.8, 0.1, 0.6, 0.5])
    assert choose_windows(names, spans, priority, 2) == [1, 4]  # 0 and 2 touch 1
    assert choose_windows(names, spans, priority, 4) == [1, 4, 5, 3]
    assert choose_windows(names, spans, priority, 5) == [1, 4, 5, 3, 2]  # there are no others left
    assert sorted(choose_windows(names, spans, priority, 99)) == [0, 1, 2, 3, 4, 5]


def test_windows_with_labels_are_left_out_and_no_video_is_opened_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    videos = [str(write_video(tmp_path / f"{name}.mp4", seconds=3)) for name in "ab"]
    bad = tmp_path / "c.mp4"
    bad.write_text("no video")
    opened: list[str] = []
    embedder = Embedder(tiny_classifier(), Windowing(window=0.5, overlap=0.0))
    plain = embedder.opening

    def opening(path: str, **given: object) -> object:
        opened.append(path)
        return plain(path, **given)  # type: ignore[arg-type]

    embedder.opening = opening  # type: ignore[assignment]
    labeled = {(videos[0], ""): [Window(0.0, 2.0)]}
    *scans, found = suggest_windows([*videos, str(bad)], embedder, 20, labeled=labeled)
    assert [one.error is None for one in scans if isinstance(one, Scanned)] == [True, True, False]
    assert isinstance(found, tuple)
    assert sorted((Path(one.path).stem, one.window.start) for one in found) == [
        *(("a", t) for t in (2.0, 2.5)),
        *(("b", t) for t in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)),
    ]
    opened.clear()
    embedder.cache = EmbeddingCache()
    *_, again = suggest_windows(videos, embedder, 20, labeled=labeled)
    assert (again, opened) == (found, [])

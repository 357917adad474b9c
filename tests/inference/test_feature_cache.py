"""Features of frames that views share are computed once; decoding runs ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.helpers import tiny_classifier
from vidattn.config import ClipConfig, ViewConfig
from vidattn.data.frames import FrameBuffer, view_clips
from vidattn.inference import stream
from vidattn.inference.scorer import Scorer
from vidattn.inference.window_scoring import FeatureCache, prefetch
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.types import View
from vidattn.video import MemoryVideo

CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)
CPU = Runtime(device="cpu", batch_size=3)


@pytest.fixture(params=("stam", "space", "divided"))
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return tiny_classifier(request.param)


@pytest.fixture
def video() -> MemoryVideo:
    return MemoryVideo(np.random.default_rng(0).integers(0, 256, (60, 32, 48, 3), np.uint8), fps=20)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_scores_match_single_clips(
    classifier: Classifier, video: MemoryVideo, overlap: float
) -> None:
    events = list(stream.stream(video, classifier, overlap=overlap, runtime=CPU))
    scored = [event for event in events if isinstance(event, stream.Scored)]
    starts = [event.window.start for event in scored]
    centers = [[s + 0.2 * (k + 0.5) for k in range(4)] for s in starts]
    views = [View(tuple(min(int(t * 20 + 1e-6), 59) for t in times)) for times in centers]
    for event, clip in zip(scored, view_clips(video, views, CLIP), strict=True):
        with torch.inference_mode():
            plain = classifier.model(clip[None]).softmax(-1)[0]
        np.testing.assert_allclose(event.scores, plain.numpy(), rtol=0, atol=1e-6)


def test_three_crops_match_single_clips(classifier: Classifier, video: MemoryVideo) -> None:
    views = ViewConfig(spatial=3, clips=1)
    timeline = stream.classify(video, classifier, sampling="dense", views=views, runtime=CPU)
    seen = tuple(int(t * 20) for t in 1.1 + 0.2 * (np.arange(4) + 0.5))
    views_of_crops = [View(seen, crop) for crop in ("start", "center", "stop")]
    clips = [clip for clip in view_clips(video, views_of_crops, CLIP) if clip is not None]
    with torch.inference_mode():
        plain = classifier.scores(classifier.model(torch.stack(clips)))
    np.testing.assert_allclose(timeline.scores[0], plain.numpy(), rtol=0, atol=1e-6)


def test_features_of_a_frame_are_computed_once_and_dropped(
    classifier: Classifier, video: MemoryVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = 0
    plain = Scorer.encode_frames

    def counted(self: Scorer, frames: list[torch.Tensor]) -> list[torch.Tensor]:
        nonlocal computed
        computed += len(frames)
        return plain(self, frames)

    monkeypatch.setattr(Scorer, "encode_frames", counted)
    cache = FeatureCache(FrameBuffer(video.stream(range(60))), CLIP, Scorer(classifier, CPU))
    for first in range(0, 50, 2):
        cache.advance(first, first + 7)
        (logits,) = cache([View(tuple(range(first, first + 8, 2)))])
        assert logits is not None
        assert len(cache._tokens) <= 4
    assert computed == 28


def nothing() -> None:
    pass


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")}


def test_prefetched_items_come_in_order_within_the_bound() -> None:
    count = 0

    def items() -> Iterator[int]:
        nonlocal count
        for number in range(40):
            count += 1
            yield number

    seen = []
    for number in prefetch(items(), 3, nothing):
        seen.append(number)
        assert count <= number + 1 + 3
    assert seen == list(range(40))
    assert not threads()


def test_items_are_ready_before_they_are_requested() -> None:
    ready = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        yield 1
        ready.set()
        yield 2

    items_ahead = prefetch(items(), 2, nothing)
    assert next(items_ahead) == 0
    assert ready.wait(5)
    assert list(items_ahead) == [1, 2]


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("one")

    items_ahead = prefetch(items(), 5, nothing)
    assert next(items_ahead) == 0
    with pytest.raises(ValueError, match="one"):
        next(items_ahead)
    assert not threads()


def test_closing_early_ends_the_thread_and_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    items_ahead = prefetch(items(), 4, nothing)
    assert next(items_ahead) == 0
    items_ahead.close()
    assert closed.is_set()
    assert not threads()


def test_an_endless_item_is_interrupted() -> None:
    begun, freed = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        begun.set()
        freed.wait(60)
        raise OSError("interrupted")

    items_ahead = prefetch(items(), 1, freed.set)
    assert next(items_ahead) == 0
    begun.wait()
    items_ahead.close()
    assert freed.is_set()
    assert not threads()

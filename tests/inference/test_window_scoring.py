"""Scores of windows: static ones are reused, and every choice is repeatable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vidattn
from tests.helpers import tiny_classifier
from tests.inference.test_stream import CLIP, FPS, Reddest, color_frames
from vidattn.config import ClipConfig, StamConfig, TimeSformerConfig, ViewConfig
from vidattn.data.frames import FrameBuffer, view_clips
from vidattn.data.plan import Windowing
from vidattn.errors import UsageError
from vidattn.inference import stream
from vidattn.inference.scorer import Scorer
from vidattn.inference.window_scoring import FeatureCache, choose_overlap, prefetch, resolve_overlap
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.stam import Stam
from vidattn.models.timesformer import TimeSformer
from vidattn.output.text import describe_coverage
from vidattn.timeline import Timeline
from vidattn.types import View, Window
from vidattn.video import MemoryVideo

CPU = Runtime(device="cpu", batch_size=3)
BASE = ClipConfig(frames=8, step_seconds=32 / 30)
TINY_CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(Reddest(), CLIP, ("red", "green", "blue"))


def test_the_batch_size_changes_nothing_where_windows_are_reused(classifier: Classifier) -> None:
    video = MemoryVideo(color_frames(("red", 3.4), ("green", 5.2), ("blue", 3.4)), fps=FPS)
    timelines = [
        stream.segment(
            video, classifier, runtime=Runtime(device="cpu", batch_size=n), skip_static=1
        )
        for n in (1, 2, 64)
    ]
    assert len({timeline.to_json() for timeline in timelines}) == 1


def test_windows_wait_for_the_device_once_a_batch(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    for name in ("cpu", "item", "tolist"):  # what is on the host after `cpu` may be asked anything
        wait = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda x, wait=wait, name=name: waits.append(name) or wait(x)
        )
    video = MemoryVideo(color_frames(("red", 6.0), ("blue", 6.0)), fps=FPS)
    timeline = stream.segment(video, classifier, runtime=CPU, overlap=0.5)
    assert len(timeline.scores) > 6
    assert waits == ["cpu"] * -(-len(timeline.scores) // 3)


def test_a_still_video_is_computed_once_and_says_so(classifier: Classifier) -> None:
    still = color_frames(("red", 4), ("green", 3))
    noise = np.random.default_rng(0).integers(0, 2, still.shape, np.uint8)
    video = MemoryVideo(np.where(still > 128, still - noise, still + noise), fps=FPS)
    timeline = stream.segment(video, classifier, runtime=CPU, skip_static=1.5)
    assert [s.label for s in timeline.segments] == ["red", "green"]
    assert (timeline.reused, timeline.to_dict()["coverage"]["reused"]) == (5, 5)
    assert Timeline.from_json(timeline.to_json()).to_json() == timeline.to_json()
    assert isinstance(classifier.model, Reddest)
    assert sum(classifier.model.batches) == 2


def test_windows_of_the_same_frames_share_one_computation(classifier: Classifier) -> None:
    frames = color_frames(("red", 2), ("green", 2))
    times = np.concatenate([np.arange(20) / FPS, 300 + np.arange(20) / FPS])
    timeline = stream.segment(MemoryVideo(frames, fps=FPS, times=times), classifier, runtime=CPU)
    assert isinstance(classifier.model, Reddest)
    assert len(timeline.windows) > 300
    assert sum(classifier.model.batches) <= 8
    assert [s.label for s in timeline.segments] == ["red", "green"]
    assert timeline.pauses == (Window(2.0, 300.0),)
    assert timeline.coverage == pytest.approx(4 / 302, abs=1e-4)
    assert timeline.to_dict()["coverage"]["pauses"] == [[2.0, 300.0]]
    assert Timeline.from_json(timeline.to_json()).to_json() == timeline.to_json()
    assert "whole file (a pause for 298.0 s)" in describe_coverage(timeline)


def test_slow_change_adds_up_until_it_is_noticed(classifier: Classifier) -> None:
    fade = np.zeros((80, 8, 12, 3), np.uint8)
    fade[..., 0] = np.arange(80)[:, None, None] * 3
    timeline = stream.segment(MemoryVideo(fade, fps=FPS), classifier, runtime=CPU, skip_static=10.0)
    assert 0 < (timeline.reused or 0) < len(timeline.windows) - 1


def test_a_document_that_counts_added_windows_still_loads(classifier: Classifier) -> None:
    video = MemoryVideo(color_frames(("red", 3.4), ("green", 5.2)), fps=FPS)
    document = stream.segment(video, classifier, runtime=CPU).to_dict()
    document["coverage"]["added"] = 2
    document["settings"] |= {"refine_seconds": 0.25, "unsure": 0.5}
    assert len(Timeline.from_json(json.dumps(document)).windows) == document["coverage"]["windows"]


def test_invalid_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="levels go from 0 to 255"):
        Windowing(skip_static=-1.0)
    with pytest.raises(UsageError, match="exclude each other"):
        Windowing(stride=1.0, overlap=0.5)


def shaped(config: TimeSformerConfig | StamConfig, clip: ClipConfig = BASE) -> Classifier:
    """A model without weights; only its shape counts."""
    with torch.device("meta"):
        stam = isinstance(config, StamConfig)
        model: nn.Module = Stam(config) if stam else TimeSformer(config)  # type: ignore[arg-type]
    return Classifier(model, clip, tuple(map(str, range(config.classes))))


def test_windows_of_a_model_that_costs_little_overlap() -> None:
    assert choose_overlap(vidattn.load("motion-tiny")) == 0.75


def test_windows_of_a_large_model_lie_side_by_side() -> None:
    assert choose_overlap(shaped(TimeSformerConfig())) == 0


@pytest.mark.parametrize("config", [TimeSformerConfig(attention="space"), StamConfig()])
def test_windows_of_a_large_model_whose_frames_are_shared_overlap(config: Any) -> None:
    large = shaped(config, replace(BASE, frames=config.frames))
    assert choose_overlap(large) == 0.75
    assert choose_overlap(large, frames=config.frames + 1) == 0  # no two windows share frames


def test_what_is_asked_for_stands() -> None:
    tiny = vidattn.load("motion-tiny")
    for asked in (Windowing(overlap=0.0), Windowing(overlap=0.5), Windowing(stride=2.0)):
        assert resolve_overlap(asked, tiny) == asked
    assert resolve_overlap(Windowing(start=1.0), tiny) == Windowing(overlap=0.75, start=1.0)


def test_the_chosen_overlap_is_named_in_the_settings() -> None:
    tiny, video = (
        vidattn.load("motion-tiny"),
        MemoryVideo(torch.zeros(48, 64, 64, 3).byte().numpy()),
    )
    settings = vidattn.segment(video, tiny).to_dict()["settings"]
    assert (settings["stride_seconds"], settings["chosen_overlap"]) == (0.25, 0.75)
    assert "chosen_overlap" not in vidattn.segment(video, tiny, overlap=0.75).to_dict()["settings"]


@pytest.fixture(params=("stam", "space", "divided"))
def tiny(request: pytest.FixtureRequest) -> Classifier:
    return tiny_classifier(request.param)


@pytest.fixture
def video() -> MemoryVideo:
    return MemoryVideo(np.random.default_rng(0).integers(0, 256, (60, 32, 48, 3), np.uint8), fps=20)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_scores_match_single_clips(tiny: Classifier, video: MemoryVideo, overlap: float) -> None:
    events = list(stream.stream(video, tiny, overlap=overlap, runtime=CPU))
    scored = [event for event in events if isinstance(event, stream.Scored)]
    starts = [event.window.start for event in scored]
    centers = [[s + 0.2 * (k + 0.5) for k in range(4)] for s in starts]
    views = [View(tuple(min(int(t * 20 + 1e-6), 59) for t in times)) for times in centers]
    for event, clip in zip(scored, view_clips(video, views, TINY_CLIP), strict=True):
        with torch.inference_mode():
            plain = tiny.model(clip[None]).softmax(-1)[0]
        np.testing.assert_allclose(event.scores, plain.numpy(), rtol=0, atol=1e-6)


def test_three_crops_match_single_clips(tiny: Classifier, video: MemoryVideo) -> None:
    views = ViewConfig(spatial=3, clips=1)
    timeline = stream.classify(video, tiny, sampling="dense", views=views, runtime=CPU)
    seen = tuple(int(t * 20) for t in 1.1 + 0.2 * (np.arange(4) + 0.5))
    views_of_crops = [View(seen, crop) for crop in ("start", "center", "stop")]
    clips = [clip for clip in view_clips(video, views_of_crops, TINY_CLIP) if clip is not None]
    with torch.inference_mode():
        plain = tiny.scores(tiny.model(torch.stack(clips)))
    np.testing.assert_allclose(timeline.scores[0], plain.numpy(), rtol=0, atol=1e-6)


def test_features_of_a_frame_are_computed_once_and_dropped(
    tiny: Classifier, video: MemoryVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = 0
    plain = Scorer.encode_frames

    def counted(self: Scorer, frames: list[torch.Tensor]) -> list[torch.Tensor]:
        nonlocal computed
        computed += len(frames)
        return plain(self, frames)

    monkeypatch.setattr(Scorer, "encode_frames", counted)
    cache = FeatureCache(FrameBuffer(video.stream(range(60))), TINY_CLIP, Scorer(tiny, CPU))
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

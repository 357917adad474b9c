"""Scores of windows: static ones are reused, and every choice is repeatable."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.inference.test_stream import CLIP, FPS, Reddest, color_frames
from vidattn.data.windowing import Windowing
from vidattn.errors import UsageError
from vidattn.inference import stream
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.output.text import describe_coverage
from vidattn.timeline import Timeline
from vidattn.types import Window
from vidattn.video import MemoryVideo

CPU = Runtime(device="cpu", batch_size=3)


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

"""Timelines are right about a video whose content is known: colors that change at known times."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidattn.config import ClipConfig, TimeSformerConfig, ViewConfig
from vidattn.data.frames import view_clips
from vidattn.errors import MemoryLimitError, VideoError
from vidattn.inference import scorer as scorer_module
from vidattn.inference import stream as infer
from vidattn.inference.scorer import Scorer
from vidattn.inference.shot_detection import ShotDetector
from vidattn.models import fused
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.timesformer import TimeSformer
from vidattn.timeline import Decoding, Timeline
from vidattn.types import View, Window
from vidattn.video import MemoryVideo, UnreadableSpan

CLIP = ClipConfig(frames=4, step_seconds=0.25, short_side=8, crop=8, mean=(0, 0, 0), std=(1, 1, 1))
FPS = 10


class Reddest(nn.Module):
    """Names the strongest color of a clip; remembers how large its batches were."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.batches.append(len(clips))
        return 20 * clips.mean((2, 3, 4))


class DamagedVideo(MemoryVideo):
    """A video some of whose frames do not decode."""

    def __init__(self, frames: np.ndarray, damaged: set[int]) -> None:
        super().__init__(frames, fps=FPS)
        self.damaged = damaged

    def stream(self, indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:  # type: ignore[override]
        span = Window(min(self.damaged) / FPS, (max(self.damaged) + 1) / FPS)
        self.unreadable[:] = [UnreadableSpan(span, "E_DECODE")]
        for index, frame in super().stream(indices):
            if index not in self.damaged:
                yield index, frame


def color_frames(*scenes: tuple[str, float], width: int = 12) -> np.ndarray:
    """Frames of plain colors: ("red", 2.0) is two seconds of red."""
    colors = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    return np.concatenate(
        [
            np.broadcast_to(np.array(colors[c], np.uint8), (round(s * FPS), 8, width, 3))
            for c, s in scenes
        ]
    )


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(Reddest(), CLIP, ("red", "green", "blue"))


@pytest.fixture
def video() -> MemoryVideo:
    return MemoryVideo(color_frames(("red", 3), ("green", 5), ("blue", 2.5)), fps=FPS)


def spans(timeline: Timeline) -> list[tuple[str, float, float]]:
    return [(s.label, s.window.start, s.window.stop) for s in timeline.segments]


def test_segments_change_with_the_video(video: MemoryVideo, classifier: Classifier) -> None:
    timeline = infer.segment(video, classifier)
    assert spans(timeline) == [("red", 0.0, 3.0), ("green", 3.0, 8.0), ("blue", 8.0, 10.5)]
    assert timeline.coverage == 1.0
    assert [s.start_frame for s in timeline.segments] == [0, 30, 80]


def test_shot_cuts_are_found_among_frames_close_together(classifier: Classifier) -> None:
    frames = color_frames(("red", 3.2), ("green", 5.1), ("blue", 2.2))
    timeline = infer.segment(MemoryVideo(frames, fps=FPS), classifier, window=0.8)
    assert timeline.cuts is not None
    assert timeline.cuts == pytest.approx((3.2, 8.3), abs=0.11)
    assert [stop for _, _, stop in spans(timeline)] == [*timeline.cuts, 10.5]
    assert infer.segment(MemoryVideo(frames, fps=FPS), classifier, window=2.0).cuts is None


@pytest.mark.parametrize("stride", [0.4, 0.5, 1.3])
def test_shot_cuts_are_the_same_in_a_run_that_was_resumed(stride: float) -> None:
    frames = color_frames(("red", 1.0), ("green", 1.5), ("blue", 1.5), ("red", 1.0), width=96)
    video = MemoryVideo(frames.repeat(8, axis=1), fps=FPS)
    starts = np.arange(0, 4.5, stride)
    views = [View(tuple(range(int(s * FPS), int(s * FPS) + 4))) for s in starts]
    whole = ShotDetector(video.times, views)
    assert len(list(whole.measure(video.stream(whole.needed_frames(views))))) > 12
    assert whole.cuts()
    for first in range(1, len(views)):
        resumed = ShotDetector(video.times, views)
        for view in views[:first]:
            resumed.restore(view, whole.changes(view))
        list(resumed.measure(video.stream(resumed.needed_frames(views[first:]))))
        assert resumed.cuts() == whole.cuts()


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_neither_overlap_nor_batch_size_changes_what_happens(
    video: MemoryVideo, classifier: Classifier, overlap: float, batch_size: int
) -> None:
    runtime = Runtime(batch_size=batch_size)
    timeline = infer.segment(video, classifier, overlap=overlap, runtime=runtime)
    assert [label for label, _, _ in spans(timeline)] == ["red", "green", "blue"]
    for (_, start, _), change in zip(spans(timeline)[1:], (3, 8), strict=True):
        assert abs(start - change) <= 0.5
    assert max(classifier.model.batches) <= batch_size  # type: ignore[operator,arg-type]


def test_events_are_ordered_and_count_windows(video: MemoryVideo, classifier: Classifier) -> None:
    started, *scored, finished = infer.stream(video, classifier, stride=0.5)
    assert isinstance(started, infer.Started)
    assert isinstance(finished, infer.Finished)
    assert [event.index for event in scored] == list(range(len(started.windows)))  # type: ignore[union-attr]
    assert finished.timeline.windows == started.windows


def test_sparse_windows_state_their_coverage(video: MemoryVideo, classifier: Classifier) -> None:
    timeline = infer.segment(video, classifier, stride=3.0, decoding=Decoding(smooth="none"))
    assert spans(timeline) == [("red", 0.0, 2.0), ("green", 2.0, 8.0), ("blue", 8.0, 10.5)]
    assert timeline.coverage == pytest.approx(4.5 / 10.5, abs=1e-3)


def test_a_region_of_a_video_is_segmented_alone(video: MemoryVideo, classifier: Classifier) -> None:
    timeline = infer.segment(video, classifier, start=4.0, end=9.0)
    assert spans(timeline) == [("green", 4.0, 8.0), ("blue", 8.0, 9.0)]
    assert timeline.coverage == pytest.approx(5 / 10.5, abs=1e-4)


def test_unreadable_spans_before_an_early_stop_are_named(classifier: Classifier) -> None:
    video = DamagedVideo(color_frames(("red", 2), ("green", 2)), damaged={11, 12})
    events = infer.stream(video, classifier, runtime=Runtime(batch_size=1))
    started = next(events)
    assert isinstance(started, infer.Started)
    done = [next(events) for _ in range(3)]
    events.close()
    timeline = infer.collect(started, done, classifier)  # type: ignore[arg-type]
    assert timeline.unreadable == (
        (Window(1.1, 1.3), "E_DECODE"),
        (Window(3.0, 4.0), "E_INTERRUPTED"),
    )
    assert timeline.segments[0].window == Window(0.0, 1.1)


def test_a_video_shorter_than_a_window_still_gets_its_segment(classifier: Classifier) -> None:
    timeline = infer.segment(MemoryVideo(color_frames(("blue", 0.3)), fps=FPS), classifier)
    assert spans(timeline) == [("blue", 0.0, 0.3)]
    assert "shorter than one window" in timeline.warnings[0]


def test_a_stopped_stream_has_a_valid_timeline(video: MemoryVideo, classifier: Classifier) -> None:
    events = infer.stream(video, classifier, runtime=Runtime(batch_size=1))
    started = next(events)
    assert isinstance(started, infer.Started)
    done = [next(events) for _ in range(4)]
    events.close()  # type: ignore[attr-defined]
    timeline = infer.collect(started, done, classifier)  # type: ignore[arg-type]
    assert spans(timeline) == [("red", 0.0, 3.0), ("green", 3.0, 4.0)]
    assert timeline.unreadable == ((Window(4.0, 10.5), "E_INTERRUPTED"),)
    assert Timeline.from_json(timeline.to_json()).segments == timeline.segments


class Torn(MemoryVideo):
    """A video whose decoder dies after some frames."""

    lasts = 6

    def stream(self, indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:  # type: ignore[override]
        yield from list(super().stream(indices))[: self.lasts]
        raise VideoError("torn", code="E_DECODER_DIED")


def test_a_decoder_that_dies_before_the_first_score_is_an_error(classifier: Classifier) -> None:
    video = Torn(color_frames(("red", 4)), fps=FPS)
    video.lasts = 3
    with pytest.raises(VideoError, match="torn"):
        infer.segment(video, classifier, batch_size=1)
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_a_decoder_that_dies_leaves_the_windows_scored_until_then(classifier: Classifier) -> None:
    *_, last = infer.stream(Torn(color_frames(("red", 4)), fps=FPS), classifier, batch_size=1)
    assert isinstance(last, infer.Finished)
    assert last.failure.code == "E_DECODER_DIED"
    assert spans(last.timeline) == [("red", 0.0, 1.0)]
    assert last.timeline.unreadable == ((Window(1.0, 4.0), "E_DECODER_DIED"),)
    assert last.timeline.warnings[-1] == "torn"
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_decoding_continues_while_the_model_works() -> None:
    decoded: list[int] = []

    class Told(MemoryVideo):
        def stream(self, indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:  # type: ignore[override]
            for index, frame in super().stream(indices):
                decoded.append(index)
                yield index, frame

    class Patient(Reddest):
        def forward(self, clips: Tensor) -> Tensor:
            stop = time.monotonic() + 60
            while len(decoded) < 16 and time.monotonic() < stop:
                time.sleep(0.01)
            return super().forward(clips)

    patient = Classifier(Patient(), CLIP, ("red", "green", "blue"))
    events = infer.stream(
        Told(color_frames(("red", 6)), fps=FPS), patient, runtime=Runtime(batch_size=1)
    )
    next(events)
    next(events)
    assert len(decoded) >= 16
    events.close()  # type: ignore[attr-defined]


def test_single_missing_frames_are_replaced_and_their_time_named(classifier: Classifier) -> None:
    video = DamagedVideo(color_frames(("red", 2), ("green", 2)), damaged={11, 12})
    timeline = infer.segment(video, classifier)
    assert spans(timeline) == [("red", 0.0, 1.1), ("red", 1.3, 2.0), ("green", 2.0, 4.0)]
    assert timeline.unreadable == ((Window(1.1, 1.3), "E_DECODE"),)


def test_a_window_without_most_of_its_frames_has_no_scores(classifier: Classifier) -> None:
    video = DamagedVideo(color_frames(("red", 2), ("green", 2)), damaged=set(range(11, 20)))
    timeline = infer.segment(video, classifier)
    assert spans(timeline) == [("red", 0.0, 1.0), ("green", 2.0, 4.0)]
    assert [window for window, _ in timeline.unreadable] == [Window(1.0, 1.1), Window(1.1, 2.0)]


def test_a_video_of_which_nothing_decodes_is_an_error(classifier: Classifier) -> None:
    video = DamagedVideo(color_frames(("red", 2)), damaged=set(range(20)))
    for act in (infer.segment, infer.classify):
        with pytest.raises(VideoError, match="too few frames decode") as caught:
            act(video, classifier)
        assert caught.value.code == "E_DECODE"


def test_classify_weighs_the_whole_video(video: MemoryVideo, classifier: Classifier) -> None:
    timeline = infer.classify(video, classifier, frames=21)
    assert timeline.windows == (Window(0.0, 10.5),)
    assert (timeline.top(1)[0][0], timeline.coverage) == ("green", 1.0)
    assert timeline.settings.frames == 21
    assert "is stretched to 21" in timeline.warnings[0]


def test_dense_classification_lists_clip_spans(video: MemoryVideo, classifier: Classifier) -> None:
    timeline = infer.classify(
        video, classifier, sampling="dense", views=ViewConfig(spatial=1, clips=3)
    )
    assert timeline.seen is not None
    assert [round(w.start, 2) for w in timeline.seen] == [1.58, 4.75, 7.92]
    assert timeline.coverage == pytest.approx(3 / 10.5, abs=1e-3)


def test_three_crops_cover_the_sides_of_a_wide_video(classifier: Classifier) -> None:
    frames = color_frames(("green", 2), width=40).copy()
    frames[:, :, :10] = frames[:, :, 30:] = (255, 0, 0)
    video = MemoryVideo(frames, fps=FPS)
    one = infer.classify(video, classifier)
    three = infer.classify(video, classifier, views=ViewConfig(spatial=3, clips=1))
    assert one.top(1)[0][0] == "green"
    assert three.top(1)[0][0] == "red"


def test_averaging_follows_the_weights(video: MemoryVideo) -> None:
    scores = {}
    for averaging in ("logit", "probability"):
        one = Classifier(Reddest(), CLIP, ("red", "green", "blue"), averaging=averaging)  # type: ignore[arg-type]
        views = ViewConfig(spatial=1, clips=10)
        scores[averaging] = infer.classify(video, one, sampling="dense", views=views).scores[0]
    assert np.abs(scores["logit"] - scores["probability"]).max() > 0.01
    np.testing.assert_allclose(scores["probability"], [0.25, 0.55, 0.2], atol=0.01)


def test_frames_are_dropped_when_no_view_needs_them() -> None:
    alive: set[int] = set()
    counts: list[int] = []

    class Watched(MemoryVideo):
        def stream(self, indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:  # type: ignore[override]
            for index, frame in super().stream(indices):
                copy = frame.copy()
                alive.add(index)
                weakref.finalize(copy, alive.discard, index)
                counts.append(len(alive))
                yield index, copy

    video = Watched(color_frames(("red", 30)), fps=FPS)
    views = [View(tuple(range(i, i + 4))) for i in range(0, 290, 2)]
    assert sum(1 for _ in view_clips(video, views, CLIP)) == len(views)
    assert max(counts) <= 6


def test_too_little_memory_for_one_clip_is_an_error(video: MemoryVideo) -> None:
    class Tiny(Reddest):
        def forward(self, clips: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(MemoryLimitError, match="single clip"):
        infer.segment(video, Classifier(Tiny(), CLIP, ("red", "green", "blue")))


def test_the_fused_model_of_the_scorer_has_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    shape = TimeSformerConfig(classes=3, frames=4, size=32, width=32, depth=2, heads=2)
    classifier = Classifier(TimeSformer(shape), ClipConfig(), ("a", "b", "c"))
    clips = [torch.randn(3, 4, 32, 32) for _ in range(3)]
    scorer = Scorer(classifier, Runtime(device="cpu"))
    assert isinstance(scorer.model, fused.FusedModel)
    assert Scorer(classifier, Runtime(device="cpu")).model is scorer.model
    with torch.inference_mode():
        expected = classifier.model(torch.stack(clips))
    torch.testing.assert_close(torch.stack(scorer(clips)), expected, rtol=0, atol=1e-4)
    monkeypatch.setattr(scorer_module, "has_bf16_instructions", lambda: True)
    half = torch.stack(Scorer(classifier, Runtime(device="cpu", precision="bf16"))(clips))
    assert 0 < (half - expected).abs().max() < 0.1

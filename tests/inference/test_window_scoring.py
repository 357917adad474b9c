"""Windows are added where a film changes, and saved where it stands still; never left to chance."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.test_stream import CLIP, FPS, Reddest, film
from vidattn.data.plan import between, halfway
from vidattn.errors import UsageError
from vidattn.inference import stream
from vidattn.inference.adaptive import AdaptiveSampling
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Timeline
from vidattn.types import Window
from vidattn.video import MemoryVideo

CPU = Runtime(device="cpu", batch_size=3)


class Counting(Reddest):
    """Counts the clips it saw."""

    @property
    def clips(self) -> int:
        return sum(self.batches)


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(Counting(), CLIP, ("red", "green", "blue"))


@pytest.fixture
def video() -> MemoryVideo:
    return MemoryVideo(film(("red", 3.4), ("green", 5.2), ("blue", 3.4)), fps=FPS)


def boundaries(timeline: Timeline) -> list[float]:
    return [segment.window.start for segment in timeline.segments[1:]]


def test_halving_stops_at_the_finest_stride() -> None:
    left, right = Window(2, 3), Window(3, 4)
    assert halfway(left, right, 0.5) == Window(2.5, 3.5)
    assert halfway(left, right, 0.51) is None
    assert [w.start for w in between(left, right, 0.25)] == [2.25, 2.5, 2.75]


def test_neighbours_that_disagree_or_are_unsure_are_unsettled() -> None:
    economy = AdaptiveSampling(refine=1.0, unsure=0.6)
    sure, other, unsure = (np.array(p, np.float32) for p in ((0.9, 0.1), (0.1, 0.9), (0.55, 0.45)))
    assert not economy.unsettled(sure, sure)
    assert economy.unsettled(sure, other)
    assert economy.unsettled(sure, unsure)


def test_refining_finds_boundaries_as_a_denser_pass_does_with_fewer_windows(
    video: MemoryVideo, classifier: Classifier
) -> None:
    coarse = stream.segment(video, classifier, runtime=CPU)
    fine = stream.segment(video, classifier, runtime=CPU, economy=AdaptiveSampling(refine=0.25))
    dense = stream.segment(video, classifier, runtime=CPU, stride=0.25)
    assert len(coarse.windows) < len(fine.windows) < len(dense.windows) / 2
    assert fine.added == len(fine.windows) - len(coarse.windows)
    assert boundaries(fine) == pytest.approx([3.4, 8.6], abs=0.2)
    true = np.array([3.4, 8.6])
    off = [np.abs(np.array(boundaries(t)) - true).max() for t in (coarse, fine, dense)]
    assert off[1] < off[0]
    assert off[1] <= off[2] + 0.13


def test_added_windows_have_the_scores_of_a_denser_pass(
    video: MemoryVideo, classifier: Classifier
) -> None:
    fine = stream.segment(video, classifier, runtime=CPU, economy=AdaptiveSampling(refine=0.25))
    dense = stream.segment(video, classifier, runtime=CPU, stride=0.25)
    known = {round(w.start, 6): row for w, row in zip(dense.windows, dense.scores, strict=True)}
    for window, row in zip(fine.windows, fine.scores, strict=True):
        np.testing.assert_allclose(row, known[round(window.start, 6)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("economy", [AdaptiveSampling(refine=0.25), AdaptiveSampling(static=1.0)])
def test_the_batch_size_changes_nothing(
    video: MemoryVideo, classifier: Classifier, economy: AdaptiveSampling
) -> None:
    found = [
        stream.segment(
            video, classifier, runtime=Runtime(device="cpu", batch_size=n), economy=economy
        )
        for n in (1, 2, 64)
    ]
    assert len({timeline.to_json() for timeline in found}) == 1


def test_added_windows_are_numbered_on_and_an_early_stop_stays_valid(
    video: MemoryVideo, classifier: Classifier
) -> None:
    events = stream.stream(video, classifier, runtime=CPU, economy=AdaptiveSampling(refine=0.25))
    started = next(events)
    assert isinstance(started, stream.Started)
    done = [next(events) for _ in range(8)]
    events.close()  # type: ignore[attr-defined]
    assert [event.index for event in done] == [0, 1, 2, 3, 4, 5, 12, 13]  # type: ignore[union-attr]
    timeline = stream.collect(started, done, classifier)  # type: ignore[arg-type]
    assert timeline.unreadable == ((Window(6.0, 12.0), "E_INTERRUPTED"),)
    assert timeline.added == 2


def test_a_still_film_is_computed_once_and_says_so(classifier: Classifier) -> None:
    still = film(("red", 4), ("green", 3))
    noise = np.random.default_rng(0).integers(0, 2, still.shape, np.uint8)
    video = MemoryVideo(np.where(still > 128, still - noise, still + noise), fps=FPS)
    timeline = stream.segment(video, classifier, runtime=CPU, economy=AdaptiveSampling(static=1.5))
    assert [s.label for s in timeline.segments] == ["red", "green"]
    assert timeline.reused == 5
    assert timeline.to_dict()["coverage"]["reused"] == 5
    assert Timeline.from_json(timeline.to_json()).to_json() == timeline.to_json()
    assert classifier.model.clips == 2  # type: ignore[union-attr]


def test_slow_change_adds_up_until_it_is_noticed(classifier: Classifier) -> None:
    fade = np.zeros((80, 8, 12, 3), np.uint8)
    fade[..., 0] = np.arange(80)[:, None, None] * 3
    economy = AdaptiveSampling(static=10.0)
    timeline = stream.segment(MemoryVideo(fade, fps=FPS), classifier, runtime=CPU, economy=economy)
    assert 0 < (timeline.reused or 0) < len(timeline.windows) - 1


def test_requests_that_make_no_sense_are_refused(
    video: MemoryVideo, classifier: Classifier
) -> None:
    for wrong in ({"refine": 0.0}, {"unsure": 1.5}, {"static": -1.0}):
        with pytest.raises(UsageError):
            AdaptiveSampling(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be refined"):
        stream.segment(video, classifier, economy=AdaptiveSampling(refine=0.7))
    with pytest.raises(UsageError, match="gaps between windows"):
        stream.segment(video, classifier, stride=3.0, economy=AdaptiveSampling(refine=0.25))

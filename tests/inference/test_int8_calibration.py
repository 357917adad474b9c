"""A model that was calibrated for int8 compares no window of a video like its own with float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vidattn
from tests.helpers import tiny_classifier
from tests.inference.test_precision_check import other_weights
from vidattn.data.plan import Windowing
from vidattn.errors import InputError, UsageError, WeightsError
from vidattn.inference import precision_check, scorer
from vidattn.inference.embed import Embedder
from vidattn.inference.precision_check import calibrate_int8
from vidattn.inference.scorer import Scorer
from vidattn.models import int8
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.int8 import can_multiply_int8
from vidattn.timeline import Timeline
from vidattn.video import MemoryVideo

pytestmark = pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
INT8 = Runtime("cpu", "int8", batch_size=2)


@pytest.fixture
def clips() -> list[Tensor]:
    """Of noise like that of `frames`, and of more contrast."""
    noise = torch.rand(5, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    return list(noise * torch.linspace(4, 9, 5)[:, None, None, None, None])


@pytest.fixture
def calibrated(clips: list[Tensor]) -> Classifier:
    return calibrate_int8(tiny_classifier(), clips)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (160, 32, 40, 3), np.uint8)


def segment(frames: np.ndarray, classifier: Classifier, **keywords: Any) -> Timeline:
    video = MemoryVideo(frames, fps=10)
    return vidattn.segment(video, classifier, runtime=INT8, overlap=0.0, **keywords)


def is_checked_on_windows(frames: np.ndarray, classifier: Classifier) -> bool:
    return "windows" in segment(frames, classifier).model.extra["int8"]


@pytest.mark.parametrize("call", [vidattn.segment, partial(vidattn.classify, sampling="dense")])
def test_a_video_is_opened_once_where_tokens_have_ranges_of_their_own(
    call: Callable[..., Timeline], calibrated: Classifier, video: Path
) -> None:
    assert calibrated.int8 is not None
    tokens = replace(calibrated, int8=replace(calibrated.int8, ranges=()))
    opened = []

    def opening(*given: Any, **named: Any) -> vidattn.video.Video:
        opened.append(given)
        return vidattn.open_video(*given, **named)

    for classifier, times in ((tokens, 1), (calibrated, 2)):
        opened.clear()
        call(video, classifier, runtime=INT8, opening=opening)
        assert len(opened) == times


def test_the_timeline_names_the_calibration(calibrated: Classifier, frames: np.ndarray) -> None:
    timeline = segment(frames, calibrated)
    found = timeline.model.extra["int8"]
    assert (found["calibration_clips"], found["same_label"], found["ranges"]) == (5, 5, "layer")
    assert any(
        "int8 beside float32 in 5 calibration clips of the model's file: same best label in 5" in x
        for x in timeline.warnings
    )


@pytest.mark.parametrize("kind", ["divided", "joint", "stam"])
def test_scores_are_those_of_a_calibration_on_the_same_clips(
    kind: str, clips: list[Tensor], tmp_path: Path
) -> None:
    plain = tiny_classifier(kind)
    file = vidattn.save(calibrate_int8(plain, clips), tmp_path / "model.safetensors")
    expected, _ = Scorer(plain, INT8).calibrated(clips)
    for one, other in zip(Scorer(vidattn.load(file), INT8)(clips), expected(clips), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_scores_do_not_depend_on_the_rest_of_the_video(
    calibrated: Classifier, frames: np.ndarray
) -> None:
    whole, part = segment(frames, calibrated), segment(frames[:80], calibrated)
    assert len(part.windows) == 10
    np.testing.assert_array_equal(whole.scores[:10], part.scores)
    assert whole.model.extra == part.model.extra


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        lambda c: replace(c, temperature=2.0),
        lambda c: replace(c, clip=replace(c.clip, mean=(0.5, 0.5, 0.5))),
    ],
    ids=["weights", "temperature", "clip"],
)
def test_a_model_that_has_changed_is_checked_on_windows(
    change: Callable[[Classifier], Classifier],
    calibrated: Classifier,
    frames: np.ndarray,
    tmp_path: Path,
) -> None:
    changed = change(calibrated)
    assert is_checked_on_windows(frames, changed)
    assert vidattn.load(vidattn.save(changed, tmp_path / "model.safetensors")).int8 is None


def test_a_video_that_shows_more_than_the_calibration_is_checked_on_windows(
    frames: np.ndarray,
) -> None:
    dim = list(0.1 * torch.rand(8, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0)))
    calibrated = calibrate_int8(tiny_classifier(), dim)
    assert calibrated.int8 is not None
    assert calibrated.int8.ranges
    timeline = segment(frames, calibrated)
    plain = segment(frames, replace(calibrated, int8=None))
    assert timeline.model.extra == plain.model.extra
    np.testing.assert_array_equal(timeline.scores, plain.scores)
    assert any("the video shows more than the calibration" in x for x in timeline.warnings)


def test_layers_keep_no_range_that_could_move_unclear_windows_too_far(clips: list[Tensor]) -> None:
    sharp = calibrate_int8(replace(tiny_classifier(), temperature=1e-4), clips[:1])
    assert sharp.int8 is not None
    assert sharp.int8.max_difference <= precision_check.SLIGHT
    assert not sharp.int8.ranges


@pytest.mark.parametrize("keywords", [{"windowing": Windowing(frames=5)}, {"window": 3.0}])
def test_clips_of_other_frames_or_steps_are_checked_on_windows(
    keywords: dict[str, Any], calibrated: Classifier, frames: np.ndarray
) -> None:
    assert "windows" in segment(frames, calibrated, **keywords).model.extra["int8"]


def test_a_model_that_cannot_run_in_int8_is_refused_by_the_name_of_the_option(
    clips: list[Tensor],
) -> None:
    other = replace(tiny_classifier(), model=torch.nn.Flatten())
    with pytest.raises(UsageError, match=r"^--int8: unnamed: this kind of model cannot") as caught:
        calibrate_int8(other, clips)
    assert caught.value.hint == "leave --int8 out"


def test_other_labels_and_areas_need_no_other_calibration(
    calibrated: Classifier, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "SLACK", 0.2)  # half of the picture, enlarged, is another noise
    named = replace(calibrated, labels=("x", "y", "z"), threshold=0.5)
    assert not is_checked_on_windows(frames, named.look_at("0%,0%,50%,100%"))


def test_a_processor_that_rounds_more_coarsely_checks_windows(
    calibrated: Classifier, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "token_levels", lambda: 126)
    assert is_checked_on_windows(frames, calibrated)


def test_tokens_keep_ranges_of_their_own_where_that_agrees_better(
    clips: list[Tensor], frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "WORSE", 0.0)
    monkeypatch.setattr(precision_check, "SLIGHT", 0.0)
    classifier = calibrate_int8(tiny_classifier(), clips)
    assert segment(frames, classifier).model.extra["int8"]["ranges"] == "token"
    plain = Scorer(replace(classifier, int8=None), INT8)
    assert torch.equal(Scorer(classifier, INT8)(clips)[0], plain(clips)[0])


def test_a_model_that_loses_too_much_is_refused(
    clips: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "TOLERANCE", 1e-6)
    with pytest.raises(InputError, match="unnamed: refused: int8 beside float32") as caught:
        calibrate_int8(tiny_classifier(), clips)
    assert "leave --int8 out" in str(caught.value.hint)


def test_ranges_of_other_layers_are_refused(
    calibrated: Classifier, frames: np.ndarray, tmp_path: Path
) -> None:
    assert calibrated.int8 is not None
    first, *others = calibrated.int8.ranges
    for ranges in ((*others, replace(first, layer="head")), tuple(others)):
        lying = replace(calibrated, int8=replace(calibrated.int8, ranges=ranges))
        with pytest.raises(WeightsError, match=r"of other layers than the model has: blocks\.0"):
            segment(frames, lying)
        path = vidattn.save(lying, tmp_path / "lying.safetensors")
        with pytest.raises(WeightsError, match=f"^{path}: its int8 calibration is of other"):
            segment(frames, vidattn.load(path))


def test_embeddings_of_another_calibration_are_other_ones(calibrated: Classifier) -> None:
    plain = replace(calibrated, int8=None)
    facts = [Embedder(one, runtime=INT8).facts for one in (calibrated, plain)]
    assert facts[0] != facts[1]
    floats = [Embedder(one, runtime=Runtime("cpu", "fp32")).facts for one in (calibrated, plain)]
    assert floats[0] == floats[1]

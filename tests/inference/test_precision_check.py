"""Low precision is compared with float32 first, and refused when scores differ too much."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

import vidattn
from tests.helpers import tiny_classifier
from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.errors import InputError, UsageError
from vidattn.inference import precision_check, scorer, stream
from vidattn.inference.embed import Embedder
from vidattn.inference.precision_check import PrecisionCheck, check_drawn
from vidattn.inference.scorer import Scorer
from vidattn.io.cache import open_checks
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.int8 import can_multiply_int8
from vidattn.models.timesformer import TimeSformer
from vidattn.video import MemoryVideo

here = pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
INT8 = Runtime("cpu", "int8", batch_size=2)
CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)
CPU = Runtime("cpu")


@pytest.fixture
def video() -> MemoryVideo:
    frames = np.random.default_rng(0).integers(0, 256, (160, 32, 40, 3), np.uint8)
    return MemoryVideo(frames, fps=10)


def five_labels(scale: float = 1.0) -> Classifier:
    torch.manual_seed(0)
    model = TimeSformer(TimeSformerConfig("divided", 5, 4, 32, width=64, depth=2, heads=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
        model.head.weight *= scale
    return Classifier(model.eval(), CLIP, tuple("abcde"))


@here
def test_scores_are_close_to_float32_and_the_timeline_says_how_close(video: MemoryVideo) -> None:
    exact = stream.segment(video, five_labels(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, five_labels(), runtime=INT8, overlap=0.0)
    assert timeline.settings.precision == "int8"
    assert 0 < np.abs(timeline.scores - exact.scores).max() < 0.05
    checked = timeline.model.extra["int8"]
    assert checked["windows"] == 2
    assert checked["same_label"] == 2
    assert 0 < checked["max_difference"] < 0.05
    assert checked["ranges"] == "layer"
    assert any("int8 beside float32 in 2 of the windows" in text for text in timeline.warnings)
    assert json.loads(timeline.to_json())["model"]["int8"] == checked
    assert "int8" not in exact.model.extra


@here
def test_scores_do_not_depend_on_the_batch(video: MemoryVideo) -> None:
    one, many = (
        stream.segment(
            video, five_labels(), runtime=Runtime("cpu", "int8", batch_size=size), overlap=0.0
        )
        for size in (1, 7)
    )
    np.testing.assert_allclose(one.scores, many.scores, atol=1e-5)


@here
def test_a_range_for_each_token_is_kept_where_one_for_all_agrees_worse(
    video: MemoryVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "WORSE", 0.0)
    monkeypatch.setattr(precision_check, "SLIGHT", 0.0)
    timeline = stream.segment(video, five_labels(), runtime=INT8, overlap=0.0)
    assert timeline.model.extra["int8"]["ranges"] == "token"


@here
def test_classify_is_checked_too(video: MemoryVideo) -> None:
    timeline = stream.classify(video, five_labels(), runtime=INT8)
    assert timeline.model.extra["int8"]["windows"] == 1


@here
def test_a_large_difference_is_refused(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "TOLERANCE", 1e-6)
    with pytest.raises(InputError, match="refused: int8 beside float32") as caught:
        stream.segment(video, five_labels(), runtime=INT8, overlap=0.0)
    assert "leave --precision int8 out" in str(caught.value.hint)


@here
def test_other_models_have_no_int8_form(video: MemoryVideo) -> None:
    other = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 32 * 32, 2)), CLIP, ("a", "b"))
    with pytest.raises(
        UsageError, match="unnamed: this kind of model cannot run in 8-bit integers"
    ):
        stream.segment(video, other, runtime=INT8, overlap=0.0)


def test_int8_needs_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime, "torch_device", lambda self: torch.device("cuda"))
    with pytest.raises(UsageError, match="int8 runs on CPUs, not on cuda"):
        Runtime("cuda", "int8").requested_precision()


@pytest.fixture
def multiplying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A processor that multiplies in bfloat16, for which every model is large; an empty cache."""
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scorer, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(scorer, "LARGE", 0)


@pytest.mark.usefixtures("multiplying")
def test_auto_takes_bfloat16_where_it_passes(video: MemoryVideo) -> None:
    exact = stream.segment(video, five_labels(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, five_labels(), runtime=Runtime("cpu"), overlap=0.0)
    assert timeline.settings.precision == "bf16"
    assert 0 < np.abs(timeline.scores - exact.scores).max() < 0.05
    checked = timeline.model.extra["bf16"]
    assert (checked["drawn_clips"], checked["same_label"]) == (1, 1)
    assert 0 < checked["max_difference"] < 0.05
    assert timeline.warnings == exact.warnings


@pytest.mark.usefixtures("multiplying")
def test_auto_falls_back_to_float32(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "TOLERANCE", 1e-6)
    exact = stream.segment(video, five_labels(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, five_labels(), runtime=Runtime("cpu"), overlap=0.0)
    assert timeline.settings.precision == "fp32"
    np.testing.assert_array_equal(timeline.scores, exact.scores)
    assert any(
        "computed in float32: bf16 beside float32 in 1 drawn clip" in text
        for text in timeline.warnings
    )
    assert (
        stream.classify(video, five_labels(), runtime=Runtime("cpu")).settings.precision == "fp32"
    )


@pytest.mark.parametrize(("frames", "side"), [(1, 32), (8, 224), (64, 33)])
def test_a_clip_of_any_shape_is_drawn(frames: int, side: int) -> None:
    config = ClipConfig(frames=frames, short_side=side, crop=side)
    clip = precision_check.draw_clip(config)
    assert (clip.shape, clip.dtype) == ((3, frames, side, side), torch.float32)
    assert clip.std() > 0.3
    assert frames == 1 or (clip[:, 1:] - clip[:, :-1]).abs().mean() > 0.01
    torch.testing.assert_close(clip, precision_check.draw_clip(config), rtol=0, atol=0)


@pytest.mark.usefixtures("multiplying")
@pytest.mark.parametrize("frames", [None, 1, 3])
def test_a_single_clip_of_any_length_is_checked_at_the_trained_one(
    video: MemoryVideo, frames: int | None
) -> None:
    timeline = stream.classify(video, five_labels(), device="cpu", frames=frames)
    assert timeline.settings.precision == "bf16"
    assert timeline.model.extra["bf16"]["drawn_clips"] == 1


@pytest.mark.usefixtures("multiplying")
def test_cached_embeddings_go_by_the_precision_that_auto_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for large, expected in ((0, "bf16"), (1 << 40, "fp32")):
        monkeypatch.setattr(scorer, "LARGE", large)
        assert Embedder(five_labels(), runtime=Runtime("cpu")).facts["precision"] == expected


@pytest.mark.usefixtures("multiplying")
def test_a_precision_asked_for_by_name_is_not_checked(video: MemoryVideo) -> None:
    timeline = stream.segment(video, five_labels(), runtime=Runtime("cpu", "bf16"), overlap=0.0)
    assert timeline.settings.precision == "bf16"
    assert "bf16" not in timeline.model.extra


def test_auto_leaves_small_models_fp32(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "has_bf16_instructions", lambda: True)
    assert (
        stream.classify(video, five_labels(), runtime=Runtime("cpu")).settings.precision == "fp32"
    )


@pytest.fixture
def checks(multiplying: None, monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts the checks that are made."""
    counting = Mock(side_effect=check_drawn)
    monkeypatch.setattr(precision_check, "check_drawn", counting)
    return counting


@pytest.fixture
def classifier() -> Classifier:
    return tiny_classifier()


def check(classifier: Classifier) -> PrecisionCheck:
    return precision_check.find_or_check(classifier, Scorer(classifier, CPU), CPU)


def test_a_check_is_made_once_and_then_read(checks: Mock, classifier: Classifier) -> None:
    first = check(classifier)
    assert first.precision == "bf16"
    assert check(classifier) == check(tiny_classifier()) == first
    assert checks.call_count == 1


def test_a_clip_is_drawn_alike_in_every_run(checks: Mock, classifier: Classifier) -> None:
    first = check(classifier)
    open_checks().trim(0)
    assert check(classifier) == first
    assert checks.call_count == 2


def other_weights(classifier: Classifier) -> Classifier:
    with torch.no_grad():
        assert isinstance(classifier.model.head, nn.Linear)
        classifier.model.head.bias[0] += 1
    return classifier


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        lambda c: replace(c, card=replace(c.card, sha256="0" * 64)),
        lambda c: replace(c, temperature=2.0),
        lambda c: replace(c, clip=replace(c.clip, mean=(0.5, 0.5, 0.5))),
    ],
    ids=["weights", "file", "temperature", "clip"],
)
def test_another_model_is_checked_anew(
    checks: Mock, classifier: Classifier, change: Callable[[Classifier], Classifier]
) -> None:
    check(classifier)
    check(change(classifier))
    assert checks.call_count == 2


def test_another_processor_or_torch_is_checked_anew(
    checks: Mock, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(classifier)
    monkeypatch.setattr(precision_check, "describe_processor", lambda _: ["AVX2"])
    check(classifier)
    monkeypatch.setattr(torch, "__version__", "9.0")
    check(classifier)
    assert checks.call_count == 3


def test_a_gpu_is_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    known = [torch.device("cpu"), torch.device("cuda", 0), torch.device("cuda", 1)]
    assert len({tuple(precision_check.describe_processor(device)) for device in known}) == 3


def test_the_area_that_a_model_looks_at_does_not_matter(
    checks: Mock, classifier: Classifier
) -> None:
    check(classifier)
    check(classifier.look_at("0%,0%,50%,100%"))
    assert checks.call_count == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"precision": "bf16"}',
        '{"precision": "bf16", "clips": 1, "same_label": 1, "max_difference": NaN}',
        '{"precision": "bf16", "clips": "1", "same_label": 1, "max_difference": 0.1}',
        " " * 5000,
    ],
)
def test_a_file_that_holds_no_check_counts_as_absent(
    checks: Mock, classifier: Classifier, text: str
) -> None:
    first = check(classifier)
    (file,) = open_checks().files()
    file.path.write_text(text)
    assert check(classifier) == check(classifier) == first
    assert checks.call_count == 2


def test_without_a_cache_every_run_checks(
    checks: Mock, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "file"))
    assert check(classifier) == check(classifier)
    assert checks.call_count == 2


def test_many_may_write_a_check_at_once(checks: Mock, classifier: Classifier) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: check(classifier), range(16)))
    assert len(found) == 1
    (file,) = open_checks().files()
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]
    before = checks.call_count
    assert check(classifier) in found
    assert checks.call_count == before


def test_a_timeline_does_not_tell_whether_a_check_was_read(
    checks: Mock, classifier: Classifier
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (60, 32, 40, 3), np.uint8)
    first, again = (
        vidattn.segment(MemoryVideo(frames, fps=10), classifier, overlap=0.0, device="cpu")
        for _ in range(2)
    )
    assert checks.call_count == 1
    assert first.settings.precision == "bf16"
    assert first.model.extra["bf16"]["drawn_clips"] == 1
    assert first.to_json() == again.to_json()


def test_a_failed_check_is_kept_too(
    checks: Mock, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (60, 32, 40, 3), np.uint8)
    monkeypatch.setattr("vidattn.inference.precision_check.TOLERANCE", 0.0)
    for _ in range(2):
        found = vidattn.segment(MemoryVideo(frames, fps=10), classifier, overlap=0.0, device="cpu")
        assert found.settings.precision == "fp32"
        assert any("float32 in 1 drawn clip" in text for text in found.warnings)
    assert checks.call_count == 1

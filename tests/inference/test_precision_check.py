"""Low precision is compared with float32 first, and refused when scores differ too much."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidattn.config import ClipConfig, TimeSformerConfig
from vidattn.errors import InputError, UsageError
from vidattn.inference import precision_check, scorer, stream
from vidattn.inference.embed import Embedder
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.models.int8 import can_multiply_int8
from vidattn.models.timesformer import TimeSformer
from vidattn.video import MemoryVideo

here = pytest.mark.skipif(not can_multiply_int8(), reason="torch has no oneDNN in 8 bits")
INT8 = Runtime("cpu", "int8", batch_size=2)
CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)


@pytest.fixture
def video() -> MemoryVideo:
    frames = np.random.default_rng(0).integers(0, 256, (160, 32, 40, 3), np.uint8)
    return MemoryVideo(frames, fps=10)


def classifier(scale: float = 1.0) -> Classifier:
    torch.manual_seed(0)
    model = TimeSformer(TimeSformerConfig("divided", 5, 4, 32, width=64, depth=2, heads=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
        model.head.weight *= scale
    return Classifier(model.eval(), CLIP, tuple("abcde"))


@here
def test_scores_are_close_to_float32_and_the_timeline_says_how_close(video: MemoryVideo) -> None:
    exact = stream.segment(video, classifier(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, classifier(), runtime=INT8, overlap=0.0)
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
            video, classifier(), runtime=Runtime("cpu", "int8", batch_size=size), overlap=0.0
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
    timeline = stream.segment(video, classifier(), runtime=INT8, overlap=0.0)
    assert timeline.model.extra["int8"]["ranges"] == "token"


@here
def test_classify_is_checked_too(video: MemoryVideo) -> None:
    timeline = stream.classify(video, classifier(), runtime=INT8)
    assert timeline.model.extra["int8"]["windows"] == 1


@here
def test_a_large_difference_is_refused(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "TOLERANCE", 1e-6)
    with pytest.raises(InputError, match="refused: int8 beside float32") as caught:
        stream.segment(video, classifier(), runtime=INT8, overlap=0.0)
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
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path))
    monkeypatch.setattr(scorer, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(scorer, "LARGE", 0)


@pytest.mark.usefixtures("multiplying")
def test_auto_takes_bfloat16_where_it_passes(video: MemoryVideo) -> None:
    exact = stream.segment(video, classifier(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, classifier(), runtime=Runtime("cpu"), overlap=0.0)
    assert timeline.settings.precision == "bf16"
    assert 0 < np.abs(timeline.scores - exact.scores).max() < 0.05
    checked = timeline.model.extra["bf16"]
    assert (checked["drawn_clips"], checked["same_label"]) == (1, 1)
    assert 0 < checked["max_difference"] < 0.05
    assert timeline.warnings == exact.warnings


@pytest.mark.usefixtures("multiplying")
def test_auto_falls_back_to_float32(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_check, "TOLERANCE", 1e-6)
    exact = stream.segment(video, classifier(), runtime=Runtime("cpu", "fp32"), overlap=0.0)
    timeline = stream.segment(video, classifier(), runtime=Runtime("cpu"), overlap=0.0)
    assert timeline.settings.precision == "fp32"
    np.testing.assert_array_equal(timeline.scores, exact.scores)
    assert any(
        "computed in float32: bf16 beside float32 in 1 drawn clip" in text
        for text in timeline.warnings
    )
    assert stream.classify(video, classifier(), runtime=Runtime("cpu")).settings.precision == "fp32"


@pytest.mark.parametrize(("frames", "side"), [(1, 32), (8, 224), (64, 33)])
def test_a_clip_of_any_shape_is_drawn(frames: int, side: int) -> None:
    config = ClipConfig(frames=frames, short_side=side, crop=side)
    clip = precision_check.draw_clip(config)
    assert (clip.shape, clip.dtype) == ((3, frames, side, side), torch.float32)
    assert clip.std() > 0.3
    assert frames == 1 or (clip[:, 1:] - clip[:, :-1]).abs().mean() > 0.01
    torch.testing.assert_close(clip, precision_check.draw_clip(config), rtol=0, atol=0)


@pytest.mark.usefixtures("multiplying")
@pytest.mark.parametrize("frames", [1, 3])
def test_a_clip_of_another_length_is_checked_at_the_trained_one(
    video: MemoryVideo, frames: int
) -> None:
    timeline = stream.classify(video, classifier(), device="cpu", frames=frames)
    assert timeline.settings.precision == "bf16"


@pytest.mark.usefixtures("multiplying")
def test_auto_takes_bfloat16_for_a_single_clip_too(video: MemoryVideo) -> None:
    timeline = stream.classify(video, classifier(), device="cpu")
    assert timeline.settings.precision == "bf16"
    assert timeline.model.extra["bf16"]["drawn_clips"] == 1


@pytest.mark.usefixtures("multiplying")
def test_cached_embeddings_go_by_the_precision_that_auto_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for large, expected in ((0, "bf16"), (1 << 40, "fp32")):
        monkeypatch.setattr(scorer, "LARGE", large)
        assert Embedder(classifier(), runtime=Runtime("cpu")).facts["precision"] == expected


@pytest.mark.usefixtures("multiplying")
def test_a_precision_asked_for_by_name_is_not_checked(video: MemoryVideo) -> None:
    timeline = stream.segment(video, classifier(), runtime=Runtime("cpu", "bf16"), overlap=0.0)
    assert timeline.settings.precision == "bf16"
    assert "bf16" not in timeline.model.extra


def test_auto_leaves_small_models_fp32(video: MemoryVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "has_bf16_instructions", lambda: True)
    assert stream.classify(video, classifier(), runtime=Runtime("cpu")).settings.precision == "fp32"

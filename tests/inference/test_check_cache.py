"""Precision checks on a drawn clip are made once for each model, processor and version of torch."""

from __future__ import annotations

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
from vidattn.inference import precision_check, scorer
from vidattn.inference.precision_check import PrecisionCheck, check_drawn
from vidattn.inference.scorer import Scorer
from vidattn.io.cache import open_checks
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.video import MemoryVideo

CPU = Runtime("cpu")
Check = Callable[..., PrecisionCheck]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mock:
    """Counts the checks that are made, in an empty cache, where every model means bf16."""
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scorer, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(scorer, "LARGE", 0)
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

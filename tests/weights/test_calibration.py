"""The calibration for 8-bit integers in files: kept by all layouts, refused when damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.weights.test_safetensors_file import rewrite_manifest
from vidattn import weights
from vidattn.config import Int8Calibration
from vidattn.config.models import LayerRange
from vidattn.errors import WeightsError
from vidattn.models.classifier import Classifier


@pytest.fixture
def calibrated(tiny: Classifier) -> Classifier:
    ranges = (LayerRange("blocks.0.mlp.0", -1.5, 2), LayerRange("blocks.0.mlp.2", -0.1, 1 / 3))
    return replace(tiny, int8=Int8Calibration(tiny.digest(), 255, 9, 8, 0.0125, ranges))


@pytest.mark.parametrize(
    "save, name",
    [
        (weights.save, "model.safetensors"),
        (weights.save_official, "model.pyth"),
        (weights.save_hf, "model"),
    ],
    ids=["vidattn", "official", "hf"],
)
def test_every_layout_keeps_a_calibration(
    save: Callable[[Classifier, Path], Path], name: str, calibrated: Classifier, tmp_path: Path
) -> None:
    loaded = weights.load(save(calibrated, tmp_path / name))
    assert loaded.int8_calibration() == calibrated.int8


def test_a_model_without_one_is_the_file_that_it_was(tiny: Classifier, tmp_path: Path) -> None:
    assert b"int8" not in weights.save(tiny, tmp_path / "tiny.safetensors").read_bytes()


def put(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain.update(values)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda c: c["ranges"][0].update(least=3), r"blocks\.0\.mlp\.0 has 3\.0 to 2\.0"),
        (lambda c: c["ranges"][0].update(most=1e39), r"has -1\.5 to 1e\+39"),
        (lambda c: c["ranges"][0].update(most=10**400), r"has -1\.5 to inf"),
        (lambda c: c["ranges"][0].update(most=float("nan")), "NaN is not a number"),
        (lambda c: c["ranges"][0].update(most="2"), r"ranges\[0\]\.most: expected a number"),
        (lambda c: c["ranges"][0].pop("least"), r"ranges\[0\]\.least: missing"),
        (lambda c: c["ranges"].append(c["ranges"][0]), "a layer has two"),
        (put(ranges={}), "expected a list"),
        (put(clips=0, same_label=0), "0 same labels in 0 clips"),
        (put(same_label=10), "10 same labels in 9 clips"),
        (put(max_difference=-0.1), "must be from 0 to 1, got -0.1"),
        (put(levels=0), "must be from 1 to 255, got 0"),
        (put(digest=7), "digest: expected a text"),
    ],
)
def test_a_damaged_calibration_is_refused(
    change: Callable[[dict[str, Any]], object], reason: str, calibrated: Classifier, tmp_path: Path
) -> None:
    path = weights.save(calibrated, tmp_path / "model.safetensors")
    rewrite_manifest(path, lambda manifest: change(manifest["int8"]))
    with pytest.raises(WeightsError, match=f"^{path}: its manifest .*{reason}"):
        weights.load(path)

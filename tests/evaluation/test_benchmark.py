"""What the bench counts and measures, on models small enough to be quick."""

from __future__ import annotations

import sys

import pytest
import torch

from vidattn.config import Conv2dConfig, StamConfig, TimeSformerConfig
from vidattn.errors import WeightsError
from vidattn.evaluation import benchmark
from vidattn.evaluation.published import PAPER, Published
from vidattn.inference import scorer
from vidattn.models.device import Runtime
from vidattn.models.flops import count_macs
from vidattn.models.fused import has_bf16_instructions
from vidattn.models.timesformer import TimeSformer

TINY = TimeSformerConfig(classes=5, frames=2, size=32, width=32, depth=2, heads=2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SIDE", 64)
    monkeypatch.setattr(benchmark, "GPU_SIDE", 128)


ELSEWHERE = {
    "stam-16": "linear layers alone",
    "stam-64": "linear layers alone",
    "slowfast-r101-nl": "7.0 where 7.3 are counted",
    "msnet-r50": "24.6 M where its code has 23.9 M",
}
"""Rows in which the papers print other numbers, and what these are."""


@pytest.mark.parametrize("row", PAPER, ids=lambda row: row.name)
def test_counts_are_those_the_papers_print(row: Published) -> None:
    off = []
    if row.parameters is not None:
        millions = benchmark.count_parameters(row.config) / 1e6
        off.append(abs(millions - row.parameters) > 0.06)
    if row.tera is not None:
        tera = row.views * count_macs(row.config, size=row.side) / 1e12
        off.append(abs(tera - row.tera) > max(0.006, 0.015 * row.tera))
    assert any(off) == (row.name in ELSEWHERE)


def test_a_network_of_convolutions_is_measured() -> None:
    tiny = Conv2dConfig("tsm", classes=3, frames=4, size=32, width=8, blocks=(1, 1, 1, 1))
    subject, row = benchmark.benchmark("tiny", tiny, rounds=1, runtime=Runtime("cpu"))
    assert isinstance(subject, benchmark.Subject)
    assert isinstance(row, benchmark.Measurement)
    assert (row.way, row.precision) == ("vidattn", "fp32")


def test_every_way_is_measured_and_agrees_with_the_plain_model() -> None:
    pytest.importorskip("transformers")
    subject, *rows = benchmark.benchmark(
        "tiny", TINY, rounds=2, runtime=Runtime("cpu", batch_size=2)
    )
    assert isinstance(subject, benchmark.Subject)
    assert (subject.macs, subject.batch_size, subject.precision) == (count_macs(TINY), 2, "fp32")
    assert [row.way for row in rows] == ["vidattn", "plain", "Hugging Face"]
    for row in rows:
        assert isinstance(row, benchmark.Measurement)
        assert row.precision == "fp32"
        assert row.difference < 1e-4
        assert row.clips_per_second == pytest.approx(2 / row.seconds)
        assert row.ceiling > 0
        assert row.memory_mb is None or row.memory_mb >= 0


@pytest.mark.parametrize(("device", "side"), [("cpu", 64), ("cuda", 128)])
def test_the_ceiling_of_a_gpu_is_a_larger_product(device: str, side: int) -> None:
    assert benchmark.side_of(torch.device(device)) == side


@pytest.mark.skipif(not has_bf16_instructions(), reason="no bfloat16 on this processor")
def test_the_precision_of_auto_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(scorer, "LARGE", 0)
    subject, *rows = benchmark.benchmark("tiny", TINY, rounds=1, runtime=Runtime("cpu"))
    assert isinstance(subject, benchmark.Subject)
    assert subject.precision == "bf16"
    assert [(row.way, row.precision) for row in rows if isinstance(row, benchmark.Measurement)] == [
        ("vidattn", "bf16"),
        ("plain", "bf16"),
        ("Hugging Face", "fp32"),
        ("Hugging Face", "bf16"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_memory_that_an_earlier_pass_has_freed_counts_again() -> None:
    def run() -> torch.Tensor:
        return torch.stack([torch.ones(10_000) for _ in range(1000)])

    runner = benchmark._Runner("many small tensors", "fp32", run)
    for _ in range(2):
        memory = benchmark._memory(runner, torch.device("cpu"))
        assert memory is not None
        assert 70 < memory < 100


def test_clips_may_have_another_length_and_models_another_kind() -> None:
    subject, *_ = benchmark.benchmark("tiny", TINY, frames=4, rounds=1, runtime=Runtime("cpu"))
    assert isinstance(subject, benchmark.Subject)
    assert subject.macs == count_macs(TINY, frames=4)
    stam = StamConfig(5, 2, 32, width=32, depth=1, heads=2, time_depth=1, time_heads=2)
    _, *rows = benchmark.benchmark("stam", stam, rounds=1, runtime=Runtime("cpu"))
    assert [getattr(row, "way", "") for row in rows] == ["vidattn", "plain"]


def test_shapes_come_from_the_catalog_without_weights() -> None:
    find = benchmark.find_config
    assert find("timesformer-k400") == TimeSformerConfig()
    assert find("timesformer-hr-ssv2") == TimeSformerConfig("divided", 174, 16, 448)
    assert find("stam-32-k400") == StamConfig(frames=32)
    assert find("timesformer-howto100m-32").classes == 1059
    assert (find("x3d-m-k400").frames, find("tsm-ssv2").classes) == (16, 174)
    with pytest.raises(WeightsError, match="timesformer-k40"):
        find("timesformer-k40")


def test_only_what_transformers_knows_is_compared_with_it() -> None:
    for attention in ("space", "axial"):
        shape = TimeSformerConfig(attention, 5, 2, 32, width=32, depth=1, heads=2)
        assert benchmark.hugging_face(TimeSformer(shape)) is None
    assert benchmark.hugging_face(torch.nn.Linear(1, 1)) is None

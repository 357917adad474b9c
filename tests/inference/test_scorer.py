"""A model at work on whatever device there is."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.helpers import tiny_classifier
from vidattn.config import ClipConfig, Conv2dConfig, Conv3dConfig, ModelConfig, TimeSformerConfig
from vidattn.errors import UsageError
from vidattn.inference.scorer import Scorer, batch_size_of
from vidattn.models import device
from vidattn.models.classifier import Classifier, build_model
from vidattn.models.device import Runtime
from vidattn.models.fused import Attend
from vidattn.models.fused_layers import LOG2_E, attend_rows, attend_tubes
from vidattn.models.timesformer import TimeSformer

CLIP = ClipConfig(frames=4, step_seconds=0.2, short_side=32, crop=32)
SHAPE = TimeSformerConfig(classes=3, frames=4, size=32, patch=16, width=32, depth=2, heads=2)
SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"
TINY = ("--width", "64", "--depth", "1", "--shapes", "2x32", "--rounds", "1")


here = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def classifier() -> Classifier:
    return tiny_classifier()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.2)])
def test_gpus_give_cpu_logits(classifier: Classifier, precision: str, tolerance: float) -> None:
    # One classifier on both: what was folded on the processor must not be taken for it.
    clips = list(torch.randn(5, 3, 4, 32, 32))
    expected = Scorer(classifier, Runtime(device="cpu", precision="fp32"))(clips)
    scorer = Scorer(classifier, Runtime(device="cuda", precision=precision))  # type: ignore[arg-type]
    assert scorer.model is not classifier.model
    for mine, theirs in zip(scorer(clips), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)
    tokens = scorer.encode_frames(list(clips[0].transpose(0, 1)))
    assert tokens[0].device.type == "cuda"
    again = scorer.classify_frames([torch.stack(tokens)])[0]
    torch.testing.assert_close(again, expected[0], rtol=0, atol=tolerance)


def test_a_batch_comes_from_the_device_in_one_piece(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, clips = Scorer(classifier, Runtime("cpu")), list(torch.randn(5, 3, 4, 32, 32))
    tokens = [torch.stack(scorer.encode_frames(list(clip.transpose(0, 1)))) for clip in clips]
    copies: list[torch.Size] = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copies.append(x.shape) or cpu(x))
    scorer.classify_frames(tokens)
    assert copies == [(5, 3)]


@pytest.mark.parametrize("small", [True, False])
def test_only_small_models_take_one_thread_whatever_their_fused_form_holds(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    size = sum(p.numel() for p in classifier.model.parameters())
    monkeypatch.setattr(device, "FEW", size + small)
    scorer = Scorer(classifier, Runtime("cpu"))
    assert sum(p.numel() for p in scorer.model.parameters()) < size / 2
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    scorer(list(torch.randn(1, 3, 4, 32, 32)))
    assert asked == [1] * small + [torch.get_num_threads()]


@pytest.mark.parametrize(
    ("config", "frames", "expected"),
    [
        (TimeSformerConfig(classes=400), 8, 1),  # 196e9 multiply-adds
        (TimeSformerConfig(classes=400, width=192, heads=3, size=112), 8, 7),  # 3.1e9
        (TimeSformerConfig(classes=400, width=192, heads=3, size=112), 32, 1),
        (SHAPE, 4, 16),
    ],
)
def test_batches_on_a_cpu_are_small_for_large_models(
    config: TimeSformerConfig, frames: int, expected: int
) -> None:
    with torch.device("meta"):
        model = TimeSformer(config)
    clip = ClipConfig(frames=8, short_side=config.size, crop=config.size)
    classifier = Classifier(model, clip, tuple(map(str, range(config.classes))))
    assert batch_size_of(classifier, Runtime("cpu"), frames) == expected
    assert batch_size_of(classifier, Runtime("cpu", batch_size=5), frames) == 5


@pytest.mark.parametrize(("frames", "expected"), [(8, 8), (16, 4), (96, 1)])
def test_batches_on_a_gpu_are_small_for_long_clips(
    monkeypatch: pytest.MonkeyPatch, frames: int, expected: int
) -> None:
    monkeypatch.setattr(Runtime, "torch_device", lambda self: torch.device("cuda"))
    with torch.device("meta"):
        model = TimeSformer(TimeSformerConfig(classes=400))
    classifier = Classifier(model, ClipConfig(), tuple(map(str, range(400))))
    assert batch_size_of(classifier, Runtime(), frames) == expected


def test_what_did_not_fit_into_memory_is_not_tried_again(classifier: Classifier) -> None:
    sizes: list[int] = []

    class Small(torch.nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            sizes.append(len(clips))
            if len(clips) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return clips.flatten(1)[:, :3]

    scorer = Scorer(replace(classifier, model=Small()), Runtime("cpu"))
    clips = torch.randn(9, 3, 4, 32, 32)
    for _ in range(2):
        torch.testing.assert_close(torch.stack(scorer(list(clips))), clips.flatten(1)[:, :3])
    assert sizes == [9, 4, 2, 2, 2, 3, 1, 2, 2, 2, 2, 1, 2]
    scorer(list(torch.randn(4, 3, 4, 16, 16)))  # another shape may fit
    assert sizes[-3:] == [4, 2, 2]


def test_a_model_of_unknown_cost_gets_batches_of_eight(classifier: Classifier) -> None:
    assert batch_size_of(replace(classifier, model=torch.nn.Flatten()), Runtime("cpu"), 4) == 8


NETWORKS: dict[str, ModelConfig] = {
    "i3d": Conv3dConfig("i3d", 3, 4, 32, stem=8, widths=(8, 8, 8, 8), blocks=(1, 1, 1, 1)),
    "tsm": Conv2dConfig("tsm", 3, 4, 32, width=8, blocks=(1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_convolutions_embed_run_in_bf16_and_refuse_int8(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(NETWORKS[name]).eval()
    classifier = Classifier(model, CLIP, ("a", "b", "c"))
    clips = list(torch.randn(3, 3, 4, 32, 32))
    exact = torch.stack(Scorer(classifier, Runtime("cpu", "fp32"))(clips))
    low = torch.stack(Scorer(classifier, Runtime("cpu", "bf16"))(clips))
    torch.testing.assert_close(low, exact, rtol=0, atol=0.05)
    scorer = Scorer(classifier, Runtime("cpu", "fp32"), embeddings=True)
    both = torch.stack(scorer.classify_frames([clip.transpose(0, 1) for clip in clips]))
    with torch.no_grad():
        vectors = model.embeddings(torch.stack(clips))  # type: ignore[arg-type]
    torch.testing.assert_close(both, torch.cat([exact, vectors], dim=1), rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="cannot run in 8-bit integers"):
        Scorer(classifier, Runtime("cpu", "int8"))


@pytest.mark.gpu
@here
@pytest.mark.parametrize("attend", [attend_rows, attend_tubes])
def test_both_attentions_take_the_flash_kernel(attend: Attend) -> None:
    qkv = torch.randn(16, 197, 3 * 768, device="cuda", dtype=torch.bfloat16)
    expected = attend(qkv.float().cpu(), 12, LOG2_E / 8)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # no other one
        found = attend(qkv, 12, LOG2_E / 8)
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, here])])
def test_every_way_has_a_line(device: str) -> None:
    words = [sys.executable, str(SCRIPT), "--device", device, *TINY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    *lines, training = done.stdout.splitlines()
    assert [line.split()[1] for line in lines][:2] == ["vidattn", "plain"]
    assert all("windows/s" in line for line in lines)
    assert training.split()[1] == "training"
    assert re.search(r"[\d.]+ clips/s +\d+ % of peak", training)

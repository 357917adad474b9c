"""Sharing frames between overlapping clips changes no logits, in any model and form."""

import pytest
import torch
from torch import Tensor, nn

from tests.models.builders import noise
from vidattn.config import StamConfig, TimeSformerConfig
from vidattn.models.flops import count_frame_macs, count_macs
from vidattn.models.fused import fuse
from vidattn.models.layers import ClipModel


def unfold(frames: Tensor, length: int, stride: int) -> Tensor:
    """Windows [B, length, ...] over the rows of a video."""
    starts = range(0, len(frames) - length + 1, stride)
    return torch.stack([frames[start : start + length] for start in starts])


@pytest.mark.parametrize("form", ["plain", "fused"])
@pytest.mark.parametrize(
    "length, size", [(4, (64, 64)), (6, (32, 96))], ids=["trained", "another length and shape"]
)
@torch.inference_mode()
def test_overlapping_clips_have_the_logits_of_separate_clips(
    model: nn.Module, form: str, length: int, size: tuple[int, int]
) -> None:
    model = fuse(model) if form == "fused" else model
    assert isinstance(model, ClipModel)
    frames = noise(10, 3, *size, seed=1)
    # Uneven chunks: the tokens of a frame are independent of its neighbors.
    tokens = torch.cat([model.encode_frames(chunk) for chunk in frames.split([1, 6, 3])])
    assert len(tokens) == 10
    shared = model.classify_frames(unfold(tokens, length, 2))
    expected = model(unfold(frames, length, 2).transpose(1, 2))
    torch.testing.assert_close(shared, expected, rtol=0, atol=2e-6)


@torch.inference_mode()
def test_sharing_in_bf16_moves_logits_no_more_than_its_rounding(model: nn.Module) -> None:
    fast = fuse(model, torch.bfloat16, pack=False)
    assert isinstance(fast, ClipModel)
    frames = noise(6, 3, 64, 64, seed=1)
    tokens = torch.cat([fast.encode_frames(frame[None]) for frame in frames])
    assert tokens.dtype == torch.float32
    shared = fast.classify_frames(unfold(tokens, 4, 2))
    clips = unfold(frames, 4, 2).transpose(1, 2)
    exact = model(clips)
    assert (shared - exact).abs().max() <= 1.5 * (fast(clips) - exact).abs().max()


@torch.inference_mode()
def test_logits_depend_on_the_tokens_of_every_frame(model: nn.Module) -> None:
    assert isinstance(model, ClipModel)
    frames = noise(4, 3, 64, 64, seed=1)
    tokens = model.encode_frames(frames)
    other = torch.cat([tokens[:3], model.encode_frames(2 * frames[3:])])
    change = model.classify_frames(other[None]) - model.classify_frames(tokens[None])
    assert change.abs().max() > 1e-5


@pytest.mark.parametrize(
    "config, share",
    [
        (StamConfig(), 0.998),
        (TimeSformerConfig("space"), 1.0),
        (TimeSformerConfig("divided"), 0.0047),
        (TimeSformerConfig("joint"), 0.0051),
    ],
    ids=["stam", "space", "divided", "joint"],
)
def test_overlapping_clips_share_work(config: TimeSformerConfig | StamConfig, share: float) -> None:
    shared = config.frames * count_frame_macs(config)
    assert shared / count_macs(config) == pytest.approx(share, abs=2e-4)
